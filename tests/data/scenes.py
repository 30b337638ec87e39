"""Scenes of posed photographs for tests: an object of the embedded sets, ray-traced, as transforms.json."""

import json
import math

import numpy as np
import torch
from PIL import Image

from genscene.data.synthetic import SETS
from genscene.data.synthetic.raytrace import Solids, trace
from genscene.geometry.priors import CameraPrior
from genscene.randomness import RandomStreams, derive_seed

GOLDEN_ANGLE = 2.399963


def write_scene(
    folder, ground=None, count=72, side=160, fov=8.0, yaw=math.pi, name="transforms.json", unit=1.0
):
    """Photographs from around an object that fills most of each: `count` of `side` pixels.

    ground: a color of 0 to 255, with some noise, or an image [side, side, 3]; None: transparent. fov in
    degrees; yaw: half the range of the cameras; unit: lengths of the files are multiplied by it.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    one = SETS["objects"].scenes(RandomStreams([derive_seed(5, 0)]))
    solids = Solids(*(x.expand(count, *x.shape[1:]) for x in vars(one).values()))
    radius = 0.9 / math.tan(math.radians(fov / 2))
    turn = torch.remainder(torch.arange(count) * GOLDEN_ANGLE, 2 * math.pi) - math.pi
    pitch = torch.linspace(0.6, 1.65, count)
    camera = CameraPrior(radius=radius, fov=fov).camera_at(
        math.pi / 2 + turn * yaw / math.pi, pitch, (side, side)
    )
    traced, frames, random = trace(solids, camera, 2), [], np.random.default_rng(0)
    rgba = torch.cat([traced.color, traced.alpha], dim=1).movedim(1, -1).numpy()
    for i in range(count):
        image = (255 * rgba[i]).round()
        if ground is not None:
            behind = np.broadcast_to(np.array(ground, float), (side, side, 3))
            behind = behind + 1.5 * random.standard_normal((side, side, 1)) * (np.ndim(ground) < 3)
            image = image[..., :3] * rgba[i, ..., 3:] + behind * (1 - rgba[i, ..., 3:])
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"{i:03d}.png")
        pose = camera.pose[i] * torch.tensor([1.0, -1, -1, 1])
        pose[:3, 3] *= unit
        frames.append({"file_path": f"images/{i:03d}.png", "transform_matrix": pose.tolist()})
    focal = 0.5 * side / math.tan(math.radians(fov / 2))
    document = {"fl_x": focal, "fl_y": focal, "w": side, "h": side, "frames": frames}
    (folder / name).write_text(json.dumps(document))
    return folder
