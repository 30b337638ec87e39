"""Sessions: statistics of another protocol are refused, paths are told apart."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation.protocol import Preparation, Protocol, require_same_protocol
from genscene.evaluation.session import EvaluationSession, is_images
from genscene.evaluation.statistics import FeatureStatistics
from genscene.experiment.schema import ImageConfig
from genscene.metrics.frechet import RunningMoments
from genscene.metrics.networks.extractor import Extractor

PROVENANCE = {"source": "a folder", "images": 20, "available": 30, "content": "ab12", "psi": 0.7}
NETWORK = Extractor("means", "none", "colors", 5, "not resized", lambda images: images.double().mean((2, 3)))
PROTOCOL = Protocol("a test", ("frechet",), Preparation(20), Preparation(20))
SESSION = EvaluationSession(PROTOCOL, (16, 16), ImageConfig(), {"random": NETWORK}, cache=False, quiet=True)


def statistics(session=SESSION):
    features = torch.randn(20, 5)
    return FeatureStatistics(session.fields(NETWORK), PROVENANCE, RunningMoments.of(features), features[:12])


def test_protocols_that_differ_are_refused_by_field():
    other = statistics(replace(SESSION, size=(32, 32), images=ImageConfig(background="black")))
    require_same_protocol(statistics().protocol, statistics().protocol, ("fakes", "reals"))
    wanted = r"background \(fakes: white, reals: black\); size \(fakes: 16x16, reals: 32x32\)"
    with pytest.raises(BadInput, match=wanted):
        require_same_protocol(statistics().protocol, other.protocol, ("fakes", "reals"))


def test_a_session_loads_statistics_of_its_own_protocol_only(tmp_path):
    one = statistics()
    one.save(tmp_path / "random.safetensors")
    for path in (tmp_path, tmp_path / "random.safetensors"):
        found = SESSION.load_statistics(path)
        assert torch.equal(found["random"].running.mean, one.running.mean)
    other = replace(PROTOCOL, real=Preparation(20), generated=Preparation(9), psi=0.5)
    assert replace(SESSION, protocol=other).load_statistics(tmp_path)
    with pytest.raises(BadInput, match=r"size \(.*random.safetensors: 16x16, here: 32x32\)"):
        replace(SESSION, size=(32, 32)).load_statistics(tmp_path)
    changed = replace(NETWORK, weights="others", layer="last")
    with pytest.raises(BadInput, match=r"layer \(.*\); weights \(.*: none, here: others\)"):
        replace(SESSION, extractors={"random": changed}).load_statistics(tmp_path)
    with pytest.raises(BadInput, match=r"holds no statistics of means \(no fid\.safetensors\)"):
        replace(SESSION, extractors={"fid": NETWORK}).load_statistics(tmp_path)


def test_paths_of_images_and_of_statistics(tmp_path):
    (tmp_path / "empty").mkdir()
    statistics().save(tmp_path / "kept" / "random.safetensors")
    assert is_images(tmp_path / "empty")
    assert not is_images(tmp_path / "kept")
    assert is_images(Path("some.zip"))
