#version 330
// Procedural surfaces: every pattern is a function of the position on the mean head, so that it moves with the skin.
#if MATERIAL == SKIN  // deferred shading of the output of surface.frag
uniform sampler2D surface_position, surface_rest, surface_normal;
vec4 v_position, v_rest;
vec3 v_normal;
#else
in vec4 v_position;  // metres in the camera frame; ambient visibility
in vec4 v_rest;      // position on the mean head; 1 on the lips
in vec3 v_normal;
#endif
#if MATERIAL == CURTAIN
in vec2 v_uv;
#endif
out vec4 pixel;

uniform float layer;
uniform float line_shift;
uniform float curls;

// person; colours are linear
uniform vec3 skin;
uniform vec3 lip_colour;
uniform vec3 iris;
uniform vec3 hair;
uniform vec3 beard_colour;
uniform float tone, freckles, blush, wrinkles, blotches, shine, brows, stubble, shaved, bald;
uniform int beard_form;     // 0 none, 1 moustache, 2 goatee, 3 full
uniform float hair_length;
uniform float pattern_seed;
// wear
uniform vec3 cloth, cloth_second, hat_colour, prop_colour;
uniform int cloth_pattern;  // 0 plain, 1 stripes, 2 checks
uniform float neck_shift, opacity;
// light
uniform vec3 light_position[3];
uniform vec3 light_colour[3];
uniform int light_count;
uniform vec3 ambient_above, ambient_below;
uniform float exposure;
uniform mat4 shadow_projection;
uniform sampler2DShadow shadow_map;
uniform sampler2D curves;   // row 0, by azimuth / 180: hairline, upper edge of the beard; row 1, by |x| / 0.06: mid-line of the brow, its half height

uniform sampler3D noise_volume;  // smooth noise in [0, 1], four independent channels, 32 cells a side, repeating

vec4 noise4(vec3 p) { return texture(noise_volume, (p + pattern_seed * vec3(0.37, 0.73, 0.51)) / 32.0); }
float noise(vec3 p) { return noise4(p).r; }
float cloud(vec3 p) { return 0.6 * noise(p) + 0.4 * noise(2.3 * p + 7.1); }
float azimuth_of(vec3 q) { return degrees(atan(abs(q.x), q.z + 0.095)); }
float side_azimuth(vec3 q) { return degrees(atan(q.x, q.z + 0.095)); }

float strand(vec3 q) {   // stripes that run down the hair, broken up by curls
    float a = side_azimuth(q);
    float straight = noise(vec3(a * 1.1, q.y * 18.0, q.z * 25.0));
    float fine = noise(vec3(a * 3.1 + 40.0, q.y * 30.0, q.z * 40.0));
    return mix(0.5 * straight + 0.5 * fine, cloud(q * 420.0), curls);
}

float beard_mask(vec3 q, float ragged) {
    if (beard_form == 0 && stubble <= 0.0) return 0.0;
    float a = azimuth_of(q);
    float top = texture(curves, vec2(a / 180.0, 0.25)).g;
    float m = smoothstep(-0.003, 0.006, top - q.y + ragged * 0.006) * smoothstep(-0.140, -0.120, q.y + 0.35 * max(-q.z - 0.02, 0.0))
            * smoothstep(78.0, 64.0, a) * (1.0 - smoothstep(0.15, 0.5, v_rest.w));
    if (beard_form == 1) m *= smoothstep(22.0, 15.0, a) * smoothstep(-0.073, -0.068, q.y);
    if (beard_form == 2) m *= smoothstep(19.0, 14.0, a);
    return m;
}

vec3 lit(vec3 albedo, vec3 n, float gloss, float sharpness, vec3 wrap, float open) {
    vec3 eye = normalize(-v_position.xyz);
    vec3 total = albedo * mix(ambient_below, ambient_above, 0.5 - 0.5 * n.y) * open;
    for (int i = 0; i < light_count; ++i) {
        vec3 to_light = normalize(light_position[i] - v_position.xyz);
        float facing = dot(n, to_light);
        vec3 diffuse = clamp((vec3(facing) + wrap) / (1.0 + wrap), 0.0, 1.0);
        float visible = mix(0.55, 1.0, open);
        if (i == 0) {
            vec4 p = shadow_projection * vec4(v_position.xyz, 1.0);
            vec3 s = 0.5 * p.xyz / p.w + 0.5;
            float bias = 0.003 + min(0.005 * sqrt(1.0 - min(facing * facing, 1.0)) / max(facing, 0.05), 0.035);
            visible *= texture(shadow_map, vec3(s.xy, s.z - bias));
        }
        float spot = pow(max(dot(n, normalize(to_light + eye)), 0.0), sharpness) * smoothstep(0.0, 0.15, facing);
        total += light_colour[i] * visible * (albedo * diffuse + gloss * spot);
    }
    return total;
}

void write(vec3 linear, float alpha) {
    vec3 c = linear * exposure;
    c = c / (1.0 + 0.18 * c);
    pixel = vec4(pow(clamp(c, 0.0, 1.0), vec3(1.0 / 2.2)), alpha);
}

#if MATERIAL == SKIN
vec3 cloth_albedo(vec3 q) {
        vec3 c = cloth;
    if (cloth_pattern == 1) c = mix(cloth, cloth_second, step(0.5, fract(q.y * 38.0)));
    if (cloth_pattern == 2) c = mix(cloth, cloth_second, 0.5 * step(0.5, fract(q.x * 30.0)) + 0.5 * step(0.5, fract(q.y * 30.0)));
    vec4 folds = noise4(q * 26.0);
    return c * (0.82 + 0.16 * noise(q * 900.0) + 0.3 * folds.r);
}
vec3 cloth_lit(vec3 q, vec3 n, float inside) {
    float fold = noise(q * vec3(26.0, 60.0, 26.0));
    vec3 c = cloth_albedo(q) * (0.55 + 0.45 * smoothstep(0.0, 0.006, inside));
    return lit(c, normalize(n + 0.25 * (fold - 0.5)), 0.01, 8.0, vec3(0.05), v_position.w);
}
#endif

void main() {
#if MATERIAL == SKIN
    ivec2 place = ivec2(gl_FragCoord.xy);
    vec4 found = texelFetch(surface_normal, place, 0);
    if (found.a == 0.0) discard;
    v_normal = found.xyz;
    v_position = texelFetch(surface_position, place, 0);
    v_rest = texelFetch(surface_rest, place, 0);
#endif
    vec3 q = v_rest.xyz, n = normalize(v_normal), eye = normalize(-v_position.xyz);
#if MATERIAL != SKIN
    if (dot(n, eye) < 0.0) n = -n;
#endif

#if MATERIAL == SKIN
    float neck = -0.155 + neck_shift - 0.25 * clamp(q.z + 0.06, -0.06, 0.05) - q.y;
    if (neck > 0.0) {
        write(cloth_lit(q, n, neck), 1.0);
        return;
    }
    vec4 fine = noise4(q * 900.0), middling = noise4(q * 210.0), coarse = noise4(q * 60.0);
    float a = side_azimuth(q), grain = fine.a, patches = 0.6 * coarse.r + 0.4 * middling.r;
    vec3 c = skin * (1.0 + 0.22 * blotches * (patches - 0.5) + 0.10 * (grain - 0.5));
    vec2 cheek = vec2(abs(q.x) - 0.038, q.y + 0.042);
    float red = exp(-dot(cheek, cheek) / 0.0007) + 1.2 * exp(-dot(vec2(q.x, q.y + 0.045), vec2(q.x, q.y + 0.045)) / 0.00022);
    red += 0.8 * smoothstep(0.066, 0.078, abs(q.x)) * step(q.z, -0.055) * step(-0.055, q.y);
    c *= mix(vec3(1.0), vec3(1.06, 0.80, 0.80), 0.7 * blush * red * (1.0 - 0.6 * tone));
    c *= 1.0 - 0.45 * freckles * smoothstep(0.62, 0.80, 0.7 * middling.g + 0.3 * fine.g) * smoothstep(-0.09, -0.03, q.y) * step(-0.02, q.z);
    c *= 1.0 - 0.6 * smoothstep(0.955, 0.985, coarse.b);
    float socket = exp(-dot(vec2(abs(q.x) - 0.031, q.y + 0.008) / vec2(0.019, 0.014), vec2(abs(q.x) - 0.031, q.y + 0.008) / vec2(0.019, 0.014)));
    c *= 1.0 - (0.10 + 0.20 * wrinkles) * socket * step(0.0, q.z);
    float forehead = smoothstep(0.034, 0.042, q.y) * smoothstep(0.078, 0.066, q.y) * smoothstep(0.05, 0.03, abs(q.x)) * step(0.0, q.z);
    float lines = pow(abs(sin(q.y * 430.0 + 1.6 * coarse.g)), 12.0) * forehead;
    float fold_x = abs(q.x) - (0.021 + 0.30 * (-0.045 - q.y));
    float fold = exp(-fold_x * fold_x / 3e-6) * smoothstep(-0.082, -0.07, q.y) * smoothstep(-0.038, -0.048, q.y) * step(0.0, q.z);
    float feet = pow(abs(sin(q.y * 520.0 + 90.0 * abs(q.x))), 8.0) * smoothstep(0.046, 0.052, abs(q.x)) * smoothstep(0.064, 0.056, abs(q.x)) * smoothstep(0.02, 0.008, abs(q.y)) * step(-0.03, q.z);
    c *= 1.0 - wrinkles * (0.30 * lines + 0.35 * fold + 0.25 * feet);
    c = mix(c, lip_colour * (0.85 + 0.3 * fine.g), smoothstep(0.25, 0.75, v_rest.w));

    float h = q.y - texture(curves, vec2(abs(a) / 180.0, 0.25)).r + line_shift;
    if (h > -0.004 && bald < 0.5) c = mix(c, hair * (0.7 + 0.6 * grain), shaved * smoothstep(-0.003, 0.010, h + 0.005 * (middling.b - 0.5)));
    float tinge = beard_mask(q, middling.a - 0.5);
    if (tinge > 0.0) c = mix(c, beard_colour * (0.6 + 0.8 * grain), tinge * (beard_form > 0 ? 0.75 : stubble * (0.6 + 0.8 * fine.r)));
    float x = abs(q.x);
    if (x > 0.008 && x < 0.05 && q.z > -0.03 && q.y > 0.0 && q.y < 0.04) {
        vec2 b = texture(curves, vec2(x / 0.06, 0.75)).rg;
        float depth = 1.0 - abs(q.y - b.r) / max(b.g, 1e-4);
        float hairs = 0.55 + 0.9 * noise(vec3((x + 0.7 * q.y) * 1500.0, q.y * 260.0, 3.0));
        c = mix(c, mix(hair, beard_colour, 0.3) * 0.8, clamp(brows * smoothstep(-0.15, 0.55, depth) * hairs, 0.0, 0.95));
    }
    vec3 bump = fine.rgb - 0.5;
    vec3 m = normalize(n + (0.10 + 0.12 * wrinkles) * bump);
    float gloss = (0.02 + 0.10 * shine) * (1.0 + 1.5 * smoothstep(0.3, 0.8, v_rest.w));
    write(lit(c, m, gloss, mix(9.0, 34.0, shine), vec3(0.34, 0.14, 0.08) * (1.0 - 0.6 * tone), v_position.w), 1.0);
#elif MATERIAL == MOUTH
    write(lit(vec3(0.35, 0.07, 0.07), n, 0.05, 20.0, vec3(0.2), 0.45), 1.0);
#elif MATERIAL == TEETH
    write(lit(vec3(0.72, 0.68, 0.58) * (0.9 + 0.2 * noise(q * 500.0)), n, 0.15, 40.0, vec3(0.3), 0.6), 1.0);
#elif MATERIAL == EYE
    vec3 d = normalize(q);
    float angle = acos(clamp(d.z, -1.0, 1.0)), spoke = atan(d.y, d.x);
    vec3 white = vec3(0.72, 0.68, 0.65) * (1.0 - 0.25 * smoothstep(0.5, 0.95, angle)) * mix(vec3(1.0), vec3(1.0, 0.8, 0.78), 0.35 * smoothstep(0.6, 1.0, angle));
    vec3 ring = iris * (0.55 + 0.9 * noise(vec3(spoke * 7.0, angle * 9.0, 5.0))) * (1.0 - 0.65 * smoothstep(0.27, 0.345, angle));
    vec3 c = mix(ring, white, smoothstep(0.335, 0.365, angle));
    c = mix(vec3(0.004), c, smoothstep(0.135, 0.16, angle));
    float lid = mix(0.55, 1.0, smoothstep(0.008, -0.001, q.y));
    write(lit(c, n, 0.0, 8.0, vec3(0.25), 0.8 * lid) + lit(vec3(0.0), n, 0.8, 160.0, vec3(0.0), lid), 1.0);
#elif MATERIAL == LASHES
    if (noise(vec3(q.x * 1400.0, q.y * 90.0, 1.0)) < 0.45) discard;
    write(lit(hair * 0.35, n, 0.0, 8.0, vec3(0.3), 0.6), 0.8);
#elif MATERIAL == HAIR || MATERIAL == BEARD
    float s = strand(q);
    float inside = MATERIAL == HAIR ? q.y - texture(curves, vec2(azimuth_of(q) / 180.0, 0.25)).r + line_shift
                 : beard_mask(q, noise(q * 200.0) - 0.5) * 0.02 - 0.006;
    if (inside + 0.009 * (noise(vec3(side_azimuth(q) * 2.2, q.z * 60.0, 9.0)) - 0.5) < 0.0015 * layer) discard;
    if (s < 0.62 * (layer - 0.34) * (0.6 + 0.8 * curls)) discard;
    vec3 c = (MATERIAL == HAIR ? hair : beard_colour) * (0.55 + 0.9 * s) * (0.55 + 0.45 * layer);
    vec3 m = normalize(n + 0.5 * (noise4(q * 300.0).rgb - 0.5));
    write(lit(c, m, 0.10 * s * (1.0 - 0.7 * curls), 14.0, vec3(0.15), mix(v_position.w, 1.0, 0.5)), 1.0);
#elif MATERIAL == CURTAIN
    float s = noise(vec3(v_uv.x * 330.0, v_uv.y * 7.0, 2.0)) * 0.6 + 0.4 * noise(vec3(v_uv.x * 900.0, v_uv.y * 10.0, 8.0));
    float lock = noise(vec3(v_uv.x * 70.0, 1.0, 4.0));
    if (q.y < mix(-0.035, -0.215, hair_length) + 0.03 * (lock - 0.5) + 0.012 * s) discard;
    if (s + 0.5 * lock < 0.28) discard;
    vec3 c = hair * (0.45 + 0.9 * s) * (0.75 + 0.5 * lock);
    vec3 m = normalize(n + 0.55 * (vec3(s, lock, s * lock) - 0.4));
    write(lit(c, m, 0.10 * s, 12.0, vec3(0.2), 0.8), 1.0);
#elif MATERIAL == HAT
    float edge = q.y - (0.05 + 0.32 * (q.z - 0.03));
    if (edge < 0.0) discard;
    float knit = 0.8 + 0.3 * noise(vec3(side_azimuth(q) * 0.9, q.y * 340.0, 1.0));
    write(lit(hat_colour * knit * (edge < 0.022 ? 0.82 : 1.0), n, 0.01, 8.0, vec3(0.1), mix(v_position.w, 1.0, 0.6)), 1.0);
#elif MATERIAL == SCARF
    float opening = length(vec2(q.x / 0.072, (q.y + 0.025) / 0.098));
    if (q.z > -0.06 && opening < 1.0 || q.y < -0.33) discard;
    float fold = cloud(q * vec3(60.0, 18.0, 40.0));
    write(lit(hat_colour * (0.7 + 0.5 * fold), normalize(n + 0.4 * (fold - 0.5)), 0.01, 8.0, vec3(0.1), 0.95), 1.0);
#elif MATERIAL == PROP
    write(lit(prop_colour, n, 0.25, 30.0, vec3(0.0), 1.0), 1.0);
#else
    float fresnel = 0.04 + 0.4 * pow(1.0 - abs(dot(n, eye)), 3.0);
    vec3 glare = lit(vec3(0.0), n, 1.2, 90.0, vec3(0.0), 1.0) + fresnel * ambient_above * 0.6;
    write(prop_colour * 0.3 * opacity + glare, clamp(opacity + max(glare.r, max(glare.g, glare.b)), 0.0, 1.0));
#endif
}
