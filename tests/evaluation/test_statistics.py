"""Statistics as files: what is written is read again, anything else is refused in one line."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import tiny
from genscene.errors import BadInput
from genscene.evaluation.statistics import FORMAT, FeatureStatistics
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile, write
from genscene.metrics.frechet import RunningMoments

PROVENANCE = {"source": "a folder", "images": 20, "available": 30, "content": "ab12", "psi": 0.7}


def statistics(count=20):
    features = torch.randn(count, 5)
    return FeatureStatistics({"size": "16x16"}, PROVENANCE, RunningMoments.of(features), features[:12])


def refused(path):
    with pytest.raises(BadInput) as error:
        FeatureStatistics.load(path)
    message = str(error.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_is_written_is_read_again(tmp_path):
    one, path = statistics(), tmp_path / "new" / "random.safetensors"
    one.save(path)
    other = FeatureStatistics.load(path)
    assert other.protocol == one.protocol
    assert other.provenance == one.provenance
    assert other.count == 20
    for name in ("mean", "scatter"):
        assert torch.equal(getattr(one.running, name), getattr(other.running, name))
    assert other.running.mean.dtype == torch.float64
    assert torch.equal(other.features, one.features)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    statistics().save(path)
    content = path.read_bytes()
    for length in (0, 4, 40, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert "is not a complete file of statistics" in refused(path)


def test_other_files_are_refused(tmp_path):
    generator, text = tmp_path / "generator.safetensors", tmp_path / "text.safetensors"
    experiment = tiny("pigan-carla")
    write(generator, GeneratorFile(build_seeded(experiment).generator, experiment))
    assert "holds no statistics of format None, wanted genscene statistics" in refused(generator)
    text.write_text("these are no numbers\n" * 9)
    assert "is not a complete file" in refused(text)
    assert "is not a complete file" in refused(tmp_path / "nowhere.safetensors")
    assert "is not a complete file" in refused(tmp_path)


@pytest.mark.parametrize("found", [None, 0, FORMAT + 1, "new"])
def test_unknown_formats_are_refused_by_name(tmp_path, found):
    path = tmp_path / "s.safetensors"
    statistics().save(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["about"])
    assert header.pop("format") == FORMAT
    header |= {} if found is None else {"format": found}
    save_file(load_file(path), path, metadata={"about": json.dumps(header)})
    message = refused(path)
    assert f"statistics of format {found}, wanted genscene statistics of format {FORMAT}" in message
    assert "evaluate --statistics" in message


@pytest.mark.parametrize("header", ["[]", "3", "{", "{}", '{"kind": "genscene statistics"}'])
def test_a_header_of_another_kind_is_refused(tmp_path, header):
    path, running = tmp_path / "s.safetensors", statistics().running
    tensors = {"mean": running.mean, "scatter": running.scatter, "features": torch.zeros(2, 5)}
    save_file(tensors, path, metadata={"about": header})
    refused(path)
    save_file(tensors, path)
    refused(path)


def test_files_without_all_tensors_are_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    header = {"kind": "genscene statistics", "format": 1, "protocol": {}, "provenance": {}, "count": 3}
    save_file({"mean": torch.zeros(5)}, path, metadata={"about": json.dumps(header)})
    assert "holds damaged statistics: its tensors are incomplete" in refused(path)
