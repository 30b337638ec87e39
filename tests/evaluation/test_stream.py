"""Streamed statistics: equal to those of all at once, resumed, kept by content, in one process or two."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import genscene
from genscene.data.pictures import ImageSet
from genscene.errors import BadInput
from genscene.evaluation import stream as streaming
from genscene.evaluation.protocol import Protocol, Side
from genscene.evaluation.sides import Stored
from genscene.evaluation.stream import Streaming, Task, measure, shares
from genscene.experiment.schema import ImageConfig
from genscene.io.atomic import cache_folder
from genscene.metrics.frechet import Moments
from genscene.metrics.networks.extractor import Extractor

SIZE, WIDTH = (8, 8), 12
PROTOCOL = Protocol("a test", ("frechet",))


@dataclass
class Looks:
    """Means over quarters of the picture; it counts what it was shown."""

    shown: list[int] = field(default_factory=list)

    def __call__(self, images):
        self.shown.append(len(images))
        return torch.nn.functional.adaptive_avg_pool2d(images.double(), 2).flatten(1) / 255


class Killed(Exception):
    """The process is gone."""


@dataclass
class Dying:
    """A lot that can be asked only so often."""

    lot: Stored
    left: int

    @property
    def notes(self):
        return self.lot.notes

    @property
    def side(self):
        return self.lot.side

    def __len__(self):
        return len(self.lot)

    def take(self, places):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.lot.take(places)


def task(looks, *more, **changed):
    eye = Extractor("means", "none", "quarters", WIDTH, "not resized", looks)
    return Task(replace(PROTOCOL, **changed), SIZE, ImageConfig(), (eye, *more))


def lot(count=50, seed=0):
    return Stored(
        ImageSet(np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), np.uint8)), Side(), "test"
    )


def features(stored):
    return Looks()(stored.take(range(len(stored)))).float()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("batch", [1, 7, 32, 50, 64])
def test_streamed_statistics_are_those_of_all_at_once(batch):
    looks, stored = Looks(), lot()
    (found,) = measure(stored, "pictures", task(looks), Streaming(batch, cache=False))
    whole = Moments.of(features(stored))
    assert_close(found.moments.mean, whole.mean, atol=1e-10, rtol=0)
    assert_close(found.moments.covariance, whole.covariance, atol=1e-10, rtol=0)
    assert torch.equal(found.features, features(stored))
    assert found.tally.count == sum(looks.shown) == 50
    assert found.notes == stored.notes
    assert found.protocol == PROTOCOL.fields(task(looks).extractors[0], SIZE, ImageConfig())


def test_what_died_half_way_goes_on_from_there_and_ends_with_the_same_bits(monkeypatch):
    monkeypatch.setattr(streaming, "SAVE_EVERY", 0.0)
    (whole,) = measure(lot(), "pictures", task(Looks()), Streaming(8, cache=False))
    for left in (3, 2):
        with pytest.raises(Killed):
            measure(Dying(lot(), left), "pictures", task(Looks()), Streaming(8))
    looks = Looks()
    (found,) = measure(lot(), "pictures", task(looks), Streaming(8))
    assert looks.shown == [8, 2], "only what was left"
    assert torch.equal(found.tally.mean, whole.tally.mean)
    assert torch.equal(found.tally.scatter, whole.tally.scatter)
    assert torch.equal(found.features, whole.features)
    assert found.tally.count == 50


def test_an_extractor_that_knows_more_than_another_is_not_told_twice(monkeypatch):
    monkeypatch.setattr(streaming, "SAVE_EVERY", 0.0)
    with pytest.raises(Killed):
        measure(Dying(lot(), 3), "pictures", task(Looks()), Streaming(8))
    other = Extractor(
        "inverted", "none", "quarters", WIDTH, "not resized", lambda images: 1 - Looks()(images)
    )
    found = measure(lot(), "pictures", task(Looks(), other), Streaming(8))
    assert [each.tally.count for each in found] == [50, 50]
    assert torch.equal(found[0].features, features(lot()))
    assert_close(found[1].moments.mean, 1 - found[0].moments.mean, atol=1e-7, rtol=0)


def test_what_is_finished_is_not_measured_again_and_what_is_another_thing_is():
    how = Streaming(8)
    measure(lot(), "pictures", task(Looks()), how)

    def asked(stored=None, **changed):
        looks = Looks()
        (found,) = measure(stored or lot(), "pictures", task(looks, **changed), how)
        assert_close(found.moments.mean, features(stored or lot()).double().mean(0), atol=1e-10, rtol=0)
        return sum(looks.shown)

    assert asked() == 0
    assert asked(lot(seed=1)) == 50
    assert asked(lot(51)) == 51
    assert asked(rounding="truncated") == 50
    assert asked(reals=Side(format="png")) == 50
    assert [asked(), asked(rounding="truncated")] == [0, 0]


def test_only_so_many_features_are_kept_but_all_are_counted():
    for cached in (False, True):
        (found,) = measure(lot(), "pictures", task(Looks()), Streaming(8, keep=13, cache=cached))
        assert torch.equal(found.features, features(lot())[:13])
        assert found.tally.count == 50
        assert_close(found.moments.covariance, Moments.of(features(lot())).covariance, atol=1e-10, rtol=0)


def test_without_a_cache_no_file_is_left():
    measure(lot(), "pictures", task(Looks()), Streaming(cache=False))
    assert not cache_folder().exists()
    measure(lot(), "pictures", task(Looks()), Streaming())
    assert [p for p in cache_folder().rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", ["tally.safetensors", "features.f32"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "text"])
def test_damaged_files_of_the_cache_are_measured_anew(name, damage):
    (before,) = measure(lot(), "pictures", task(Looks()), Streaming(8))
    kept = before.features.clone()
    (path,) = cache_folder().rglob(name)
    content = path.read_bytes()
    del before
    path.unlink()
    if damage != "gone":
        path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}[damage])
    looks = Looks()
    (found,) = measure(lot(), "pictures", task(looks), Streaming(8))
    assert sum(looks.shown) == 50
    assert torch.equal(found.features, kept)


@pytest.mark.parametrize("count", [0, 1])
def test_one_picture_is_refused(count):
    one = Stored(ImageSet(np.zeros((count, *SIZE, 3), np.uint8)), Side(), "test")
    with pytest.raises(
        BadInput, match=rf"^test: {count} pictures: wanted at least 2 to tell how they spread$"
    ):
        measure(one, "pictures", task(Looks()), Streaming())
    assert not cache_folder().exists()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_are_all_pictures_once_and_the_first_is_the_largest(world):
    for end in range(23):
        seen, begin = [], 0
        while begin < end:
            parts = shares(begin, end, 4, world)
            assert len(parts) == world
            assert all(len(part) <= len(parts[0]) for part in parts)
            seen += [place for part in parts for place in part]
            begin += 4 * world
        assert seen == list(range(end))


TWO = """
import importlib.util, sys
import torch
spec = importlib.util.spec_from_file_location("test_stream", sys.argv[1])
ours = importlib.util.module_from_spec(spec)
sys.modules["test_stream"] = ours
spec.loader.exec_module(ours)
from genscene.distributed import init_group
group = init_group(torch.device("cpu"))
assert group.broadcast_int(group.rank + 5) == 5
looks = ours.Looks()
streaming = ours.Streaming(8, group=group, quiet=True)
found = ours.measure(ours.lot(), "pictures", ours.task(looks), streaming)
assert sum(looks.shown) == (26 if group.is_main else 24), looks.shown
again = ours.Looks()
ours.measure(ours.lot(), "pictures", ours.task(again), streaming)
assert not again.shown
assert bool(found) == group.is_main
if group.is_main:
    found[0].save(sys.argv[2])
group.close()
"""


def test_two_processes_give_what_one_gives(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += [
        "--nproc-per-node",
        "2",
        str(tmp_path / "two.py"),
        __file__,
        str(tmp_path / "two.safetensors"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    two = streaming.Statistics.load(tmp_path / "two.safetensors")
    (one,) = measure(lot(), "pictures", task(Looks()), Streaming(8, cache=False))
    for a, b in (
        (one.tally.mean, two.tally.mean),
        (one.tally.scatter, two.tally.scatter),
        (one.features, two.features),
    ):
        assert torch.equal(a, b)
    assert two.notes == one.notes
    assert two.protocol == one.protocol


def test_pictures_nobody_looks_at_are_not_made():
    nobody = Task(PROTOCOL, SIZE, ImageConfig(), ())
    assert measure(Dying(lot(), 0), "pictures", nobody, Streaming(8)) == []


MANY = """
import re
from pathlib import Path
import torch
from genscene.evaluation.protocol import Protocol, Side
from genscene.evaluation.stream import Streaming, Task, measure
from genscene.experiment.schema import ImageConfig
from genscene.metrics.networks.extractor import Extractor

class Drawn:
    def __init__(self, count):
        self.count, self.notes, self.side = count, {"pictures": count}, Side(count)
    def __len__(self):
        return self.count
    def take(self, places):
        return torch.randint(0, 256, (len(places), 3, 64, 64), dtype=torch.uint8)

def peak():  # in kB, of this process alone
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

looks = Extractor("means", "none", "colours", 3, "not resized", lambda images: images.float().mean((2, 3)))
task = Task(Protocol("a test", ()), (64, 64), ImageConfig(), (looks,))
measure(Drawn(64), "pictures", task, Streaming(32))
before = peak()
(found,) = measure(Drawn(12000), "pictures", task, Streaming(32))
assert found.tally.count == 12000
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_any_number_of_pictures_fits_into_the_memory_of_a_batch():
    """12,000 pictures of 64 x 64 are 147 MB; after a first few, no more memory is asked for."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(genscene.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", MANY], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 30_000, f"grew by {int(done.stdout) / 1000:.0f} MB"
