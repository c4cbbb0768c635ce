#version 330
// Vertices are in the camera frame (x right, y down, z away), in metres. The top row of the image is the lowest row of
// the framebuffer, which is read first.
in vec3 position;
in vec3 normal;
in vec3 rest;      // position on the mean head, in the head frame; on an eyeball, relative to its centre
in vec2 uv;
in float lips;
in float visibility; // ambient visibility: 1 unoccluded

uniform mat4 projection;
uniform float layer;      // of a shell: 0 on the skin, 1 outermost
uniform float volume;     // of a shell, metres
uniform float curls;
uniform float line_shift;
uniform sampler2D curves; // see head.frag

out vec4 v_position;  // w: ambient visibility
out vec4 v_rest;      // w: lips
out vec3 v_normal;
#if MATERIAL == CURTAIN
out vec2 v_uv;
#endif

float azimuth_of(vec3 q) { return degrees(atan(abs(q.x), q.z + 0.095)); }

float lump(vec3 q) { return 0.5 + 0.5 * sin(q.x * 173.0 + 1.7 * sin(q.y * 211.0)) * sin(q.y * 157.0 + 2.1 * sin(q.z * 131.0)); }

void main() {
    float thickness = 0.0;
#if MATERIAL == HAIR || MATERIAL == BEARD || MATERIAL == HAT
    vec2 curve = texture(curves, vec2(azimuth_of(rest) / 180.0, 0.25)).rg;
#if MATERIAL == HAIR
    float inside = rest.y - curve.r + line_shift, reach = 0.03;
#elif MATERIAL == BEARD
    float inside = curve.g - rest.y, reach = 0.02;
#else
    float inside = rest.y - (0.05 + 0.32 * (rest.z - 0.03)), reach = 0.004;
#endif
    thickness = volume * layer * smoothstep(-0.002, reach, inside);
#if MATERIAL == HAIR
    thickness *= 1.0 + 0.35 * smoothstep(0.06, 0.115, rest.y);
#endif
#if MATERIAL == BEARD
    thickness *= smoothstep(-0.16, -0.115, rest.y) * smoothstep(-0.11, -0.05, rest.z + 0.03);
#endif
    thickness *= 1.0 - curls * 0.6 * lump(rest);
#elif MATERIAL == CURTAIN
    thickness = 0.6 * volume + 0.004;
#endif
    vec3 place = position + thickness * normal;
    v_position = vec4(place, visibility);
    v_rest = vec4(rest, lips);
    v_normal = normal;
#if MATERIAL == CURTAIN
    v_uv = uv;
#endif
    gl_Position = projection * vec4(place, 1.0);
}
