"""Scenes to render and export: generator files, and files of Gaussians as generators of one scene."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genscene.devices import require_memory
from genscene.errors import BadInput
from genscene.experiment.schema import EMA, Experiment, Stage
from genscene.export.splat_files.formats import Placement
from genscene.export.splats import DEGREES, READ, Splats, parse_up, read_splats, to_gaussians
from genscene.geometry.priors import CameraPrior
from genscene.geometry.rotations import rotation_between
from genscene.hub import local_path
from genscene.io.generator_file import GeneratorFile, read
from genscene.ranges import Box
from genscene.render.splatting import transform_gaussians
from genscene.scenes import Gaussians, Vector
from genscene.systems.splats.generator import SplatsGenerator, SplatsGeneratorConfig
from genscene.systems.splats.system import SplatsConfig

UP: Vector = (0.0, -1.0, 0.0)  # upwards in files that do not say it: those of 3DGS have COLMAP's axes
FOV, PITCH = 40.0, math.radians(70)  # of the cameras: across the shorter side in degrees; from what is up
SIZE = (400, 400)  # of pictures
VISIBLE, INSIDE = 0.1, 0.95  # opacity, and share of such Gaussians, that determine what the cameras show
COPIES = 4  # of all numbers, while they are read


def read_scene(path: Path, up: str = "") -> GeneratorFile:
    """A generator file, the folder of a run, or a .ply or .splat of Gaussians, here or on the hub; BadInput.

    up: of the latter, the axis that is upwards (x, -x, ...), or three numbers; default: what the file says.
    """
    path = local_path(path)
    if path.suffix not in READ:
        if up:
            raise BadInput(f"--up {up}: wanted with a file of Gaussians ({', '.join(READ)}), not {path}")
        return read(path)
    splats = read_splats(path)
    return as_generator(splats, str(path), axis("--up", up) if up else splats.up or UP)


def axis(option: str, text: str) -> Vector:
    """The direction [3] that an option says; BadInput, which names it, for what is none."""
    found = parse_up(text)
    if found is None:
        raise BadInput(f"{option} {text!r}: wanted x, -x, y, -y, z, -z, or three numbers like 0,-1,0")
    return found


@torch.no_grad()
def as_generator(splats: Splats, source: str, up: Vector) -> GeneratorFile:
    """A generator whose weights are these Gaussians: their middle at the origin, what is up along +z."""
    count, harmonics = splats.sh_rest.shape[:2]
    needed = 4 * COPIES * count * (14 + 3 * harmonics)
    require_memory(needed, f"{source}: {count} Gaussians", "wanted a larger machine")
    gaussians = to_gaussians(splats)
    to_world = torch.eye(4, dtype=torch.float64)
    to_world[:3, :3] = rotation_between(torch.tensor(up), torch.tensor([0.0, 0.0, 1.0]))
    middle, _ = extent_of(transform_gaussians(gaussians, to_world))
    to_world[:3, 3] = -middle
    gaussians = transform_gaussians(gaussians, to_world)
    _, box = extent_of(gaussians)
    radius = math.hypot(*box) / math.sin(math.radians(FOV / 2))
    prior = CameraPrior("uniform", (math.pi / 2, math.pi), (PITCH, 0.3), radius, FOV, up="z")
    config = SplatsGeneratorConfig(count, count, DEGREES[harmonics], splats.antialiased, box, prior=prior)
    generator = SplatsGenerator(config)
    generator.load_gaussians(
        {
            "means": gaussians.means[0],
            "log_scales": gaussians.scales[0].log(),
            "quats": gaussians.quats[0],
            "opacity_logits": torch.from_numpy(np.array(splats.opacity_logit, np.float32)),
            "f_dc": gaussians.colors[0, :, 0],
            "sh_rest": gaussians.colors[0, :, 1:],
        }
    )
    stages = (Stage(0, SIZE, 1),)
    experiment = Experiment(SplatsConfig(config), source, stages=stages, steps=1, ema=EMA(decay=0.0))
    generator = generator.eval().requires_grad_(False)
    return GeneratorFile(generator, experiment, to_files=torch.linalg.inv(to_world).float())


def placement_of(content: GeneratorFile, prior: CameraPrior, turn_to: Vector | None = None) -> Placement:
    """Where scenes of a generator are in files; turn_to: what is upwards there, None: as formats want it."""
    up = (0.0, 0.0, 1.0) if prior.up == "z" else (0.0, 1.0, 0.0)
    return Placement(up, prior.sweep(1, (1, 1)), prior.fov, content.to_files, turn_to)


def extent_of(gaussians: Gaussians) -> tuple[Tensor, Box]:
    """The middle [3] of what is seen of one cloud, and half sides of the box around it.

    Stray Gaussians, of which most files have some, do not count.
    """
    seen = gaussians.opacities[0] >= min(VISIBLE, float(gaussians.opacities.max()))
    means, sizes = gaussians.means[0, seen].double(), gaussians.scales[0, seen].amax(-1).double()
    middle = torch.from_numpy(np.quantile(means.numpy(), [0.5 - INSIDE / 2, 0.5 + INSIDE / 2], axis=0)).mean(
        0
    )
    reach = np.quantile((means - middle).abs().numpy() + 2 * sizes.numpy()[:, None], INSIDE, axis=0)
    x, y, z = (max(float(f"{side:.6g}"), 1e-6) for side in reach)
    return middle, (x, y, z)
