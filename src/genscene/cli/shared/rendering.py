"""What the verbs that render share: options, loading, views, pictures, frames of videos, progress."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genscene.apps.splat_scene import read_scene
from genscene.cli.shared.depth import DepthRange, measure_depths
from genscene.cli.shared.options import parse_size, require_range
from genscene.cli.shared.plane import parse_window, require_plane, set_outside
from genscene.cli.shared.progress import timed_progress
from genscene.contract import UNSEEN, Generator, RenderOptions, Vector
from genscene.devices import Device, pick_device, require_memory
from genscene.errors import BadInput
from genscene.experiment.schedules import largest_size
from genscene.export.pictures import (
    Show,
    depth_colors,
    depth_range,
    derivative_pictures,
    tile,
    to_bytes,
    to_picture,
)
from genscene.export.video import save_video
from genscene.geometry.cameras import Camera, Grid, Size, named_tensors
from genscene.geometry.priors import CameraPrior
from genscene.geometry.trajectories import ellipse, forward_spiral, through_cameras, trajectory
from genscene.io.generator_file import GeneratorFile
from genscene.layers.coordinates import Outside
from genscene.layers.mapping import style_count, take_styles
from genscene.render.volume import sparse_scene
from genscene.scenes import SolidBackground

FORWARD_FACING = 0.8  # length of the mean viewing direction above which photographs face one way
FROM_FRONT: Vector = (0.0, 0.0, -1.0)
PSI, FPS, FRAMES = (0, 1), (0.01, 1000), 100_000  # limits of options
RENDERED_PIXEL, SHOWN_PIXEL = 100, 80  # bytes of a pixel that is rendered, and of one that is held
ONE_COLOR = 1 / 512  # difference of channels that no picture of 8 bits shows
PHOTOGRAPHS = "photographs"  # the trajectory through the cameras of the photographs


@dataclass(frozen=True)
class RenderingOptions:
    """How scenes are rendered."""

    size: str = ""  # side, or height x width, in pixels; default: that of training
    # FILE.safetensors of latents, as genscene invert writes them, instead of those of seeds: all of them, or
    # those in the places that --seeds names, from 0
    latents: Path | None = None
    psi: float = 1.0  # truncation: 1: none, towards 0: closer to the average
    # what is shown; opacity is another word for alpha, normals for normal; gradient and laplacian are of
    # pictures that are functions of the plane
    show: Show = "image"
    # below each picture its depth, in colors from the nearest (yellow) to the farthest (violet) that is seen
    # in any picture of the verb, so that they stay the same in all frames
    depth: bool = False
    view_lock: bool = False  # colors as seen from the front, wherever the camera is (pi-GAN)
    samples: int = 0  # samples along each ray in each pass; more is finer; default: that of training
    fps: float = 30.0  # frames a second of a video
    # left,top,right,bottom of what --size shows of scenes that are pictures, in their sides: 0,0,1,1 is the
    # whole, -0.5,-0.5,1.5,1.5 also what is beyond the frame
    window: str = ""
    outside: Outside | None = None  # embeddings beyond the frame; default: the generator's own
    background: SolidBackground | None = None  # behind scenes with cameras; default: the generator's own
    # of a .ply or .splat: what is upwards, x, -x, y, -y, z, -z, or three numbers like 0,-1,0; default: what
    # the file says, else -y
    up: str = ""
    # evaluate all samples, also in the empty space of long videos and behind what is opaque: colors differ by
    # less than 1/1000
    exact: bool = False
    memory: float = 0.25  # GiB that intermediate results may take; less is slower, the same to 1e-7
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu

    def __post_init__(self) -> None:
        require_range("--psi", self.psi, *PSI)
        require_range("--samples", self.samples, 0, 65_536)
        require_range("--fps", self.fps, *FPS)
        require_range("--memory", self.memory, 1e-6, 1024)
        if self.window:
            parse_window(self.window)

    def crop(self, views: Camera | Grid) -> Camera | Grid:
        """What the window shows of views on the plane."""
        if not self.window:
            return views
        return views.crop(parse_window(self.window).expand(len(views), -1), views.size)

    def require_memory(self, generator: Generator, size: Size, pictures: int, styles: int) -> None:
        """Raise BadInput where so many pictures, and styles, at once take more memory than there is."""
        no_codes = next(generator.parameters()).new_zeros(0, generator.latent_dim)
        of_none = named_tensors(generator.style(no_codes))
        each = 4 * sum(math.prod(x.shape[1:]) for x in of_none.values())
        size = (size[0] * (1 + self.depth), size[1])
        needed = size[0] * size[1] * (RENDERED_PIXEL + SHOWN_PIXEL * pictures) + 2 * each * styles
        what = f"{pictures} pictures of {size[0]}x{size[1]} pixels at once"
        require_memory(needed, what, "lower --size, --frames or the number of --seeds")

    def depth_range(
        self, generator: Generator, w: Any, views: Camera | Grid, options: RenderOptions, **how: bool
    ) -> DepthRange | None:
        """The range of the depths of S styles and V views (`measure_depths`); None where none is shown."""
        return measure_depths(generator, w, views, options, **how) if self.depth else None

    @contextmanager
    def render_options(
        self, pictures: float, size: Size, shorter: str = "--size, --frames"
    ) -> Iterator[RenderOptions]:
        """The same for the renderer, with the progress of so many pictures of a size by their rays.

        pictures: those of which a share of the pixels is rendered are such a share. shorter: options.
        """
        direction, (height, width) = FROM_FRONT if self.view_lock else None, size
        label = f"rendering {pictures:.10g} pictures of {height}x{width}"
        advice = f"shorter: {shorter}, --samples"
        with timed_progress(label, round(pictures * height * width), advice) as advance:
            yield RenderOptions(
                samples=self.samples,
                background=self.background,
                fixed_direction=direction,
                least_transmittance=0.0 if self.exact else UNSEEN,
                max_bytes=int(self.memory * 2**30),
                progress=advance,
            )


def open_generator(path: Path, options: RenderingOptions) -> tuple[GeneratorFile, Size]:
    """A generator file with its generator on the device, and the size of its pictures."""
    content = read_scene(path, options.up)
    if options.background is not None and content.generator.bounds is None:
        raise BadInput(f"{path}: --background is behind scenes with cameras; wanted none, these are pictures")
    if options.window:
        require_plane(content.generator, "--window", path)
    if options.outside is not None:
        require_plane(content.generator, "--outside", path)
        set_outside(content.generator, options.outside, path)
    content.generator.to(pick_device(options.device))
    if options.size:
        return content, parse_size(options.size)
    return content, content.cameras.size if content.cameras is not None else largest_size(content.experiment)


def camera_prior(generator: Generator, path: Path | str) -> CameraPrior:
    """The prior of a generator's cameras; BadInput where its views are on the image plane."""
    if not isinstance(generator.prior, CameraPrior):
        raise BadInput(f"{path}: the scenes of this generator are pictures, without cameras")
    return generator.prior


def views_along(
    content: GeneratorFile, source: Path, path: str, count: int, size: Size, video: bool = False
) -> Camera | Grid:
    """The views of a trajectory; without a name those that show the scene: of its prior or its photographs.

    The default of a video is a circle around the scene, a spiral where photographs face one way. source: the
    file, for error lines.
    """
    generator = content.generator
    if not path and not isinstance(generator.prior, CameraPrior):
        if video and generator.prior.frames > 1:
            return generator.prior.pan(count, size)
        if video:
            raise BadInput(
                f"{source}: its scenes are pictures, wanted --out FILE.png, or genscene interpolate"
            )
        return generator.prior.sweep(1, size)
    prior = camera_prior(generator, source)
    given = None if content.cameras is None else content.cameras.reframed(size)
    forward = given is not None and float(given.pose[:, :3, 2].mean(dim=0).norm()) > FORWARD_FACING
    if not path and video:
        path = "spiral" if forward else "orbit"
    if not path and given is None:
        return prior.sweep(count, size)
    by_photographs = {PHOTOGRAPHS: through_cameras, "": through_cameras, "ellipse": ellipse}
    if forward:
        by_photographs["spiral"] = forward_spiral
    if path in by_photographs:
        if given is None:
            raise BadInput(f"--path {path}: this generator was not fitted to photographs with cameras")
        return by_photographs[path](given, count)
    also = () if given is None else (PHOTOGRAPHS, "ellipse")
    return trajectory(path, prior, count, size, content.to_files, also)


@torch.no_grad()
def render_pictures(
    generator: Generator, w: Any, views: Camera | Grid, show: Show, options: RenderOptions
) -> Tensor:
    """B styles from B views -> pictures [B, 3, H, W] in [0, 1], on the CPU."""
    return render_bound(generator, generator.bind(w), views, show, options)


@torch.no_grad()
def render_bound(
    generator: Generator,
    scene: Any,
    views: Camera | Grid,
    show: Show,
    options: RenderOptions,
    depths: DepthRange | None = None,
) -> Tensor:
    """The same of B scenes; depths: with their depth below, [B, 3, 2 H, W]."""
    device = next(generator.parameters()).device
    if show in ("gradient", "laplacian"):
        return derivative_pictures(generator, scene, views.to(device), show, options)
    rendering = generator.render(scene, views.to(device), options)
    picture = to_picture(rendering, show, depth_range(generator)).clamp(0, 1).cpu()
    if depths is None or rendering.depth is None or rendering.alpha is None:
        return picture
    below = depth_colors(rendering.depth, rendering.alpha, depths)
    return torch.cat([picture, below.clamp(0, 1).cpu()], dim=2)


@torch.no_grad()
def bind_one(generator: Generator, w: Any, s: int, views: Camera | Grid, options: RenderOptions) -> Any:
    """The scene of one of S styles, for so many views of it."""
    scene = generator.bind(take_styles(w, slice(s, s + 1)))
    return sparse_scene(generator, scene, math.prod((len(views), *views.size)), options)


def render_rows(
    generator: Generator,
    w: Any,
    views: Camera | Grid,
    show: Show,
    options: RenderOptions,
    depths: DepthRange | None = None,
) -> Iterator[Tensor]:
    """Each of S styles from all V views -> S rows of pictures [V, 3, H, W]."""
    for s in range(style_count(w)):
        one = bind_one(generator, w, s, views, options)
        each = (views[i : i + 1] for i in range(len(views)))
        yield torch.cat([render_bound(generator, one, view, show, options, depths) for view in each])


def render_frames(
    generator: Generator,
    w: Any,
    views: Camera | Grid,
    show: Show,
    options: RenderOptions,
    depths: DepthRange | None = None,
    interpolated: bool = False,
    grid: tuple[int, int] | None = None,
) -> Iterator[Tensor]:
    """One frame [3, H, W] a view: all styles side by side; interpolated: style i at view i alone.

    grid: columns and rows of the styles.
    """
    if not interpolated:
        scenes = [bind_one(generator, w, s, views, options) for s in range(style_count(w))]
    for i in range(len(views)):
        view = views[i : i + 1]
        if interpolated:
            scene = bind_one(generator, w, i, view, options)
            yield render_bound(generator, scene, view, show, options, depths)[0]
        else:
            pictures = [render_bound(generator, s, view, show, options, depths) for s in scenes]
            yield tile(arrange(torch.cat(pictures), grid))


def require_seen(pictures: Iterable[Tensor], show: Show, source: Path) -> Iterator[Tensor]:
    """The same pictures [..., 3, H, W]; BadInput at their end where all of them are one color."""
    extremes, pixels = [], 0
    for each in pictures:
        if not each.isfinite().all():
            what = f"{source}: its pictures hold numbers that are not finite"
            raise BadInput(f"{what}, wanted a trained generator")
        channels = each.movedim(-3, 0).flatten(1)
        extremes += [channels.amin(dim=1), channels.amax(dim=1)]
        pixels += channels.shape[1]
        yield each
    colors = torch.stack(extremes)
    if show == "image" and pixels > 16 and float((colors.amax(dim=0) - colors.amin(dim=0)).max()) < ONE_COLOR:
        what = f"{source}: every picture is one color: nothing of the scene is seen"
        raise BadInput(f"{what}; wanted a trained generator, and views of its scene (--path)")


def arrange(pictures: Tensor, grid: tuple[int, int] | None = None) -> Tensor:
    """S pictures [S, 3, H, W] in columns and rows -> [R, C, 3, H, W], padded with white.

    grid: (C, R); None: about as many rows as columns.
    """
    columns, rows = grid or (math.ceil(math.sqrt(len(pictures))), 0)
    rows = rows or -(-len(pictures) // columns)
    missing = torch.ones(rows * columns - len(pictures), *pictures.shape[1:])
    return torch.cat([pictures, missing]).unflatten(0, (rows, columns))


def save_frames(path: Path, frames: Iterable[Tensor], fps: float) -> None:
    """Write frames [3, H, W] in [0, 1] as a video."""
    save_video(path, (to_bytes(frame).numpy() for frame in frames), fps)
