#version 330
in vec2 at;
out vec4 pixel;
uniform sampler2D picture;
uniform float exposure;
void main() { pixel = vec4(pow(clamp(pow(texture(picture, at).rgb, vec3(2.2)) * exposure, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0); }
