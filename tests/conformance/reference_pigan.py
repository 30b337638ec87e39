"""pi-GAN in plain formulas, from the paper and the conventions of its code, to test mappings against."""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, leaky_relu, softplus

from conformance.case import Args
from conformance.reference_nerf import importance


def linear_entries(sides: dict[str, tuple[int, int]], gain: float) -> list[list]:
    """Weight [rows, columns] and bias [rows] of linear layers, as entries of a state dict."""
    return [
        entry
        for name, (rows, columns) in sides.items()
        for entry in (
            [f"{name}.weight", [rows, columns], 0.0, gain / columns**0.5],
            [f"{name}.bias", [rows], 0.0, 0.1],
        )
    ]


def field_tensors(s: Args, prefix: str = "") -> list[list]:
    """The entries of the official state dict of a field with its mapping network."""
    width, inputs = s["hidden_dim"], 3 + (s["grid_channels"] or 0)
    field = {f"network.{i}.layer": (width, width if i else inputs) for i in range(s["n_layers"])}
    field |= {"final_layer": (1, width), "color_layer_sine.layer": (width, width + 3)}
    field["color_layer_linear.0"] = (3, width)
    sides = [s["z_dim"]] + [s["mapping_hidden_dim"]] * (s["mapping_layers"] - 1)
    sides.append(2 * (s["n_layers"] + 1) * width)
    mapping = {f"mapping_network.network.{2 * i}": (b, a) for i, (a, b) in enumerate(pairwise(sides))}
    entries = linear_entries(field, 0.1) + linear_entries(mapping, 0.6)
    if s["grid_channels"]:
        cells = [1, s["grid_channels"]] + [s["grid_size"]] * 3
        entries.insert(0, ["spatial_embeddings", cells, 0.0, 0.5])
    for entry in entries:
        if entry[0] == "final_layer.weight":
            entry[3] *= 300
    return [[prefix + entry[0], *entry[1:]] for entry in entries]


def style(w: dict[str, Tensor], z: Tensor, layers: int) -> Tensor:
    """z [B, Z] -> raw frequencies, then raw phases [B, 2 L W]."""
    for i in range(layers):
        z = z @ w[f"mapping_network.network.{2 * i}.weight"].mT + w[f"mapping_network.network.{2 * i}.bias"]
        z = leaky_relu(z, 0.2) if i < layers - 1 else z
    return z


def trilinear(grid: Tensor, points: Tensor) -> Tensor:
    """Grid [1, C, G, G, G] (z, y, x) over [-1, 1]^3, 0 outside; points [..., 3] -> [..., C]."""
    size = grid.shape[-1]
    place = (points + 1) / 2 * (size - 1)
    found = torch.zeros(*points.shape[:-1], grid.shape[1], dtype=points.dtype)
    for corner in range(8):
        offset = torch.tensor([corner >> axis & 1 for axis in range(3)])
        index = place.floor().long() + offset
        share = (1 - (place - index).abs()).prod(-1) * ((index >= 0) & (index < size)).all(-1)
        x, y, z = index.clamp(0, size - 1).unbind(-1)
        found = found + share[..., None] * grid[0, :, z, y, x].movedim(0, -1)
    return found


def field(w: dict[str, Tensor], s: Args, points: Tensor, directions: Tensor, raw: Tensor) -> Tensor:
    """points, directions [B, N, 3], raw styles [B, 2 L W] -> color, raw density [B, N, 4] (pi-GAN, eq. 2)."""
    frequencies, phases = raw.chunk(2, dim=-1)
    width = s["hidden_dim"]

    def film(name: str, i: int, x: Tensor) -> Tensor:
        f, p = (y[:, None, i * width : (i + 1) * width] for y in (frequencies, phases))
        f = s["frequency_factor"] * f + s["frequency_offset"]
        return torch.sin(f * (x @ w[f"{name}.weight"].mT + w[f"{name}.bias"]) + p)

    x = points * s["input_scale"]
    if s["grid_channels"]:
        x = torch.cat([trilinear(w["spatial_embeddings"], x), x], dim=-1)
    for i in range(s["n_layers"]):
        x = film(f"network.{i}.layer", i, x)
    density = x @ w["final_layer.weight"].mT + w["final_layer.bias"]
    x = film("color_layer_sine.layer", s["n_layers"], torch.cat([directions, x], dim=-1))
    rgb = torch.sigmoid(x @ w["color_layer_linear.0.weight"].mT + w["color_layer_linear.0.bias"])
    return torch.cat([rgb, density], dim=-1)


def angles(mode: str | None, mean: Tensor, std: Tensor, numbers: Tensor, hybrid: float = 0.0) -> Tensor:
    """Numbers [B, 2, ...] for yaw and pitch -> yaw and pitch [B, 2]."""
    if mode == "truncated_gaussian":
        numbers = torch.stack([next(x for x in row if abs(x) < 2) for row in numbers.flatten(0, 1)])
        return mean + std * numbers.view(-1, 2)
    if mode in ("gaussian", "normal") or (mode == "hybrid" and hybrid >= 0.5):
        return mean + std * numbers
    if mode in ("uniform", "hybrid"):
        return mean + std * (2 * numbers - 1) * (2 if mode == "hybrid" else 1)
    if mode == "spherical_uniform":
        found = mean + std * (2 * numbers - 1)
        polar = torch.acos(1 - 2 * (found[:, 1] / math.pi).clamp(1e-5, 1 - 1e-5))
        return torch.stack([found[:, 0], polar], dim=-1)
    return mean.expand(len(numbers), 2)


def rays(angles: Tensor, fov: float, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """Yaw, pitch [B, 2] -> eyes [B, 3], unit directions [B, H * W, 3], rotations [B, 3, 3]."""
    yaw, pitch = angles[:, 0], angles[:, 1].clamp(1e-5, math.pi - 1e-5)
    eye = torch.stack([pitch.sin() * yaw.cos(), pitch.cos(), pitch.sin() * yaw.sin()], dim=-1)
    right = torch.linalg.cross(torch.tensor([[0.0, 1.0, 0.0]]).to(eye).expand_as(eye), eye)
    right = right / right.norm(dim=-1, keepdim=True)
    pose = torch.stack([right, torch.linalg.cross(eye, right), eye], dim=-1)
    x = torch.linspace(-1, 1, width, dtype=eye.dtype).expand(height, width)
    y = torch.linspace(1, -1, height, dtype=eye.dtype)[:, None].expand(height, width)
    plane = torch.stack([x, y, torch.full_like(x, -1 / math.tan(math.radians(fov) / 2))], dim=-1).view(-1, 3)
    plane = plane / plane.norm(dim=-1, keepdim=True)
    return eye, plane @ pose.mT, pose


def composite(out: Tensor, t: Tensor, s: Args, noise: Tensor | float) -> tuple[Tensor, ...]:
    """Samples [R, S, 4], distances [R, S] -> color [R, 3], depth, opacity [R], weights [R, S]."""
    steps = torch.cat([t[:, 1:] - t[:, :-1], torch.full_like(t[:, :1], s["last_interval"])], dim=-1)
    activation = torch.relu if s["clamp_mode"] == "relu" else softplus
    alpha = 1 - torch.exp(-steps * activation(out[..., 3] + noise))
    passed = torch.cumprod(1 - alpha + 1e-10, dim=-1)
    weights = alpha * torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=-1)
    acc = weights.sum(-1)
    if s["last_back"]:
        weights = torch.cat([weights[:, :-1], weights[:, -1:] + (1 - acc)[:, None]], dim=-1)
    rgb = (weights[..., None] * out[..., :3]).sum(1) + s["white_back"] * (1 - acc)[:, None]
    if s["fill_mode"] == "debug":
        rgb[acc < 0.9] = torch.tensor([1.0, 0.0, 0.0]).to(rgb)
    elif s["fill_mode"] == "weight":
        rgb = acc[:, None].expand(-1, 3)
    return rgb, (weights * t).sum(-1), acc, weights


def render(w: dict[str, Tensor], inputs: dict[str, Tensor], s: Args, raw: Tensor) -> tuple[Tensor, ...]:
    """Raw styles [B, 2 L W], recorded numbers -> pictures [B, 3, H, W] in [-1, 1], depth, (pitch, yaw)."""
    count, side, steps = len(raw), s["img_size"], s["num_steps"]
    mean, std = (raw.new_tensor([s[f"h_{key}"], s[f"v_{key}"]]) for key in ("mean", "stddev"))
    pose = inputs["pose"][:, :, 0].movedim(1, 0) if "pose" in inputs else raw.new_zeros(count, 2)
    found = angles(s["sample_dist"], mean, std, pose)
    eye, directions, _ = rays(found, s["fov"], side, side)
    seen = (
        torch.tensor([0.0, 0.0, -1.0]).to(raw).expand_as(directions)
        if s["lock_view_dependence"]
        else directions
    )

    def query(t: Tensor) -> Tensor:
        points = eye[:, None, None] + t[..., None] * directions[:, :, None]
        views = seen[:, :, None].expand_as(points)
        out = field(w, s, points.flatten(1, 2), views.flatten(1, 2), raw)
        return out.view(count * side**2, -1, 4)

    t = torch.linspace(s["ray_start"], s["ray_end"], steps, dtype=raw.dtype)
    t = t + (inputs["jitter"][..., 0] - 0.5) * (t[1] - t[0])
    out, flat = query(t), t.flatten(0, 1)

    def noise(name: str) -> Tensor | float:
        return s["nerf_noise"] * inputs[name][..., 0].flatten(0, 1) if s["nerf_noise"] else 0.0

    if s["hierarchical_sample"]:
        plain = s | {"last_back": False, "white_back": False, "fill_mode": None}
        weights = composite(out, flat, plain, noise("noise0"))[3].detach() + 1e-5
        middle = (flat[:, 1:] + flat[:, :-1]) / 2
        z = importance(middle, weights[:, 1:-1], inputs["importance"])
        flat, order = torch.cat([flat, z], dim=1).sort(-1)
        out = torch.cat([out, query(z.view(count, side**2, -1))], 1)
        out = out.gather(1, order[..., None].expand(-1, -1, 4))
    rgb, depth, *_ = composite(out, flat, s, noise("noise1"))
    pixels = rgb.view(count, side, side, 3).permute(0, 3, 1, 2) * 2 - 1
    return pixels, depth.view(count, side, side), found.flip(-1)


def discriminator_tensors(s: Args) -> list[list]:
    """The entries of the official state dict of a discriminator."""
    channels, pooled, entries = s["channels"], "Progressive" in s["discriminator"], []

    def convolution(name: str, rows: int, columns: int, kernel: int) -> None:
        std = (2 / (columns * kernel**2)) ** 0.5
        entries.extend(
            [
                [f"{name}.weight", [rows, columns, kernel, kernel], 0.0, std],
                [f"{name}.bias", [rows], 0.0, 0.2],
            ]
        )

    inner, more = (".conv", 2) if s["coord_channels"] else ("", 0)
    for i, (a, b) in enumerate(pairwise(channels)):
        convolution(f"layers.{i}.network.0{inner}", b, a + more, 3)
        convolution(f"layers.{i}.network.2{inner}", b, b + more, 3)
        if not pooled or a != b:
            convolution(f"layers.{i}.proj", b, a, 1)
    for i, width in enumerate(channels):
        convolution(f"fromRGB.{i}.model.0", width, 3, 1)
    convolution("final_layer", 1 + s["latent_outputs"] + s["position_outputs"], channels[-1], 2)
    return entries


def discriminator(w: dict[str, Tensor], s: Args, image: Tensor, alpha: float) -> Tensor:
    """Images [B, 3, S, S] in [-1, 1] -> logit, predicted z, predicted (pitch, yaw) [B, 1 + Z + 2]."""
    pooled = "Progressive" in s["discriminator"]

    def convolution(name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        if s["coord_channels"] and "network" in name:
            line = torch.linspace(-1, 1, x.shape[-1], dtype=x.dtype)
            grid = torch.stack(torch.meshgrid(line, line, indexing="ij")).expand(len(x), -1, -1, -1)
            x, name = torch.cat([x, grid], dim=1), f"{name}.conv"
        return conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], stride, padding)

    start = s["entry_sizes"].index(image.shape[-1])
    x = leaky_relu(convolution(f"fromRGB.{start}.model.0", image), 0.2)
    for i in range(start, len(s["channels"]) - 1):
        if i == start + 1:
            other = leaky_relu(convolution(f"fromRGB.{i}.model.0", image[..., ::2, ::2]), 0.2)
            x = alpha * x + (1 - alpha) * other
        y = leaky_relu(convolution(f"layers.{i}.network.0", x, padding=1), 0.2)
        y = leaky_relu(convolution(f"layers.{i}.network.2", y, 1 if pooled else 2, 1), 0.2)
        if pooled:
            x, y = avg_pool2d(x, 2), avg_pool2d(y, 2)
        if f"layers.{i}.proj.weight" in w:
            x = convolution(f"layers.{i}.proj", x, 1 if pooled else 2)
        x = (x + y) / math.sqrt(2)
    return convolution("final_layer", x).flatten(1)


def losses(
    out_real: Tensor, out_fake: Tensor, real: Tensor, z: Tensor, pose: Tensor, s: Args
) -> dict[str, Tensor]:
    """The losses of both players on predictions for real images and fakes, and their terms."""
    (gradient,) = torch.autograd.grad(out_real[:, 0].sum(), real, create_graph=True)
    r1 = 0.5 * s["r1_lambda"] * gradient.square().sum((1, 2, 3)).mean()
    identity = torch.zeros(()).to(z)
    if s["encoder"]:
        identity = s["z_lambda"] * (out_fake[:, 1:-2] - z).square().mean()
        identity = identity + s["pos_lambda"] * (out_fake[:, -2:] - pose).square().mean()
    k = math.ceil(max(s["topk_base"] ** (s["step"] / s["topk_interval"]), s["topk_v"]) * len(z))
    best = out_fake[:, 0].sort(descending=True).values[:k]
    d_loss = softplus(out_fake[:, 0]).mean() + softplus(-out_real[:, 0]).mean() + r1 + identity
    return {
        "d_loss": d_loss,
        "r1": r1,
        "identity": identity,
        "k": torch.tensor(k),
        "g_loss": softplus(-best).mean() + identity,
    }
