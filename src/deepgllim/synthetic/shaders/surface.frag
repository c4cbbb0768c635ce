#version 330
// Inputs of the deferred shading of the skin, whose triangles are so small that direct shading would be slow.
in vec4 v_position;
in vec4 v_rest;
in vec3 v_normal;
layout(location = 0) out vec4 position;
layout(location = 1) out vec4 rest;
layout(location = 2) out vec4 normal;
void main() { position = v_position; rest = v_rest; normal = vec4(v_normal, 1.0); }
