"""NeRF in plain formulas, from the paper and the conventions of its code, to test mappings against."""

import torch
from torch import Tensor

from conformance.case import Args


def tensors(s: Args) -> list[list]:
    """The entries of one network's official state dict, with spreads that give a varied picture."""
    points, views = (
        (3, 3)
        if s["i_embed"] == -1
        else (
            3 + 6 * s["multires"],
            3 + 6 * s["multires_views"],
        )
    )
    return mlp_tensors(
        s["net_D"],
        s["net_W"],
        points,
        views if s["use_viewdirs"] else 0,
        s["net_skips"],
        s["use_viewdirs"],
        s["output_ch"],
    )


def mlp_tensors(
    depth: int, width: int, points: int, views: int, skips: list[int], directed: bool, out: int
) -> list[list]:
    """The entries of a network of `depth` layers with inputs of these widths."""
    sides = {
        f"pts_linears.{i}": (width, points if i == 0 else width + points * (i - 1 in skips))
        for i in range(depth)
    }
    sides["views_linears.0"] = (width // 2, width + views)
    if directed:
        sides |= {"feature_linear": (width, width), "alpha_linear": (1, width), "rgb_linear": (3, width // 2)}
    else:
        sides["output_linear"] = (out, width)
    return [
        entry
        for name, (rows, columns) in sides.items()
        for entry in (
            [f"{name}.weight", [rows, columns], 0.0, (3 / columns) ** 0.5],
            [f"{name}.bias", [rows], 0.1, 0.2],
        )
    ]


def encode(x: Tensor, s: Args, octaves: int) -> Tensor:
    """x, then sines and cosines of x times 1, 2, 4, ...; nothing but x where the encoding is off."""
    parts = [x]
    for k in range(octaves if s["i_embed"] != -1 else 0):
        parts += [torch.sin(2**k * x), torch.cos(2**k * x)]
    return torch.cat(parts, dim=-1)


def network(
    w: dict[str, Tensor], x: Tensor, v: Tensor, depth: int, skips: list[int], directed: bool
) -> Tensor:
    """Encoded points and directions [..., C] -> raw color, raw density [..., 4 or more]."""

    def layer(name: str, y: Tensor) -> Tensor:
        return y @ w[f"{name}.weight"].mT + w[f"{name}.bias"]

    h = x
    for i in range(depth):
        h = layer(f"pts_linears.{i}", h).relu()
        if i in skips:
            h = torch.cat([x, h], dim=-1)
    if not directed:
        return layer("output_linear", h)
    y = layer("views_linears.0", torch.cat([layer("feature_linear", h), v], dim=-1)).relu()
    return torch.cat([layer("rgb_linear", y), layer("alpha_linear", h)], dim=-1)


def composite(raw: Tensor, t: Tensor, d: Tensor, white: bool, noise: Tensor | float) -> dict[str, Tensor]:
    """Raw samples [R, S, 4], distances [R, S], directions [R, 3] -> the pixel (NeRF, eq. 3)."""
    steps = torch.cat([t[:, 1:] - t[:, :-1], torch.full_like(t[:, :1], 1e10)], -1) * d.norm(dim=-1)[:, None]
    alpha = 1 - torch.exp(-(raw[..., 3] + noise).relu() * steps)
    passed = torch.cumprod(1 - alpha + 1e-10, dim=-1)
    weights = alpha * torch.cat([torch.ones_like(passed[:, :1]), passed[:, :-1]], dim=-1)
    acc, depth = weights.sum(-1), (weights * t).sum(-1)
    rgb = (weights[..., None] * torch.sigmoid(raw[..., :3])).sum(1) + (1 - acc)[:, None] * white
    return {
        "rgb": rgb,
        "acc": acc,
        "depth": depth,
        "weights": weights,
        "disp": 1 / (depth / acc).clamp(min=1e-10),
    }


def importance(edges: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Edges [R, M], weights [R, M - 1], numbers [R, F] -> distances by the inverse CDF."""
    shares = (weights + 1e-5) / (weights + 1e-5).sum(-1, keepdim=True)
    found = torch.empty_like(u)
    for r, row in enumerate(shares):
        cdf = [0.0]
        for share in row.tolist():
            cdf.append(cdf[-1] + share)
        for k, value in enumerate(u[r].tolist()):
            j = max(j for j in range(len(row)) if cdf[j] <= value)
            step = cdf[j + 1] - cdf[j]
            place = (value - cdf[j]) / (step if step >= 1e-5 else 1.0)
            found[r, k] = edges[r, j] + place * (edges[r, j + 1] - edges[r, j])
    return found


def render(weights: dict[str, dict[str, Tensor]], inputs: dict[str, Tensor], s: Args) -> dict[str, dict]:
    """Rows of rays, recorded numbers -> both passes."""
    o, d, views = inputs["rays"][:, :3], inputs["rays"][:, 3:6], inputs["rays"][:, 8:11]
    share = torch.linspace(0, 1, s["N_samples"], dtype=o.dtype).expand(len(o), -1)
    t = s["near"] * (1 - share) + s["far"] * share
    if s["lindisp"]:
        t = 1 / (1 / s["near"] * (1 - share) + 1 / s["far"] * share)
    if s["perturb"]:
        middle = (t[:, 1:] + t[:, :-1]) / 2
        lower, upper = torch.cat([t[:, :1], middle], 1), torch.cat([middle, t[:, -1:]], 1)
        t = lower + (upper - lower) * inputs["t_rand"]

    def one(w: dict[str, Tensor], t: Tensor, noise: str) -> dict[str, Tensor]:
        x = encode(o[:, None] + t[..., None] * d[:, None], s, s["multires"])
        v = encode(views, s, s["multires_views"])[:, None].expand(-1, t.shape[1], -1) if views.numel() else x
        raw = network(w, x, v, s["net_D"], s["net_skips"], s["use_viewdirs"])
        std = s["raw_noise_std"]
        return composite(raw, t, d, s["white_bkgd"], std * inputs[noise] if std else 0.0)

    coarse = one(weights["coarse"], t, "noise0")
    if not s["N_importance"]:
        return {"coarse": coarse, "fine": coarse}
    middle, inner = (t[:, 1:] + t[:, :-1]) / 2, coarse["weights"][:, 1:-1].detach()
    u = torch.linspace(0, 1, s["N_importance"], dtype=o.dtype).expand(len(o), -1)
    z = importance(middle, inner, inputs["u"] if s["perturb"] else u)
    fine = one(weights.get("fine", weights["coarse"]), torch.cat([t, z], 1).sort(-1).values, "noise1")
    return {"coarse": coarse, "fine": fine | {"z_std": z.std(-1, correction=0)}}
