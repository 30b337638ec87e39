"""Streamed statistics equal those of all images at once, resumed, cached, in one process or two."""

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
from genscene.data.images import ImageSet
from genscene.errors import BadInput
from genscene.evaluation import extract_features as module
from genscene.evaluation.extract_features import extract_features, split_batch
from genscene.evaluation.image_sources import StoredImages
from genscene.evaluation.protocol import Preparation, Protocol
from genscene.evaluation.session import EvaluationSession
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schema import ImageConfig
from genscene.io.atomic import cache_folder
from genscene.metrics.frechet import Moments
from genscene.metrics.networks.extractor import Extractor

SIZE, WIDTH = (8, 8), 12
PROTOCOL = Protocol("a test", ("frechet",))


@dataclass
class QuarterMeans:
    """Means over quarters of the image; it counts the images of every call."""

    counts: list[int] = field(default_factory=list)

    def __call__(self, images):
        self.counts.append(len(images))
        return torch.nn.functional.adaptive_avg_pool2d(images.double(), 2).flatten(1) / 255


class Killed(Exception):
    """Stands for a killed process."""


@dataclass
class Failing:
    """A source that can be read only so often."""

    source: StoredImages
    left: int

    @property
    def provenance(self):
        return self.source.provenance

    @property
    def preparation(self):
        return self.source.preparation

    def __len__(self):
        return len(self.source)

    def read(self, indices):
        self.left -= 1
        if self.left < 0:
            raise Killed
        return self.source.read(indices)


def session(network, batch=8, protocol=PROTOCOL, more=(), **changed):
    extractors = [Extractor("means", "none", "quarters", WIDTH, "not resized", network), *more]
    named = {each.name: each for each in extractors}
    return EvaluationSession(protocol, SIZE, ImageConfig(), named, batch=batch, quiet=True, **changed)


def images(count=50, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), np.uint8)
    return StoredImages(ImageSet(pixels), Preparation(), "test")


def extract(network, source=None, **changed):
    found = extract_features(session(network, **changed), images() if source is None else source, "images")
    return found["means"]


def features(source):
    return QuarterMeans()(source.read(range(len(source)))).float()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENSCENE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("batch", [1, 7, 32, 50, 64])
def test_streamed_statistics_are_those_of_all_images(batch):
    network, source = QuarterMeans(), images()
    found, whole = extract(network, source, batch=batch), Moments.of(features(source))
    assert_close(found.moments.mean, whole.mean, atol=1e-10, rtol=0)
    assert_close(found.moments.covariance, whole.covariance, atol=1e-10, rtol=0)
    assert torch.equal(found.features, features(source))
    assert found.count == sum(network.counts) == 50
    assert found.provenance == source.provenance
    extractor = session(network).extractors["means"]
    assert found.protocol == PROTOCOL.fields(extractor, SIZE, ImageConfig())


def test_a_killed_extraction_resumes_and_ends_with_the_same_bits(monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 0.0)
    whole = extract(QuarterMeans(), cache=False)
    for left in (3, 2):
        with pytest.raises(Killed):
            extract(QuarterMeans(), Failing(images(), left))
    network = QuarterMeans()
    found = extract(network)
    assert network.counts == [8, 2], "only what was left"
    assert torch.equal(found.running.mean, whole.running.mean)
    assert torch.equal(found.running.scatter, whole.running.scatter)
    assert torch.equal(found.features, whole.features)
    assert found.count == 50


def test_an_extractor_that_is_ahead_adds_nothing_twice(monkeypatch):
    monkeypatch.setattr(module, "SAVE_EVERY", 0.0)
    with pytest.raises(Killed):
        extract(QuarterMeans(), Failing(images(), 3))
    other = Extractor("inverted", "none", "", WIDTH, "", lambda images: 1 - QuarterMeans()(images))
    found = extract_features(session(QuarterMeans(), more=(other,)), images(), "images")
    assert [each.count for each in found.values()] == [50, 50]
    assert torch.equal(found["means"].features, features(images()))
    assert_close(found["inverted"].moments.mean, 1 - found["means"].moments.mean, atol=1e-7, rtol=0)


def test_the_cache_is_by_content_and_protocol():
    extract(QuarterMeans())

    def computed(source=None, **changed):
        network = QuarterMeans()
        found = extract(network, source, protocol=replace(PROTOCOL, **changed))
        wanted = features(source or images()).double().mean(0)
        assert_close(found.moments.mean, wanted, atol=1e-10, rtol=0)
        return sum(network.counts)

    assert computed() == 0
    assert computed(images(seed=1)) == 50
    assert computed(images(51)) == 51
    assert computed(rounding="truncated") == 50
    assert computed(real=Preparation(format="png")) == 50
    assert [computed(), computed(rounding="truncated")] == [0, 0]


@pytest.mark.parametrize("cached", [False, True])
def test_only_the_first_features_are_stored_but_all_are_counted(cached):
    found = extract(QuarterMeans(), max_features=13, cache=cached)
    assert torch.equal(found.features, features(images())[:13])
    assert found.count == 50
    wanted = Moments.of(features(images())).covariance
    assert_close(found.moments.covariance, wanted, atol=1e-10, rtol=0)


def test_without_cache_no_file_is_written():
    extract(QuarterMeans(), cache=False)
    assert not cache_folder().exists()
    extract(QuarterMeans())
    assert [p for p in cache_folder().rglob("*") if p.is_file()]


@pytest.mark.parametrize("name", ["moments.safetensors", "features.f32"])
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "text", "zeros", "a bit"])
def test_damaged_files_of_the_cache_are_computed_again(name, damage):
    before = extract(QuarterMeans()).features.clone()
    (path,) = cache_folder().rglob(name)
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        bit = content[:-99] + bytes([content[-99] ^ 1]) + content[-98:]
        half, zeros = content[: len(content) // 2], bytes(len(content))
        damaged = {"cut": half, "empty": b"", "text": b"hello", "zeros": zeros, "a bit": bit}
        path.write_bytes(damaged[damage])
    network = QuarterMeans()
    assert torch.equal(extract(network).features, before)
    assert sum(network.counts) == 50


def test_without_room_for_the_cache_features_are_in_memory(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert torch.equal(extract(QuarterMeans()).features, features(images()))
    assert not list(cache_folder().rglob("*.f32"))


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_refused(count):
    one = StoredImages(ImageSet(np.zeros((count, *SIZE, 3), np.uint8)), Preparation(), "test")
    with pytest.raises(BadInput, match=rf"^test: {count} images: wanted at least 2 for a covariance$"):
        extract(QuarterMeans(), one)
    assert not cache_folder().exists()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_the_parts_of_processes_are_all_images_once(world):
    for end in range(23):
        indices, begin = [], 0
        while begin < end:
            parts = split_batch(begin, end, 4, world)
            assert len(parts) == world
            assert all(len(part) <= len(parts[0]) for part in parts)
            indices += [i for part in parts for i in part]
            begin += 4 * world
        assert indices == list(range(end))


TWO = """
import importlib.util, sys
import torch
spec = importlib.util.spec_from_file_location("test_extract_features", sys.argv[1])
ours = importlib.util.module_from_spec(spec)
sys.modules["test_extract_features"] = ours
spec.loader.exec_module(ours)
from genscene.distributed import init_group
group = init_group(torch.device("cpu"))
assert group.broadcast_int(group.rank + 5) == 5
network = ours.QuarterMeans()
found = ours.extract_features(ours.session(network, group=group), ours.images(), "images")
assert sum(network.counts) == (26 if group.is_main else 24), network.counts
again = ours.QuarterMeans()
ours.extract_features(ours.session(again, group=group), ours.images(), "images")
assert not again.counts
assert bool(found) == group.is_main
if group.is_main:
    found["means"].save(sys.argv[2])
group.close()
"""


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(genscene.__file__).parents[1])}


def test_two_processes_give_the_same_statistics_as_one(tmp_path):
    (tmp_path / "two.py").write_text(TWO)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += [
        "--nproc-per-node",
        "2",
        str(tmp_path / "two.py"),
        __file__,
        str(tmp_path / "two.safetensors"),
    ]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    two, one = FeatureStatistics.load(tmp_path / "two.safetensors"), extract(QuarterMeans(), cache=False)
    assert torch.equal(one.running.mean, two.running.mean)
    assert torch.equal(one.running.scatter, two.running.scatter)
    assert torch.equal(one.features, two.features)
    assert two.provenance == one.provenance
    assert two.protocol == one.protocol


def test_without_extractors_no_image_is_read():
    empty = replace(session(QuarterMeans()), extractors={})
    assert extract_features(empty, Failing(images(), 0), "images") == {}


MANY = """
import re
from pathlib import Path
import torch
from genscene.evaluation.extract_features import extract_features
from genscene.evaluation.protocol import Preparation, Protocol
from genscene.evaluation.session import EvaluationSession
from genscene.experiment.schema import ImageConfig
from genscene.metrics.networks.extractor import Extractor

class RandomImages:
    def __init__(self, count):
        self.count, self.provenance, self.preparation = count, {"images": count}, Preparation(count)
    def __len__(self):
        return self.count
    def read(self, indices):
        return torch.randint(0, 256, (len(indices), 3, 64, 64), dtype=torch.uint8)

def peak():  # in kB, of this process alone
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

network = Extractor("means", "none", "colors", 3, "not resized", lambda images: images.float().mean((2, 3)))
session = EvaluationSession(Protocol("a test", ()), (64, 64), ImageConfig(), {"means": network})
extract_features(session, RandomImages(64), "images")
before = peak()
found = extract_features(session, RandomImages(12000), "images")
assert found["means"].count == 12000
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_any_number_of_images_fits_into_the_memory_of_a_batch():
    """12,000 images of 64 x 64 are 147 MB; after a first few, no more memory is needed."""
    done = subprocess.run([sys.executable, "-c", MANY], env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 30_000, f"grew by {int(done.stdout) / 1000:.0f} MB"
