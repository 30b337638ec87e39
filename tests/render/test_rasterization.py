"""Gaussian splatting: the compiled loops against plain torch, laws of the projection, odd inputs."""

import sys
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from genscene import BadInput, provide_gsplat
from genscene.geometry.cameras import Camera, look_at, pinhole
from genscene.geometry.rotations import quaternion, rotation
from genscene.kernels import splats as kernel
from genscene.render.rasterization import rasterize
from genscene.render.splatting import render_gaussians
from genscene.scenes import Gaussians

SIZE = (37, 29)
NAMES = ("means", "quats", "scales", "opacities", "colors", "viewmats", "Ks")


def scene(count=40, dtype=torch.float64, cameras=1, batch=()):
    """Random Gaussians before a camera, some of them opaque, as arguments of rasterize."""
    numbers = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*batch, *shape, generator=numbers, dtype=torch.float64)

    turns = rotation(normalize(normal(cameras, 4) * 0.05 + torch.tensor([1.0, 0, 0, 0]), dim=-1))
    viewmats = torch.eye(4).double().repeat(*batch, cameras, 1, 1)
    viewmats[..., :3, :3], viewmats[..., 2, 3] = turns, 4.0
    intrinsics = torch.tensor([[45.0, 0, 14], [0, 40, 19], [0, 0, 1]]).double()
    given = {
        "means": normal(count, 3) * 0.8,
        "quats": normal(count, 4),
        "scales": (normal(count, 3) * 0.5 - 1.5).exp(),
        "opacities": (normal(count) * 3 + 1).sigmoid(),
        "colors": normal(count, 3).sigmoid(),
        "viewmats": viewmats,
        "Ks": intrinsics.expand(*batch, cameras, 3, 3).clone(),
    }
    return {name: x.to(dtype).requires_grad_() for name, x in given.items()}


def values_and_gradients(given, **options):
    """Colors and alpha of a picture, and the gradients of a random combination of them by all inputs."""
    size = {"width": SIZE[1], "height": SIZE[0]}
    image, alpha, _ = rasterize(**given, **size, **options)
    numbers = torch.Generator().manual_seed(1)
    total = sum((torch.randn(x.shape, generator=numbers).to(x) * x).sum() for x in (image, alpha))
    return image, alpha, *torch.autograd.grad(total, list(given.values()))


@pytest.mark.parametrize(
    "options", [{}, {"render_mode": "RGB+ED", "rasterize_mode": "antialiased"}, {"camera_model": "ortho"}]
)
def test_compiled_loops_compute_what_torch_computes(options):
    found = values_and_gradients(scene(), backend="compiled", **options)
    wanted = values_and_gradients(scene(), backend="torch", **options)
    for name, ours, theirs in zip(("image", "alpha", *NAMES), found, wanted, strict=True):
        assert (ours - theirs).abs().max() <= 1e-10 * theirs.abs().max(), name


def test_single_precision_is_close_to_double():
    found, wanted = values_and_gradients(scene(dtype=torch.float32)), values_and_gradients(scene())
    for name, ours, theirs in zip(("image", "alpha", *NAMES), found, wanted, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), name


def test_results_do_not_depend_on_the_number_of_threads():
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(values_and_gradients(scene(300, torch.float32, cameras=2)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_gradients_of_everything_are_slopes():
    given = {name: x.detach() for name, x in scene(5).items()}
    given["scales"] = given["scales"] * 3
    given["opacities"] = given["opacities"] * 0.8  # no alpha at its most, where the slope jumps
    wide = kernel.Limits(alpha_min=1e-5, stop=0.0)

    def picture(*tensors):
        named = dict(zip(NAMES, tensors, strict=True))
        colors, alpha, _ = rasterize(**named, width=9, height=7, render_mode="RGB+D", limits=wide)
        return colors, alpha

    given["Ks"] = given["Ks"] * given["Ks"].new_tensor([0.25, 0.25, 1.0])[:, None]
    # the sum of gradients along many pixels that each change by 1e-5 at their ends
    assert torch.autograd.gradcheck(
        picture, [x.requires_grad_() for x in given.values()], atol=2e-3, rtol=1e-3, fast_mode=False
    )


def test_world_and_camera_moved_together_change_nothing():
    given = {name: x.detach() for name, x in scene().items()}
    turn = rotation(normalize(torch.tensor([[0.3, 0.5, -0.2, 0.7]]).double(), dim=-1))[0]
    shift = torch.tensor([0.3, -2.0, 1.0]).double()
    moved = dict(given)
    moved["means"] = given["means"] @ turn.mT + shift
    moved["quats"] = quaternion(turn @ rotation(normalize(given["quats"], dim=-1)))
    world = torch.eye(4).double()
    world[:3, :3], world[:3, 3] = turn, shift
    moved["viewmats"] = given["viewmats"] @ torch.linalg.inv(world)
    size = {"width": SIZE[1], "height": SIZE[0], "render_mode": "RGB+ED"}
    for a, b in zip(rasterize(**given, **size)[:2], rasterize(**moved, **size)[:2], strict=True):
        assert torch.allclose(a, b, atol=1e-9)


def test_batches_of_scenes_and_cameras_are_each_alone():
    given = {name: x.detach() for name, x in scene(20, batch=(2, 3), cameras=2).items()}
    size = {"width": SIZE[1], "height": SIZE[0], "render_mode": "RGB+D"}
    backgrounds = torch.rand(2, 3, 2, 3).double()
    image, alpha, about = rasterize(**given, **size, backgrounds=backgrounds)
    assert image.shape == (2, 3, 2, *SIZE, 4)
    assert alpha.shape == (2, 3, 2, *SIZE, 1)
    assert about["means2d"].shape == (2, 3, 2, 20, 2)
    alone = {name: x[1, 2] for name, x in given.items()}
    one = {name: x[1:] if name in ("viewmats", "Ks") else x for name, x in alone.items()}
    single = rasterize(**one, **size, backgrounds=backgrounds[1, 2, 1:])
    assert torch.equal(single[0][0], image[1, 2, 1])
    assert torch.equal(single[1][0], alpha[1, 2, 1])


def test_colors_of_each_camera():
    given = {name: x.detach() for name, x in scene(20, cameras=2).items()}
    size = {"width": SIZE[1], "height": SIZE[0]}
    own = torch.stack([given["colors"], 1 - given["colors"]])
    both, _, _ = rasterize(**given | {"colors": own}, **size)
    first, _, _ = rasterize(**given, **size)
    second, _, _ = rasterize(**given | {"colors": 1 - given["colors"]}, **size)
    assert torch.equal(both, torch.stack([first[0], second[1]]))


def test_harmonics_of_degree_0_are_colors_from_everywhere():
    given = {name: x.detach() for name, x in scene(20, cameras=2).items()}
    size = {"width": SIZE[1], "height": SIZE[0]}
    coefficients = torch.zeros(20, 16, 3).double()
    coefficients[:, 0] = (given["colors"] - 0.5) / 0.28209479177387814
    found, _, _ = rasterize(**given | {"colors": coefficients}, **size, sh_degree=3)
    assert torch.allclose(found, rasterize(**given, **size)[0], atol=1e-12)
    with pytest.raises(BadInput, match="wanted a degree from 0 to 3, and 16 coefficients"):
        rasterize(**given | {"colors": coefficients[:, :9]}, **size, sh_degree=3)


def wall(color, depth, opacity=1.0):
    """One wide flat Gaussian before a camera in the origin, as a scene of the library."""
    return Gaussians(
        torch.tensor([[[0.0, 0.0, depth]]]),
        torch.tensor([[[1.0, 0, 0, 0]]]),
        torch.tensor([[[50.0, 50.0, 0.01]]]),
        torch.tensor([[opacity]]),
        torch.tensor([[color]]),
    )


CAMERA = Camera(torch.eye(4)[None], pinhole(torch.tensor([60.0]), SIZE), SIZE)


def test_a_wall_has_its_color_its_distance_and_hides_what_is_behind():
    near, far = wall([0.2, 0.4, 0.6], 2.0), wall([1.0, 1.0, 1.0], 3.0)
    names = ("means", "quats", "scales", "opacities", "colors")
    together = Gaussians(*(torch.cat([getattr(far, n), getattr(near, n)], dim=1) for n in names))
    picture = render_gaussians(together, CAMERA, torch.tensor([[1.0, 0.0, 0.0]]))
    # an alpha is at most 0.99; the second wall would leave 1e-4, so it is left out, the rest background
    wanted = 0.99 * torch.tensor([0.2, 0.4, 0.6]) + 0.01 * torch.tensor([1.0, 0.0, 0.0])
    assert torch.allclose(picture.image[0, :, 18, 14], wanted, atol=1e-5)
    alone = render_gaussians(near, CAMERA)
    assert torch.allclose(alone.depth[0, 0, 18, 14], torch.tensor(2.0), atol=1e-4)
    corner = CAMERA.rays().directions[0, 0].norm()
    assert torch.allclose(alone.depth[0, 0, 0, 0], 2 * corner, rtol=1e-4)


def test_a_translucent_splat_shares_with_the_background():
    picture = render_gaussians(wall([0.0, 1.0, 0.0], 2.0, 0.25), CAMERA, torch.tensor([[1.0, 0.0, 0.0]]))
    assert torch.allclose(picture.alpha[0, 0, 18, 14], torch.tensor(0.25), atol=1e-3)
    assert torch.allclose(picture.image[0, :, 18, 14], torch.tensor([0.75, 0.25, 0.0]), atol=1e-3)


@pytest.mark.parametrize("count", [0, 3])
@pytest.mark.parametrize("backend", ["compiled", "torch"])
def test_nothing_before_the_camera_is_the_background(count, backend):
    given = scene(count, torch.float32)
    behind = {name: x.detach().requires_grad_() for name, x in given.items()}
    behind["means"] = (given["means"].detach() - torch.tensor([0.0, 0.0, 40.0])).requires_grad_()
    backgrounds = torch.rand(1, 3)
    size = {"width": SIZE[1], "height": SIZE[0]}
    image, alpha, about = rasterize(**behind, **size, backgrounds=backgrounds, backend=backend)
    assert torch.equal(image, backgrounds[:, None, None].expand(1, *SIZE, 3))
    assert not alpha.any()
    assert not about["radii"].any()
    gradients = torch.autograd.grad(image.sum() + alpha.sum(), list(behind.values()), allow_unused=True)
    assert all(g is None or not g.any() for g in gradients)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_gaussians_that_are_nowhere_leave_the_others_as_they_are(bad):
    given = {name: x.detach() for name, x in scene(10, torch.float32).items()}
    size = {"width": SIZE[1], "height": SIZE[0]}
    wanted, _, _ = rasterize(**given, **size)
    broken = {name: torch.cat([x, x[:1]]) for name, x in given.items() if name not in ("viewmats", "Ks")}
    for name in ("means", "scales"):
        with_one = given | broken | {name: broken[name].clone()}
        with_one[name][-1] = bad
        with_one["opacities"] = torch.cat([given["opacities"], torch.zeros(1)])
        assert torch.equal(rasterize(**with_one, **size)[0], wanted)


def test_what_is_near_far_or_small_can_be_left_out():
    given = {name: x.detach() for name, x in scene(30).items()}
    size = {"width": SIZE[1], "height": SIZE[0]}
    depths = rasterize(**given, **size)[2]["depths"][0]
    middle = depths.median().item()
    _, _, near = rasterize(**given, **size, far_plane=middle)
    _, _, far = rasterize(**given, **size, near_plane=middle)
    assert not near["radii"][0][depths >= middle].any()
    assert not far["radii"][0][depths <= middle].any()
    assert not rasterize(**given, **size, radius_clip=1000.0)[1].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opacities": torch.full((40,), 2.0).double()}, "opacities from 2 to 2: wanted 0 to 1"),
        ({"opacities": torch.full((40,), float("nan")).double()}, "wanted 0 to 1"),
        ({"quats": torch.zeros(40, 3).double()}, r"quats has shape \[40, 3\], wanted \[40, 4\]"),
        ({"colors": torch.zeros(41, 3).double()}, r"colors has shape \[41, 3\], wanted \[40, D\]"),
        ({"viewmats": torch.zeros(4, 4).double()}, r"viewmats has shape \[4, 4\], wanted \[C, 4, 4\]"),
        ({"width": 0}, "a picture of 0 x 37 pixels"),
        ({"render_mode": "depth"}, "render_mode 'depth': wanted one of RGB, D, ED"),
        ({"camera_model": "fisheye"}, "camera_model 'fisheye': wanted one of pinhole, ortho"),
        ({"backend": "cuda"}, "backend 'cuda': wanted one of auto"),
        ({"backend": "gsplat"}, "wanted gsplat installed and tensors on CUDA, got cpu"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(change, message):
    given = {name: x.detach() for name, x in scene().items()} | {"width": SIZE[1], "height": SIZE[0]}
    with pytest.raises(BadInput, match=message):
        rasterize(**given | change)


def test_limits_that_cannot_be_are_refused():
    with pytest.raises(BadInput, match="wanted 1e-05 <= alpha_min < alpha_max < 1"):
        kernel.Limits(alpha_max=1.0)


def test_pictures_of_a_scene_show_it_from_the_camera():
    eye = torch.tensor([[0.0, 0.0, 3.0]])
    camera = replace(CAMERA, pose=look_at(eye))
    red = replace(wall([1.0, 0, 0], 0.0), means=torch.tensor([[[0.5, 0.0, 0.0]]]))
    small = replace(red, scales=torch.full((1, 1, 3), 0.1))
    picture = render_gaussians(small, camera)
    column = picture.alpha[0, 0].sum(0).argmax()
    assert column > SIZE[1] // 2  # world x is to the right of a camera on +z that looks back


def test_programs_that_import_gsplat_get_the_same(monkeypatch):
    given = {name: x.detach() for name, x in scene().items()}
    for name in ("gsplat", "gsplat.rendering"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    if not provide_gsplat():
        pytest.skip("gsplat is installed")
    try:
        from gsplat import rasterization
        from gsplat.rendering import rasterization as again

        assert rasterization is again
        options = {"width": SIZE[1], "height": SIZE[0], "packed": False, "channel_chunk": 32}
        found, _, _ = rasterization(**given, **options, distributed=False)
        assert torch.equal(found, rasterize(**given, width=SIZE[1], height=SIZE[0])[0])
        with pytest.raises(BadInput, match="distributed is True, wanted False: only gsplat has others"):
            rasterization(**given, **options, distributed=True)
    finally:
        for name in ("gsplat", "gsplat.rendering"):
            sys.modules.pop(name, None)
