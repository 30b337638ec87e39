"""genscene evaluate of a scene learnt from photographs: PSNR and SSIM on those that were kept from it."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genscene.apps.compare import Compared, compared
from genscene.cli.options import tell
from genscene.data.posed.folder import Split
from genscene.data.source import album_of
from genscene.experiment import Experiment
from genscene.export.pictures import save_png, tile
from genscene.files import atomic
from genscene.system import Generator

SHOWN = 4  # photographs in the picture


def score(generator: Generator, experiment: Experiment, split: Split, out: Path | None) -> None:
    """Print the numbers; with --out write them, the protocol, and a picture of photographs beside renderings."""
    album = album_of(experiment, split)
    every = track(compared(generator, album), "comparing", len(album), console=Console(stderr=True), transient=True)
    found = list(every)
    rows = [{"photograph": i, "psnr": c.psnr, "ssim": c.ssim} for i, c in enumerate(found)]
    means = {name: sum(row[name] for row in rows) / len(rows) for name in ("psnr", "ssim")}
    table = Table("photograph", "PSNR dB", "SSIM", box=None, pad_edge=False)
    for i, c in enumerate(found):
        table.add_row(str(i), f"{c.psnr:.2f}", f"{c.ssim:.4f}")
    Console().print(table)
    tell(f"PSNR {means['psnr']:.2f} dB, SSIM {means['ssim']:.4f}, mean of {len(rows)} photographs ({split})")
    if out is None:
        return
    protocol = {
        "data": experiment.data,
        "split": split,
        "size": album.camera.size,
        "background": experiment.pictures.background,
        "photographs": asdict(experiment.photographs),
        "rounding": "8 bits a channel, sRGB",
        "ssim": "Gaussian window 1.5, 11 pixels, biased covariance, mean over channels",
    }
    document = {"protocol": protocol, "mean": means, "photographs": rows}
    with atomic(out) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n")
    save_png(out.with_suffix(".png"), side_by_side(found))
    tell(f"{out}, {out.with_suffix('.png')}")


def side_by_side(found: list[Compared]) -> torch.Tensor:
    """A few photographs, one a row: as taken, and as rendered."""
    chosen = found[:: -(-len(found) // SHOWN)]
    return tile(torch.stack([torch.stack([c.photo, c.image]) for c in chosen]))
