"""Streaming of images through extractors: the memory of one batch, resumable, in one process or several."""

import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, replace

import torch

from genscene.data.progress import log_line, track_progress
from genscene.errors import BadInput
from genscene.evaluation.image_sources import ImageSource, StoredImages
from genscene.evaluation.registry import GENERATOR_METRICS, SPECTRUM, too_few_images
from genscene.evaluation.session import EvaluatedModel, EvaluationSession, Features
from genscene.evaluation.statistics import Accumulator
from genscene.io.atomic import cache_folder, try_lock

CACHE_FORMAT = 4  # raised when the way from images to statistics changes
SAVE_EVERY = 20.0  # seconds


@dataclass(frozen=True)
class Measurements:
    """The images of all models and the real ones, with their features; the latter in the main process."""

    session: EvaluationSession
    models: Sequence[EvaluatedModel]
    sources: Sequence[ImageSource]  # one for each model
    features: Sequence[Features]
    real_images: StoredImages | None  # None: statistics that were written before
    real: Features
    notes: Sequence[str]

    @property
    def image_extractor(self) -> str | None:
        """The first extractor whose features describe whole images, unlike power spectra."""
        return next((name for name in self.real if name != SPECTRUM), None)


def measure(session: EvaluationSession, models: Sequence[EvaluatedModel]) -> Measurements:
    """Extract the features of equal numbers of images of every model, and of the real images."""
    if set(session.metrics) & set(GENERATOR_METRICS):
        for model in models:
            session.generator(model)  # images are refused before anything is measured
    sources, notes = [session.generated(model) for model in models], []
    counts = [len(source) for source in sources]
    least = min(counts)
    require_least(session, least, "generated images (--count)")
    require_least(session, session.protocol.real.count or session.least, "real images (--reals)")
    if least < max(counts):
        found = (f"{count} of {model.name}" for count, model in zip(counts, models, strict=True))
        notes = [f"Only the first {least} images of each are compared: there are {', '.join(found)}."]
        sources = [replace(each, preparation=replace(each.preparation, count=least)) for each in sources]
    real = session.real()
    real_counts = [each.count for each in real.values()] if isinstance(real, dict) else [len(real)]
    require_least(session, min(real_counts, default=session.least), f"real images ({session.data})")
    few = too_few_images(session.metrics, least, min(real_counts, default=0))
    if few and session.explicit:
        raise BadInput(next(iter(few.values())))
    session = replace(session, metrics=[name for name in session.metrics if name not in few])
    real_features = extract_features(session, real, "real images")
    labels = [f"generated images of {model.name}" for model in models]
    features = [extract_features(session, each, label) for each, label in zip(sources, labels, strict=True)]
    images, notes = None if isinstance(real, dict) else real, [*notes, *few.values()]
    return Measurements(session, models, sources, features, images, real_features, notes)


def require_least(session: EvaluationSession, count: int, what: str) -> None:
    """Raise BadInput where a side has fewer images than intervals are resampled from."""
    if 2 <= count < session.least:  # a covariance of fewer than 2 is refused by `extract_features`
        raise BadInput(f"{count} {what}: wanted at least {session.least}, of which intervals are resampled")


def extract_features(session: EvaluationSession, source: ImageSource | Features, label: str) -> Features:
    """The statistics of a source by every extractor of a session; label: of the progress bar.

    Under torchrun every process calls this, and only the main one gets statistics. Features are returned as
    they are.
    """
    if isinstance(source, dict) or not session.extractors:
        return source if isinstance(source, dict) else {}
    if len(source) < 2:
        path = f"{source.source}: " if isinstance(source, StoredImages) else ""
        raise BadInput(f"{path}{len(source)} {label}: wanted at least 2 for a covariance")
    provenance, accumulators = source.provenance, dict[str, Accumulator]()
    content = {name: value for name, value in provenance.items() if name not in ("source", "available")}
    protocols = {name: session.fields(extractor) for name, extractor in session.extractors.items()}
    with ExitStack() as locks:
        for name, protocol in protocols.items() if session.group.is_main else ():
            parts = [CACHE_FORMAT, protocol, content, asdict(source.preparation), session.max_features]
            key = hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
            folder = cache_folder() / "statistics" / key
            lock = try_lock(folder / "lock") if session.cache else None  # None: another process works there
            locks.enter_context(lock or nullcontext())
            shape = (len(source), session.extractors[name].width)
            accumulators[name] = Accumulator(folder if lock else None, shape, session.max_features)
        _stream(session, source, label, accumulators)
    return {name: each.statistics(protocols[name], provenance) for name, each in accumulators.items()}


def _stream(
    session: EvaluationSession, source: ImageSource, label: str, accumulators: Mapping[str, Accumulator]
) -> None:
    """Extract the features that are missing, each process of its part, and accumulate them in order.

    The state is saved now and then; where there is no terminal, a line with the time left is logged with it.
    """
    group, began = session.group, time.monotonic()
    start = group.broadcast_int(min((each.done for each in accumulators.values()), default=0))
    steps = range(start, len(source), session.batch * group.world)
    quiet, saved = session.quiet or not group.is_main, began
    for begin in track_progress(steps, f"extracting features of {label}", quiet=quiet):
        parts = split_batch(begin, len(source), session.batch, group.world)
        images = source.read(parts[group.rank]) if len(parts[group.rank]) else None
        for name, extractor in session.extractors.items():
            empty = torch.zeros(0, extractor.width, device=session.device)
            features = empty if images is None else extractor(images.to(session.device))
            gathered = group.all_gather_rows(features, [len(part) for part in parts])
            for part, rows in zip(parts, gathered, strict=True) if name in accumulators else ():
                accumulators[name].add(part, rows)
        done, now = parts[-1].stop, time.monotonic()
        if now - saved > SAVE_EVERY or done == len(source):
            for each in accumulators.values():
                each.save()
            if now - saved > SAVE_EVERY and not quiet and not sys.stderr.isatty():
                left = (now - began) / (done - start) * (len(source) - done) / 60
                log_line(f"extracting features of {label}: {done} of {len(source)}, {left:.1f} minutes left")
            saved = now


def split_batch(begin: int, end: int, batch: int, world: int) -> list[range]:
    """The next indices of every process; at the end the last ones get fewer or none."""
    starts = [min(begin + rank * batch, end) for rank in range(world)]
    return [range(start, min(start + batch, end)) for start in starts]
