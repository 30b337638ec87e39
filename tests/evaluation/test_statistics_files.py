"""Statistics as files: what is written is read again, and what is anything else is refused in a line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from conftest import tiny
from genscene.errors import BadInput
from genscene.evaluation.desk import Desk, Subject, is_pictures, is_statistics
from genscene.evaluation.protocol import Protocol, Side
from genscene.evaluation.statistics import Statistics
from genscene.evaluation.stream import Streaming, Task
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import save_generator
from genscene.metrics.frechet import RunningMoments
from genscene.metrics.networks.extractor import Extractor

NOTES = {"source": "a folder", "pictures": 20, "of": 30, "content": "ab12", "psi": 0.7}
LOOKS = Extractor("means", "none", "colours", 5, "not resized", lambda images: images.double().mean((2, 3)))
TASK = Task(Protocol("a test", ("frechet",), Side(20), Side(20)), (16, 16), ImageConfig(), (LOOKS,))


def statistics(task=TASK, count=20):
    features = torch.randn(count, 5)
    looks = task.extractors[0]
    return Statistics(
        task.protocol.fields(looks, task.size, task.pictures), NOTES, RunningMoments.of(features), features[:12]
    )


def desk(task=TASK):
    return Desk(task, {"random": task.extractors[0]}, Streaming(cache=False, quiet=True), torch.device("cpu"))


def refused(path):
    with pytest.raises(BadInput) as error:
        Statistics.load(path)
    said = str(error.value)
    assert "\n" not in said
    assert str(path) in said
    return said


def test_what_is_written_is_read_again(tmp_path):
    one, path = statistics(), tmp_path / "new" / "random.safetensors"
    one.save(path)
    other = Statistics.load(path)
    assert other.protocol == one.protocol
    assert other.notes == one.notes
    assert other.tally.count == 20
    for name in ("mean", "scatter"):
        assert torch.equal(getattr(one.tally, name), getattr(other.tally, name))
    assert other.tally.mean.dtype == torch.float64
    assert torch.equal(other.features, one.features)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    other.beside(one, ("a", "b"))


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    statistics().save(path)
    content = path.read_bytes()
    for length in (0, 4, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert "no whole file of statistics" in refused(path)


def test_other_files_are_refused(tmp_path):
    generator, text = tmp_path / "generator.safetensors", tmp_path / "text.safetensors"
    experiment = tiny("pigan-carla")
    save_generator(generator, build_seeded(experiment).generator, experiment)
    assert "holds no statistics of genscene" in refused(generator)
    text.write_text("these are no numbers\n" * 9)
    assert "no whole file" in refused(text)
    assert "no whole file" in refused(tmp_path / "nowhere.safetensors")
    assert "no whole file" in refused(tmp_path)


@pytest.mark.parametrize(
    "about",
    ["[]", "3", "{", '{"kind": "genscene statistics"}', '{"kind": "genscene statistics", "count": "a"}'],
)
def test_a_header_that_is_not_ours_is_refused(tmp_path, about):
    path, tally = tmp_path / "s.safetensors", statistics().tally
    tensors = {"mean": tally.mean, "scatter": tally.scatter, "features": torch.zeros(2, 5)}
    save_file(tensors, path, metadata={"about": about})
    refused(path)
    save_file(tensors, path)
    refused(path)


def test_files_without_all_numbers_are_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    about = {"kind": "genscene statistics", "protocol": {}, "notes": {}, "count": 3}
    save_file({"mean": torch.zeros(5)}, path, metadata={"about": json.dumps(about)})
    assert "holds no statistics" in refused(path)


def test_statistics_of_another_protocol_are_not_compared():
    other = statistics(replace(TASK, size=(32, 32), pictures=ImageConfig(background="black")))
    statistics().beside(statistics(), ("fakes", "reals"))
    with pytest.raises(
        BadInput, match=r"background \(fakes: white, reals: black\); size \(fakes: 16x16, reals: 32x32\)"
    ):
        statistics().beside(other, ("fakes", "reals"))


def test_a_desk_takes_statistics_of_its_own_protocol_alone(tmp_path):
    one = statistics()
    one.save(tmp_path / "random.safetensors")
    for place in (tmp_path, tmp_path / "random.safetensors"):
        found = desk().stored(place)
        assert torch.equal(found["random"].tally.mean, one.tally.mean)
    counted = replace(TASK, protocol=replace(TASK.protocol, reals=Side(20), fakes=Side(9), psi=0.5))
    assert desk(counted).stored(tmp_path)
    with pytest.raises(BadInput, match=r"size \(.*random.safetensors: 16x16, here: 32x32\)"):
        desk(replace(TASK, size=(32, 32))).stored(tmp_path)
    changed = replace(TASK, extractors=(replace(LOOKS, weights="others", layer="last"),))
    with pytest.raises(BadInput, match=r"layer \(.*\); weights \(.*: none, here: others\)"):
        desk(changed).stored(tmp_path)
    with pytest.raises(BadInput, match=r"holds no statistics by means \(no fid\.safetensors\)"):
        replace(desk(), extractors={"fid": LOOKS}).stored(tmp_path)


def test_places_of_pictures_and_of_statistics_are_told_apart(tmp_path):
    (tmp_path / "empty").mkdir()
    statistics().save(tmp_path / "kept" / "random.safetensors")
    assert is_pictures(tmp_path / "empty")
    assert not is_statistics(tmp_path / "empty")
    assert not is_pictures(tmp_path / "kept")
    assert is_statistics(tmp_path / "kept")
    assert is_statistics(tmp_path / "kept" / "random.safetensors")
    assert is_pictures(Path("some.zip"))
    names = [
        Subject(Path(p)).name
        for p in ("runs/cars/generator.safetensors", "runs/cars", "a/cars.zip", "a/x.safetensors")
    ]
    assert names == ["cars", "cars", "cars", "x"]
    assert Subject(Path("runs/cars"), alias="mine").name == "mine"
