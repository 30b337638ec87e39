"""The embedded rooms: objects by CLEVR's rules, masks, depths, shadows, cameras, files."""

import json
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from genscene.cli import main
from genscene.data.images import load_images
from genscene.data.synthetic import CAMERAS, CLEVR, GroundTruth, room_objects, synthesize, views_of_one
from genscene.data.synthetic.ground import Ground
from genscene.data.synthetic.raytrace import trace
from genscene.data.synthetic.rooms import APART, COLORS, GAP, PLACES, RoomObjects, reach
from genscene.errors import BadInput
from genscene.evaluation.generator_metrics.pose_accuracy import POSED_SETS
from genscene.experiment.schema import ImageConfig

ROOMS = ("rooms", "rooms-2-5", "rooms-clevr", "rooms-2-5-clevr")


def room(shape=1, size=0.25, x=0.0, z=0.0, metal=False, yaw=0.0, color=1) -> RoomObjects:
    """A room with one object."""
    center = torch.tensor([[[x, size, z]]])
    numbers = (torch.tensor([[value]]) for value in (shape, color, metal, size))
    return RoomObjects(torch.tensor([[True]]), *numbers, center, torch.tensor([[yaw]]))


def seen(objects: RoomObjects, size=(64, 64), camera="narrow", **ground) -> GroundTruth:
    """Such a room as the set's pictures show it."""
    prior = CAMERAS[camera]
    yaw, pitch = (torch.full((len(objects.exists),), angle) for angle in prior.mean_angles())
    cameras = prior.camera_at(yaw, pitch, size)
    return GroundTruth(trace(objects.solids(), cameras, 2, Ground(**ground)), cameras, yaw, pitch, objects)


def projected(truth: GroundTruth, points: torch.Tensor) -> torch.Tensor:
    """World points [B, P, 3] -> pixels (column, row) [B, P, 2]."""
    inverse = torch.linalg.inv(truth.cameras.pose)
    inside = points @ inverse[:, :3, :3].mT + inverse[:, None, :3, 3]
    plane = inside @ truth.cameras.intrinsics.mT
    height, width = truth.cameras.size
    return plane[..., :2] / plane[..., 2:] * torch.tensor([width, height])


@pytest.mark.parametrize("name", ROOMS)
def test_an_image_and_its_objects_are_functions_of_index_and_seed(name):
    many, one = synthesize(name, range(5), (16, 16), 3), synthesize(name, range(3, 4), (16, 16), 3)
    assert torch.equal(many.pixels()[3], one.pixels()[0])
    table = room_objects(name, range(3, 4), 3)
    for field, value in vars(table).items():
        assert torch.equal(value, getattr(one.objects, field)), field
        assert torch.equal(value[0], getattr(many.objects, field)[3]), field
    assert not torch.equal(synthesize(name, range(3, 4), (16, 16), 4).pixels(), one.pixels())


def test_counts_shapes_colors_and_materials_are_even():
    objects = room_objects("rooms-2-5", range(1000))
    counts = objects.exists.sum(dim=1)
    assert torch.bincount(counts)[2:].min() > 200
    assert counts.max() == 5
    assert (room_objects("rooms", range(50)).exists.sum(dim=1) == 2).all()
    there = objects.exists
    for values, kinds in ((objects.shape, 3), (objects.color, len(COLORS)), (objects.metal.long(), 2)):
        shares = torch.bincount(values[there]).float() / there.sum()
        assert len(shares) == kinds
        assert (shares * kinds - 1).abs().max() < 0.2
    assert torch.histc(objects.yaw[there], 4, 0, 2 * math.pi).min() > 0.2 * there.sum()


def test_objects_stand_on_the_ground_and_keep_their_distances():
    objects = room_objects("rooms-2-5", range(500))
    assert torch.equal(objects.center[..., 1], objects.size)
    assert objects.center[..., ::2].abs().max() <= PLACES
    place, reaches = objects.center[..., ::2], reach(objects.shape, objects.size)
    distance = (place[:, :, None] - place[:, None]).norm(dim=-1)
    wanted = (reaches[:, :, None] + reaches[:, None] + GAP).clamp_min(APART)
    pairs = objects.exists[:, :, None] & objects.exists[:, None] & ~torch.eye(5, dtype=torch.bool)
    assert (distance - wanted)[pairs].min() > -1e-5


@pytest.mark.parametrize("name", ["rooms", "rooms-2-5"])
def test_masks_fit_the_objects_and_sum_up(name):
    truth = synthesize(name, range(12), (64, 64))
    objects, masks, ids = truth.objects, truth.traced.masks, truth.traced.ids()
    assert masks.min() >= 0
    assert masks.sum(dim=1).max() <= 1
    assert truth.traced.alpha.min() == 1
    pixels = masks.sum(dim=(2, 3))
    assert pixels[objects.exists].min() > 10  # nothing is hidden
    assert not pixels[~objects.exists].any()
    for i in range(5 if name == "rooms-2-5" else 2):
        whole = (ids == i + 1) & (masks[:, i] == 1)
        assert ((ids == i + 1).sum(dim=(1, 2)) - pixels[:, i]).abs().max() < 25
        points = world_points(truth)
        offset = (points - objects.center[:, i, :, None, None]).movedim(1, -1)[whole]
        limit = objects.size[:, i, None, None].expand_as(whole)[whole] * math.sqrt(3) + 0.03
        assert (offset.norm(dim=-1) < limit).all()
    ground = masks.sum(dim=1) == 0
    assert world_points(truth)[:, 1][ground].abs().max() < 1e-2


def world_points(truth: GroundTruth) -> torch.Tensor:
    """Where the depths of pixels lie -> [B, 3, H, W]."""
    rays, (height, width) = truth.cameras.rays().unit(), truth.cameras.size
    points = rays.origins + rays.directions * truth.traced.depth.flatten(1)[..., None]
    return points.mT.unflatten(-1, (height, width))


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_masks_lie_where_the_cameras_put_the_objects(shape):
    for x, z in ((0.0, 0.0), (-0.6, 0.4), (0.5, -0.7)):
        truth = seen(room(shape, x=x, z=z, yaw=0.3))
        mask = truth.traced.masks[0, 0]
        v, u = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
        middle = torch.stack([(mask * u).sum(), (mask * v).sum()]) / mask.sum()
        assert_close(middle, projected(truth, truth.objects.center)[0, 0], atol=0.8, rtol=0)


def test_yaw_turns_cubes_counterclockwise_as_seen_from_above():
    """At a small yaw, the corner at +x +z moves away from the camera, that at -x +z towards it."""
    solids = room(shape=0, yaw=0.3).solids()
    assert_close(solids.normals[0, 0, 0], torch.tensor([math.cos(0.3), 0.0, -math.sin(0.3)]))
    turned = seen(room(shape=0, yaw=0.3)), seen(room(shape=0, yaw=0.3 + math.pi / 2))
    assert_close(turned[0].traced.color, turned[1].traced.color, atol=2e-3, rtol=0)


def brightness(truth: GroundTruth) -> torch.Tensor:
    """The mean of the channels [H, W], of the ground only (else NaN)."""
    return truth.traced.color[0].mean(dim=0).where(truth.traced.masks[0, 0] == 0, math.nan)


def test_shadows_lie_on_the_ground_and_are_soft():
    size = (96, 96)
    plain, large = (seen(room(**each), size) for each in ({"size": 1e-3}, {}))
    small = seen(room(), size, side=0.05)
    soft, hard = (brightness(each) / brightness(plain) for each in (large, small))
    assert soft.nan_to_num(1).min() < 0.75
    assert soft.nan_to_num(1).max() < 1.001
    darker = (soft < 0.85).nonzero().float().mean(dim=0)
    ball = projected(large, large.objects.center)[0, 0]
    assert darker[1] > ball[0] + 3  # the lamp is on the left
    step = [
        s.nan_to_num(0).diff(dim=1).abs().where(~s[:, 1:].isnan() & ~s[:, :-1].isnan(), 0.0)
        for s in (soft, hard)
    ]
    assert step[0].max() < 0.6 * step[1].max()
    levels = (large.traced.color[0, 0] * 255).round().unique()
    assert len(levels) > 60


def test_the_ground_is_darker_where_an_object_touches_it():
    """Towards the lamp there is no shadow, only less of the sky."""
    plain, truth = (seen(room(shape=2, size=s), (96, 96)) for s in (1e-3, 0.25))
    ratio = brightness(truth) / brightness(plain)
    towards = torch.tensor([[[-0.265, 0.0, 0.1], [-0.8, 0.0, 0.1]]])
    (near, far) = projected(truth, towards)[0].long().tolist()
    assert ratio[near[1], near[0]] < 0.93
    assert ratio[far[1], far[0]] > 0.98


def test_metal_has_a_highlight_and_a_darker_body():
    rubber, metal = (seen(room(metal=m)).traced for m in (False, True))
    inside = rubber.masks[0, 0] == 1
    rubber, metal = (each.color[0].mean(dim=0)[inside] for each in (rubber, metal))
    assert metal.max() > rubber.max() + 0.2
    assert metal.median() < rubber.median()


def test_an_object_shadows_another():
    pair = room(x=0.1)
    other = room(shape=2, size=0.3, x=-0.45, z=0.5)
    both = RoomObjects(
        *(torch.cat([a, b], dim=1) for a, b in zip(vars(pair).values(), vars(other).values(), strict=True))
    )
    alone, shadowed = seen(pair).traced, seen(both).traced
    inside = shadowed.masks[0, 0] == 1
    assert (alone.color - shadowed.color)[0, 0][inside].max() > 0.05


def test_clevr_camera_sees_the_backdrop_above_the_horizon():
    truth = synthesize("rooms-clevr", range(2), (32, 32))
    assert truth.cameras.pose[0, 1, 3] == pytest.approx(
        CLEVR.radius * math.sin(math.radians(19.47)), abs=1e-4
    )
    assert (truth.traced.depth[:, 0, 0] == 0).all()
    assert truth.traced.color[:, :, 0] == pytest.approx(Ground().backdrop)
    narrow = synthesize("rooms", range(2), (32, 32))
    assert torch.equal(narrow.objects.center, truth.objects.center)
    assert (narrow.traced.depth > 0).all()


def test_a_written_room_has_ids_and_objects(tmp_path):
    words = ["--count", "3", "--size", "16", "--seed", "2", "--camera", "circle", "--fov", "50"]
    assert main(["data", "synthesize", "rooms-2-5", "--out", str(tmp_path / "new"), *words]) == 0
    ids, rows = np.load(tmp_path / "new/ids.npy"), json.loads((tmp_path / "new/truth.json").read_text())
    objects = room_objects("rooms-2-5", range(3), 2)
    assert ids.shape == (3, 16, 16)
    assert ids.dtype == np.uint8
    for i, row in enumerate(rows):
        assert len(row["objects"]) == objects.exists[i].sum()
        assert ids[i].max() <= len(row["objects"])
        assert_close(
            torch.tensor([each["center"] for each in row["objects"]]),
            objects.center[i, : len(row["objects"])],
        )
        assert {each["material"] for each in row["objects"]} <= {"rubber", "metal"}
    assert len({row["yaw"] for row in rows}) == 3
    loaded = load_images(str(tmp_path / "new"), ImageConfig(), (16, 16), quiet=True, cameras=True)
    assert_close(loaded.cameras.intrinsics[0, 0, 0], torch.tensor(0.5 / math.tan(math.radians(25))))


def test_rooms_load_as_training_data_and_refuse_what_they_are_not():
    images = load_images("synthetic:rooms", ImageConfig(limit=3), (16, 16), quiet=True)
    assert (images.pixels[1] == synthesize("rooms", range(3), (16, 16)).pixels()[1].numpy()).all()
    assert "synthetic:rooms" not in POSED_SETS
    with pytest.raises(BadInput, match="seen by one camera"):
        views_of_one("rooms", range(2), (8, 8))
    with pytest.raises(BadInput, match="wanted a set of rooms"):
        room_objects("cars", range(2))


@pytest.mark.parametrize(
    ("words", "told"),
    [(["--fov", "0"], "--fov 0: wanted 1 to 170 degrees"), (["--camera", "clever"], "clevr")],
)
def test_wrong_cameras_are_one_line(words, told, tmp_path, capsys):
    assert main(["data", "synthesize", "rooms", "--out", str(tmp_path / "new"), *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
