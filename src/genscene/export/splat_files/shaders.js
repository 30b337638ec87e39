"use strict"
// Gaussians as ellipses on the picture (EWA splatting, Zwicker et al. 2002), as genscene.rasterize has them.
const DILATION = 0.3, FRUSTUM_MARGIN = 0.3, LEAST_SHRINKAGE = 0.005

const VERTEX = `#version 300 es
precision highp float;
precision highp sampler2D;
uniform sampler2D cloud, tints;
uniform mat4 toCamera; // x right, y down, z forward
uniform vec2 focal, size; // in pixels
uniform bool antialiased;
in vec2 corner;
in uint number;
out vec2 place;
out vec4 color;

void main() {
  int i = int(number), w = textureSize(tints, 0).x;
  ivec2 at = ivec2(i % w, i / w);
  vec4 mean = texelFetch(cloud, ivec2(3 * at.x, at.y), 0);
  vec3 sigmas = texelFetch(cloud, ivec2(3 * at.x + 1, at.y), 0).xyz;
  vec4 q = texelFetch(cloud, ivec2(3 * at.x + 2, at.y), 0); // x, y, z, w
  color = vec4(texelFetch(tints, at, 0).rgb, mean.w);
  gl_Position = vec4(0, 0, 2, 1); // not seen
  vec3 p = (toCamera * vec4(mean.xyz, 1)).xyz;
  if (p.z < 0.01) return;
  mat3 turn = mat3(
    1.0 - 2.0 * (q.y * q.y + q.z * q.z), 2.0 * (q.x * q.y + q.w * q.z), 2.0 * (q.x * q.z - q.w * q.y),
    2.0 * (q.x * q.y - q.w * q.z), 1.0 - 2.0 * (q.x * q.x + q.z * q.z), 2.0 * (q.y * q.z + q.w * q.x),
    2.0 * (q.x * q.z + q.w * q.y), 2.0 * (q.y * q.z - q.w * q.x), 1.0 - 2.0 * (q.x * q.x + q.y * q.y));
  mat3 axes = mat3(toCamera) * turn * mat3(sigmas.x, 0, 0, 0, sigmas.y, 0, 0, 0, sigmas.z);
  vec2 most = (1.0 + ${FRUSTUM_MARGIN}) * 0.5 * size / focal, slope = clamp(p.xy / p.z, -most, most);
  vec3 u = focal.x / p.z * (vec3(axes[0].x, axes[1].x, axes[2].x) - slope.x * vec3(axes[0].z, axes[1].z, axes[2].z));
  vec3 v = focal.y / p.z * (vec3(axes[0].y, axes[1].y, axes[2].y) - slope.y * vec3(axes[0].z, axes[1].z, axes[2].z));
  float a = dot(u, u), b = dot(u, v), c = dot(v, v), before = a * c - b * b;
  a += ${DILATION};
  c += ${DILATION};
  if (antialiased) color.a *= sqrt(max(before / (a * c - b * b), ${LEAST_SHRINKAGE ** 2}));
  if (color.a * 255.0 < 1.0) return;
  float middle = 0.5 * (a + c), apart = length(vec2(0.5 * (a - c), b)); // the ellipse's axes
  float longer = middle + apart, shorter = max(middle - apart, 1e-6);
  vec2 axis = abs(b) > 1e-9 ? normalize(vec2(b, longer - a)) : (a >= c ? vec2(1, 0) : vec2(0, 1));
  place = corner * sqrt(2.0 * log(255.0 * color.a)); // in standard deviations
  vec2 moved = place.x * sqrt(longer) * axis + place.y * sqrt(shorter) * vec2(-axis.y, axis.x);
  vec2 pixels = focal * p.xy / p.z + moved;
  gl_Position = vec4(2.0 * pixels / size * vec2(1, -1), 0, 1);
}`

const FRAGMENT = `#version 300 es
precision highp float;
in vec2 place;
in vec4 color;
out vec4 pixel;
void main() {
  float alpha = min(0.99, color.a * exp(-0.5 * dot(place, place)));
  if (alpha < 1.0 / 255.0) discard;
  pixel = vec4(color.rgb * alpha, alpha);
}`
