"""Several scenes at once: a file for each in a folder, or their pictures in columns and rows of one."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from genscene.cli.shared.latents import SEEDS
from genscene.cli.shared.options import parse_seeds, require_range, require_suffix
from genscene.cli.shared.rendering import ONE_COLOR
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.export.pictures import save_png
from genscene.export.video import ENDINGS

MOST = 1000  # columns, and rows


def is_folder(out: Path) -> bool:
    """Whether an output is a folder: one that exists, or a name without an ending."""
    return not out.suffix or out.is_dir()


def parse_grid(text: str) -> tuple[int, int]:
    """4x3 -> (columns, rows); BadInput names the option."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    columns, rows = (int(match[1]), int(match[2])) if match and len(text) < 10 else (0, 0)
    if not 1 <= min(columns, rows) <= max(columns, rows) <= MOST:
        raise BadInput(f"--grid {text!r}: wanted columns x rows like 4x3, each up to {MOST}")
    return columns, rows


@dataclass(frozen=True)
class Layout:
    """Where the pictures of scenes go: a sheet, a video, or a folder of a file for each."""

    out: Path
    grid: tuple[int, int] | None  # columns and rows; None: a scene a row, or about as many as columns

    @staticmethod
    def of(out: Path, grid: str) -> "Layout":
        """The layout that --out and --grid say; BadInput where they are none."""
        layout = Layout(out, parse_grid(grid) if grid else None)
        if layout.folder and grid:
            raise BadInput(f"--grid {grid} with --out {out}, a folder: wanted FILE.png, FILE.mp4 or FILE.gif")
        if not layout.folder:
            require_suffix("--out", out, (".png", *ENDINGS))
        return layout

    @property
    def video(self) -> bool:
        """Whether it is a video."""
        return not self.folder and self.out.suffix in ENDINGS

    @property
    def folder(self) -> bool:
        """Whether it is a folder."""
        return is_folder(self.out)

    @property
    def places(self) -> int:
        """Pictures, or scenes of a video, that the grid has places for; without one that of scenes, 8."""
        return self.grid[0] * self.grid[1] if self.grid else len(SEEDS)

    def views(self, many: bool) -> int:
        """The views of a scene where their number is not given; many: whether there are several scenes."""
        if self.video or not (self.grid or self.folder):
            return 90 if self.video else 5
        return 1 if many or self.folder else self.places

    def usual_seeds(self, views: int) -> range:
        """The seeds where none are given, each seen from so many views: they fill the grid."""
        return range(self.places if self.video or not self.grid else max(1, self.places // views))

    def require_places(self, scenes: int, views: int) -> None:
        """Raise BadInput where the grid has fewer places than there are pictures."""
        wanted = scenes if self.video else scenes * views
        if self.grid and wanted > self.places:
            what = "the scenes of --seeds" if self.video else "the pictures, --seeds times --frames"
            raise BadInput(f"--grid {'x'.join(map(str, self.grid))}: wanted {wanted} places, {what}")


def file_names(seeds: Sequence[int], latents: Path | None) -> list[str]:
    """Names of the files of seeds, or of places in a file of latents, without endings.

    Raises BadInput where two are the same.
    """
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise BadInput(f"--seeds: {twice} is twice, wanted each seed once: there is a file for each")
    return [f"{'seed' if latents is None else 'latent'}{seed:04d}" for seed in seeds]


class SceneFiles(Protocol):
    """Options of a verb that writes a file for each scene."""

    @property
    def out(self) -> Path:
        """FILE, or a folder for --seeds."""

    @property
    def seed(self) -> int:
        """Of one scene."""

    @property
    def seeds(self) -> str:
        """Of several."""

    @property
    def format(self) -> str:
        """The ending of the files of several."""

    @property
    def latents(self) -> Path | None:
        """The file whose places the seeds are."""


def seed_files(options: SceneFiles, endings: Sequence[str]) -> dict[int, Path]:
    """The file of each seed: --out of one, with one of the endings; of several those in the folder --out."""
    out, seed, seeds = options.out, options.seed, options.seeds
    if not seeds:
        require_range("--seed", seed, 0, 10**18)
        require_suffix("--out", out, endings)
        return {seed: out}
    if seed:
        raise BadInput(f"--seed {seed} and --seeds {seeds}: wanted one of them")
    if not is_folder(out):
        raise BadInput(f"--seeds {seeds} with --out {out}: wanted a folder, a name without an ending")
    chosen = parse_seeds(seeds)
    names = file_names(chosen, options.latents)
    return {each: out / f"{name}.{options.format}" for each, name in zip(chosen, names, strict=True)}


def require_scenes(generator: Generator, seeds: str, source: Path) -> None:
    """Raise BadInput where several seeds are wanted of a generator of a single scene."""
    if seeds and not generator.latent_dim:
        raise BadInput(f"--seeds {seeds}: {source} holds a single scene, wanted --out FILE")


def picture_files(out: Path, scenes: Sequence[str], views: int) -> list[list[Path]]:
    """The files of the pictures of scenes by name: NAME.png, or of several views NAME_view0000.png."""
    if views == 1:
        return [[out / f"{scene or 'scene'}.png"] for scene in scenes]
    starts = [f"{scene}_view" if scene else "view" for scene in scenes]
    return [[out / f"{start}{view:04d}.png" for view in range(views)] for start in starts]


def save_pictures(files: Sequence[Sequence[Path]], rows: Iterable[Tensor]) -> int:
    """Write rows of pictures [V, 3, H, W] in [0, 1], each as soon as it is rendered -> their number.

    The first ones wait until a picture has more than one color: where none has, `rows` may raise at its end,
    and no file is written.
    """
    waiting = list[tuple[Path, Tensor]]()
    count, varied = 0, False
    for paths, row in zip(files, rows, strict=True):
        waiting += zip(paths, row, strict=True)
        varied = varied or float((row.amax(dim=(0, 2, 3)) - row.amin(dim=(0, 2, 3))).max()) > ONE_COLOR
        if varied:
            count += _save(waiting)
    return count + _save(waiting)


def _save(waiting: list[tuple[Path, Tensor]]) -> int:
    """Write pictures, and forget them -> their number."""
    count = len(waiting)
    for path, picture in waiting:
        save_png(path, picture)
    waiting.clear()
    return count
