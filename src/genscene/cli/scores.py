"""genscene evaluate of a scene learnt from photographs: PSNR, SSIM and LPIPS on those that were kept
from it.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from itertools import starmap
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from genscene.cli.shared.options import print_line
from genscene.contract import Generator
from genscene.data.images import SYNTHETIC
from genscene.data.posed import PosedImages, Split, available_splits, load_posed
from genscene.data.sources import posed_images
from genscene.errors import BadInput
from genscene.evaluation.photographs import Compared, compared
from genscene.experiment.schema import Experiment
from genscene.export.pictures import save_png, tile
from genscene.geometry.cameras import Camera
from genscene.io.atomic import atomic
from genscene.metrics.lpips import LPIPS, load_lpips
from genscene.metrics.networks.weights import sha256

SHOWN = 4  # photographs in the picture
LPIPSFiles = tuple[Path, Path]  # a backbone's weights, LPIPS's linear layers


def score(
    generator: Generator,
    trained: Experiment,
    data: str,
    split: Split,
    out: Path | None,
    files: Sequence[LPIPSFiles] = (),
    cameras: Camera | None = None,
) -> None:
    """Print the numbers; with --out write them, the protocol, and a picture of photographs beside renderings.

    data: where the photographs lie, "" where they did when it was trained.
    """
    experiment = replace(trained, data=data or trained.data)
    with (
        nullcontext() if out is None else atomic(out) as partial
    ):  # what cannot be written is told before the work
        networks = through(files)
        album = posed_images(experiment, split)
        notes = elsewhere(cameras, experiment, trained.data)
        found, rows = rendered(generator, album, networks)
        means = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
        show(rows)
        print_line(f"{', '.join(starmap(said, means.items()))}, mean of {len(rows)} photographs ({split})")
        for name, network in networks.items():
            print_line(f"{title(name)} by {network.backbone.name}: {network.backbone.normalization.remark}")
        for note in notes:
            print_line(f"note: {note}")
        if partial is not None:
            through_them = zip(networks.items(), files, strict=True)
            looks = {name: lpips_protocol(network, pair) for (name, network), pair in through_them}
            photographs = [{"photograph": i, **row} for i, row in enumerate(rows)]
            settings = {**protocol(experiment, split, album), **looks}
            document = {"protocol": settings, "mean": means, "photographs": photographs, "cautions": notes}
            partial.write_text(json.dumps(document, indent=2) + "\n")
    if out is not None:
        save_png(out.with_suffix(".png"), side_by_side(found))
        print_line(f"{out}, {out.with_suffix('.png')}")


def rendered(
    generator: Generator, album: PosedImages, networks: Mapping[str, LPIPS]
) -> tuple[list[Compared], list[dict[str, float]]]:
    """Every photograph beside its rendering, and what is told of each."""
    every = track(
        compared(generator, album), "comparing", len(album), console=Console(stderr=True), transient=True
    )
    found, rows = [], []
    for c in every:
        found.append(c)
        rows.append(numbers(c, networks))
    return found, rows


def elsewhere(cameras: Camera | None, experiment: Experiment, trained: str) -> list[str]:
    """What is to be said where a scene was learnt from other photographs than the experiment's, by their
    cameras.

    Nothing where it is not known from which: of a converted checkpoint, or of data without a split for
    training.
    """
    if cameras is None:
        return []
    if experiment.data.startswith(SYNTHETIC):
        same = experiment.data == trained
    elif "train" not in available_splits(experiment.data):
        return []
    else:
        how, learnt = experiment.posed, cameras.pose
        there = load_posed(experiment.data, "train", how.holdout, how.world).pose.float()
        same = learnt.shape == there.shape and torch.allclose(learnt, there, atol=1e-4)
    return [] if same else [f"{experiment.data}: the scene was learnt from other photographs than these"]


def through(files: Sequence[LPIPSFiles]) -> dict[str, LPIPS]:
    """What LPIPS looks through, by the names of its numbers; BadInput where two are called alike."""
    networks: dict[str, LPIPS] = {}
    for pair in files:
        network = load_lpips(*pair)
        name = f"lpips-{network.backbone.short}"
        if name in networks:
            raise BadInput(
                f"--lpips {pair[0]}: {network.backbone.name} a second time, wanted each network once"
            )
        networks[name] = network
    return networks


def numbers(c: Compared, networks: Mapping[str, LPIPS]) -> dict[str, float]:
    """What is told of one photograph."""
    apart = {name: float(network(c.image[None], c.photo[None])) for name, network in networks.items()}
    return {"psnr": c.psnr, "ssim": c.ssim, **apart}


def show(rows: list[dict[str, float]]) -> None:
    """Print a table, one photograph a row."""
    titles = (title(name) + unit(name)[0] for name in rows[0])
    table = Table("photograph", *titles, box=None, pad_edge=False)
    for i, row in enumerate(rows):
        table.add_row(str(i), *(f"{value:.{unit(name)[1]}f}" for name, value in row.items()))
    Console().print(table)


def title(name: str) -> str:
    """What a number is called: PSNR, SSIM, LPIPS-vgg."""
    what, *network = name.split("-")
    return "-".join([what.upper(), *network])


def unit(name: str) -> tuple[str, int]:
    """What stands behind a number, and its digits."""
    return (" dB", 2) if name == "psnr" else ("", 4)


def said(name: str, value: float) -> str:
    """A number with its name and unit."""
    behind, digits = unit(name)
    return f"{title(name)} {value:.{digits}f}{behind}"


def protocol(experiment: Experiment, split: Split, album: PosedImages) -> dict[str, object]:
    """What must be the same for two numbers to be compared."""
    return {
        "data": experiment.data,
        "split": split,
        "size": album.camera.size,
        "background": experiment.images.background,
        "photographs": asdict(experiment.posed),
        "rounding": "8 bits a channel, sRGB",
        "ssim": "Gaussian window 1.5, 11 pixels, biased covariance, mean over channels",
    }


def lpips_protocol(network: LPIPS, files: LPIPSFiles) -> dict[str, object]:
    """Which network LPIPS looked through, and what its weights are known by."""
    return {
        "backbone": network.backbone.name,
        "remark": network.backbone.normalization.remark,
        "weights": {"file": files[0].name, "sha256": sha256(files[0])},
        "linear": {"file": files[1].name, "sha256": sha256(files[1])},
    }


def side_by_side(found: list[Compared]) -> torch.Tensor:
    """A few photographs, one a row: as taken, and as rendered."""
    chosen = found[:: -(-len(found) // SHOWN)]
    return tile(torch.stack([torch.stack([c.photo, c.image]) for c in chosen]))
