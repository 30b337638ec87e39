"""Streaming of images through extractors: the memory of one batch, resumable, in one process or several."""

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.evaluation.image_sources import ImageSource, Provenance, StoredImages
from genscene.evaluation.protocol import Preparation
from genscene.evaluation.statistics import Accumulator, FeatureStatistics
from genscene.io.atomic import cache_folder
from genscene.metrics.extractor import Extractor

CACHE_FORMAT = 3  # raised when the way from images to statistics changes
SAVE_EVERY, PRINT_EVERY = 20.0, 30.0  # seconds; the latter where there is no terminal


@dataclass(frozen=True)
class Streaming:
    """How images are streamed; none of it changes a score."""

    batch: int = 32  # images at once
    max_features: int = 50_000  # images whose features are stored for kernel and nearest-neighbor metrics
    cache: bool = True  # save statistics by content, and resume what an earlier process left
    group: ProcessGroup = ProcessGroup()
    quiet: bool = False


def extract_features(
    source: ImageSource,
    label: str,
    extractors: Mapping[str, Extractor],
    protocols: Mapping[str, Mapping[str, str]],
    streaming: Streaming = Streaming(),
) -> dict[str, FeatureStatistics]:
    """The statistics of a source by every extractor, under its protocol; label: of the progress bar.

    Under torchrun every process calls this, and only the main one gets statistics.
    """
    if not extractors:
        return {}
    if len(source) < 2:
        path = f"{source.source}: " if isinstance(source, StoredImages) else ""
        raise BadInput(f"{path}{len(source)} {label}: wanted at least 2 for a covariance")
    provenance, accumulators = source.provenance, dict[str, Accumulator]()
    if streaming.group.first:
        for name, extractor in extractors.items():
            folder = _cache_folder(protocols[name], source.preparation, provenance, streaming)
            accumulators[name] = Accumulator(folder, len(source), extractor.width, streaming.max_features)
    try:
        start = streaming.group.told(min((each.done for each in accumulators.values()), default=0))
        _stream(source, label, extractors, accumulators, start, streaming)
    finally:
        for each in accumulators.values():
            each.close()
    return {name: each.statistics(protocols[name], provenance) for name, each in accumulators.items()}


def _stream(
    source: ImageSource,
    label: str,
    extractors: Mapping[str, Extractor],
    accumulators: Mapping[str, Accumulator],
    start: int,
    streaming: Streaming,
) -> None:
    """Extract features of all images from `start` on, each process of its part, and accumulate them in order."""
    group, saved = streaming.group, time.monotonic()
    steps = range(start, len(source), streaming.batch * group.world)
    for begin in _progress(steps, f"extracting features of {label}", streaming.quiet or not group.first):
        parts = split_batch(begin, len(source), streaming.batch, group.world)
        images = source.read(parts[group.rank]) if len(parts[group.rank]) else None
        for name, extractor in extractors.items():
            device = _device(extractor)
            features = (
                torch.zeros(0, extractor.width, device=device)
                if images is None
                else extractor(images.to(device))
            )
            gathered = group.gathered(features, [len(part) for part in parts])
            if name in accumulators:
                for part, rows in zip(parts, gathered, strict=True):
                    accumulators[name].add(part, rows)
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            for each in accumulators.values():
                each.save()
    for each in accumulators.values():
        each.save()


def split_batch(begin: int, end: int, batch: int, world: int) -> list[range]:
    """The next indices of every process; at the end the last ones get fewer or none."""
    starts = [min(begin + rank * batch, end) for rank in range(world)]
    return [range(start, min(start + batch, end)) for start in starts]


def _progress(steps: range, label: str, quiet: bool) -> Iterator[int]:
    """The steps, with a progress bar on a terminal and a line now and then elsewhere."""
    console, began = Console(stderr=True), time.monotonic()
    if quiet or sys.stderr.isatty():
        yield from track(steps, label, console=console, disable=quiet, transient=True)
        return
    printed = began
    for done, begin in enumerate(steps, 1):
        yield begin
        now = time.monotonic()
        if now - printed > PRINT_EVERY:
            left, printed = (now - began) / done * (len(steps) - done) / 60, now
            line = f"{label}: {min(begin + steps.step, steps.stop)} of {steps.stop}, {left:.1f} minutes left"
            console.print(line, highlight=False, soft_wrap=True)


def _cache_folder(
    protocol: Mapping[str, str], preparation: Preparation, provenance: Provenance, streaming: Streaming
) -> Path | None:
    """The folder of statistics, by protocol and content, never by the name of the images."""
    if not streaming.cache:
        return None
    content = {name: value for name, value in provenance.items() if name not in ("source", "available")}
    key = [CACHE_FORMAT, dict(protocol), content, asdict(preparation), streaming.max_features]
    text = json.dumps(key, sort_keys=True)
    return cache_folder() / "statistics" / hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _device(extractor: Extractor) -> torch.device:
    """The device of the extractor's network."""
    if isinstance(extractor.look, torch.nn.Module):
        for tensor in (*extractor.look.parameters(), *extractor.look.buffers()):
            return tensor.device
    return torch.device("cpu")
