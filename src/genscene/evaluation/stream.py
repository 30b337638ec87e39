"""Pictures streamed through extractors: any number of them in the memory of one batch, in one process or several."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.evaluation.protocol import Protocol, Side
from genscene.evaluation.sides import Lot, Notes, Stored
from genscene.evaluation.statistics import Growing, Statistics
from genscene.experiment.schema import ImageConfig
from genscene.geometry.cameras import Size
from genscene.io.atomic import cache_folder
from genscene.metrics.networks.extractor import Extractor

LINES_EVERY = 30.0  # seconds between two lines where there is no terminal
KEPT = 2  # of what is kept between calls; a change of how pictures become statistics raises it
SAVE_EVERY = 20.0  # seconds between two notes of how far it has come


@dataclass(frozen=True)
class Streaming:
    """How pictures are streamed; none of it changes a number."""

    batch: int = 32  # pictures at once
    keep: int = 50_000  # pictures whose features are kept for kernels and neighbours
    cache: bool = True  # keep statistics in the cache, by content, and go on where an earlier process stopped
    group: ProcessGroup = ProcessGroup()
    quiet: bool = False


@dataclass(frozen=True)
class Task:
    """What both sides share."""

    protocol: Protocol
    size: Size
    pictures: ImageConfig  # how files become pictures of that size
    extractors: Sequence[Extractor]


def measure(lot: Lot, name: str, task: Task, streaming: Streaming = Streaming()) -> list[Statistics]:
    """The statistics of a side by every extractor; name: what to call it while it lasts.

    Under torchrun every process calls this, and only the first one's answer is whole: the others get none.
    """
    if not task.extractors:
        return []  # nobody looks
    if len(lot) < 2:
        place = f"{lot.source}: " if isinstance(lot, Stored) else ""
        raise BadInput(f"{place}{len(lot)} {name}: wanted at least 2 to tell how they spread")
    notes = lot.notes
    fields = [task.protocol.fields(extractor, task.size, task.pictures) for extractor in task.extractors]
    first = streaming.group.is_main
    books = [
        Growing(folder_of(each, notes, lot.side, streaming), len(lot), extractor.width, streaming.keep)
        for each, extractor in zip(fields, task.extractors, strict=True)
        if first
    ]
    start = streaming.group.broadcast_int(min((book.done for book in books), default=0))
    try:
        stream(lot, name, task.extractors, books, start, streaming)
    finally:
        for book in books:
            book.close()
    return [book.whole(each, notes) for book, each in zip(books, fields, strict=False)]


def stream(
    lot: Lot,
    name: str,
    extractors: Sequence[Extractor],
    books: list[Growing],
    start: int,
    streaming: Streaming,
) -> None:
    """Show all pictures from `start` on to the extractors, each process its share, and note them in order."""
    group, saved = streaming.group, time.monotonic()
    rounds = range(start, len(lot), streaming.batch * group.world)
    for begin in watched(rounds, f"looking at {name}", streaming.quiet or not group.is_main):
        parts = shares(begin, len(lot), streaming.batch, group.world)
        mine = parts[group.rank]
        images = lot.take(mine) if len(mine) else None
        for i, extractor in enumerate(extractors):
            seen = blank(extractor) if images is None else extractor(images.to(device_of(extractor)))
            gathered = group.all_gather_rows(seen, [len(part) for part in parts])
            if books:
                for part, features in zip(parts, gathered, strict=True):
                    books[i].add(part, features)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            for book in books:
                book.save()
    for book in books:
        book.save()


def watched(rounds: range, words: str, quiet: bool) -> Iterator[int]:
    """The rounds, with a bar on a terminal and a line now and then elsewhere, and how long it will take."""
    console, began = Console(stderr=True), time.monotonic()
    if quiet or sys.stderr.isatty():
        yield from track(rounds, words, console=console, disable=quiet, transient=True)
        return
    spoken = began
    for done, begin in enumerate(rounds):
        yield begin
        now = time.monotonic()
        if now - spoken > LINES_EVERY:
            left, spoken = (now - began) / (done + 1) * (len(rounds) - done - 1), now
            line = f"{words}: {min(begin + rounds.step, rounds.stop)} of {rounds.stop}, {left / 60:.1f} minutes left"
            console.print(line, highlight=False, soft_wrap=True)


def shares(begin: int, end: int, batch: int, world: int) -> list[range]:
    """The next pictures of every process, the last ones fewer or none."""
    starts = [min(begin + rank * batch, end) for rank in range(world)]
    return [range(at, min(at + batch, end)) for at in starts]


def folder_of(fields: dict[str, str], notes: Notes, side: Side, streaming: Streaming) -> Path | None:
    """Where statistics are kept: by protocol and content, whatever it is called."""
    if not streaming.cache:
        return None
    nameless = {name: value for name, value in notes.items() if name not in ("source", "of")}
    key = json.dumps([KEPT, fields, nameless, asdict(side), streaming.keep], sort_keys=True)
    return cache_folder() / "statistics" / hashlib.blake2b(key.encode(), digest_size=16).hexdigest()


def blank(extractor: Extractor) -> Tensor:
    """The features of no picture [0, D]."""
    return torch.zeros(0, extractor.width, device=device_of(extractor))


def device_of(extractor: Extractor) -> torch.device:
    """Where an extractor looks."""
    if isinstance(extractor.compute, torch.nn.Module):
        for tensor in (*extractor.compute.parameters(), *extractor.compute.buffers()):
            return tensor.device
    return torch.device("cpu")
