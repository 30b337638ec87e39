"""Protocols: presets that can be measured, and fields that change with all that matters and with nothing else."""

from dataclasses import fields, replace

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation.measures import METRICS, wanted
from genscene.evaluation.protocol import PROTOCOLS, Protocol, Side, agree, protocol_of
from genscene.experiment.schema import ImageConfig
from genscene.metrics.networks.extractor import Extractor

LOOKS = Extractor("means", "none", "colours", 3, "not resized", lambda images: images.double().mean((2, 3)))
PROTOCOL = Protocol("a test", ("frechet",), Side(10), Side(20))
PICTURES = ImageConfig()


def told(protocol=PROTOCOL, extractor=LOOKS, size=(16, 16), pictures=PICTURES):
    return protocol.fields(extractor, size, pictures)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_preset_names_metrics_that_there_are(name):
    protocol = PROTOCOLS[name]
    assert protocol.metrics
    assert set(protocol.metrics) <= set(METRICS)
    assert len(set(protocol.metrics)) == len(protocol.metrics)
    assert wanted(protocol.metrics, "random")
    assert protocol.fakes.count >= 2
    assert protocol.source


CHANGES = {
    "rounding": ({"protocol": replace(PROTOCOL, rounding="truncated")}, {"rounding"}),
    "format": ({"protocol": replace(PROTOCOL, reals=Side(10, "png"))}, {"format of reals"}),
    "format of fakes": ({"protocol": replace(PROTOCOL, fakes=Side(20, "jpeg"))}, {"format of fakes"}),
    "flip": ({"protocol": replace(PROTOCOL, reals=Side(10, flip="both"))}, {"flip of reals"}),
    "flip of fakes": ({"protocol": replace(PROTOCOL, fakes=Side(20, flip="random"))}, {"flip of fakes"}),
    "size": ({"size": (16, 17)}, {"size"}),
    "turned": ({"size": (17, 16)}, {"size"}),
    "background": ({"pictures": replace(PICTURES, background="black")}, {"background"}),
    "fit": ({"pictures": replace(PICTURES, fit="contain")}, {"fit"}),
    "cut": ({"pictures": replace(PICTURES, center_crop=0.5)}, {"fit"}),
    "extractor": ({"extractor": replace(LOOKS, name="others")}, {"extractor"}),
    "weights": ({"extractor": replace(LOOKS, weights="some")}, {"weights"}),
    "layer": ({"extractor": replace(LOOKS, layer="another")}, {"layer"}),
    "resize": ({"extractor": replace(LOOKS, resize="to 299")}, {"resize"}),
}


@pytest.mark.parametrize(("changed", "expected"), CHANGES.values(), ids=CHANGES)
def test_fields_change_with_what_matters(changed, expected):
    one, other = told(), told(**changed)
    assert set(one) == set(other)
    assert {name for name in one if one[name] != other[name]} == expected


def test_the_quality_of_a_jpeg_matters_and_that_of_another_file_does_not():
    low, high = (told(replace(PROTOCOL, fakes=Side(20, "jpeg", quality))) for quality in (75, 85))
    assert low["format of fakes"] != high["format of fakes"]
    assert told(replace(PROTOCOL, fakes=Side(20, quality=3))) == told()


def test_fields_do_not_change_with_what_is_told_elsewhere_or_does_not_matter():
    """Counts, truncation and how many files were taken stand in the notes of the sides; a head makes no features."""
    same = replace(
        PROTOCOL, source="somebody", metrics=("kernel",), psi=0.5, size=16, reals=Side(3), fakes=Side(4)
    )
    same = replace(same, whole=(9, 9))
    assert told(same) == told()
    assert told(pictures=replace(PICTURES, limit=5, flip=True, labels=True)) == told()
    assert told(extractor=replace(LOOKS, head=torch.ones(2, 3), remark="a remark")) == told()


def test_every_option_of_a_side_or_of_pictures_is_known_here():
    """A new one must be put into the fields, or into one of the lists above."""
    assert {f.name for f in fields(Side)} == {"count", "format", "quality", "flip"}
    assert {f.name for f in fields(ImageConfig)} == {
        "fit",
        "center_crop",
        "background",
        "flip",
        "labels",
        "limit",
    }
    own = {"source", "metrics", "reals", "fakes", "rounding", "size", "psi", "whole"}
    assert {f.name for f in fields(Protocol)} == own


def test_agreement_names_all_that_differs_with_both_values():
    one, other = told(), told(size=(32, 32), pictures=replace(PICTURES, background="black"))
    agree(one, told(), ("here", "there"))
    with pytest.raises(BadInput) as error:
        agree(one, other | {"new": "thing"}, ("here", "there"))
    said = str(error.value)
    assert "\n" not in said
    assert "size (here: 16x16, there: 32x32)" in said
    assert "background (here: white, there: black)" in said
    assert "new (here: not told, there: thing)" in said
    assert said.count("(here:") == 3
    with pytest.raises(BadInput, match="there: not told"):
        agree(one | {"new": "thing"}, one, ("here", "there"))


def test_a_protocol_with_other_numbers_and_an_unknown_one():
    chosen = protocol_of("cips", reals=5, fakes=7, psi=0.7)
    assert (chosen.reals, chosen.fakes, chosen.psi) == (Side(5, "jpeg", 85), Side(7, "png"), 0.7)
    assert protocol_of("cips") == PROTOCOLS["cips"]
    assert protocol_of("graf", reals=0).reals.count == 0
    with pytest.raises(BadInput, match="no protocol 'girafe'; did you mean 'giraffe'"):
        protocol_of("girafe")
