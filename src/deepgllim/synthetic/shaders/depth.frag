#version 330
// Shadows and depth maps: large parts that head.frag discards are discarded, small ones are not.
in vec4 v_rest;
uniform float line_shift, hair_length;
uniform sampler2D curves;

void main() {
    vec3 q = v_rest.xyz;
#if MATERIAL == HAIR
    if (q.y - texture(curves, vec2(degrees(atan(abs(q.x), q.z + 0.095)) / 180.0, 0.25)).r + line_shift < 0.0) discard;
#elif MATERIAL == HAT
    if (q.y - (0.05 + 0.32 * (q.z - 0.03)) < 0.0) discard;
#elif MATERIAL == CURTAIN
    if (q.y < mix(-0.035, -0.215, hair_length)) discard;
#elif MATERIAL == SCARF
    if (q.z > -0.06 && length(vec2(q.x / 0.072, (q.y + 0.025) / 0.098)) < 1.0 || q.y < -0.33) discard;
#endif
}
