"""Protocols: presets name known metrics, and fields change with what affects scores, and only then."""

from dataclasses import fields, replace

import pytest
import torch

from genscene.errors import BadInput
from genscene.evaluation.protocol import (
    PROTOCOLS,
    Preparation,
    Protocol,
    require_same_protocol,
    select_protocol,
)
from genscene.evaluation.registry import METRICS, extractor_names
from genscene.experiment.schema import ImageConfig
from genscene.metrics.networks.extractor import Extractor

NETWORK = Extractor("means", "none", "colours", 3, "not resized", lambda images: images.double().mean((2, 3)))
PROTOCOL = Protocol("a test", ("frechet",), Preparation(10), Preparation(20))
IMAGES = ImageConfig()


def protocol_fields(protocol=PROTOCOL, extractor=NETWORK, size=(16, 16), images=IMAGES):
    return protocol.fields(extractor, size, images)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_presets_name_known_metrics(name):
    protocol = PROTOCOLS[name]
    assert protocol.metrics
    assert set(protocol.metrics) <= set(METRICS)
    assert len(set(protocol.metrics)) == len(protocol.metrics)
    assert extractor_names(protocol.metrics, "random")
    assert protocol.generated.count >= 2
    assert protocol.source


CHANGES = {
    "rounding": ({"protocol": replace(PROTOCOL, rounding="truncated")}, {"rounding"}),
    "format": ({"protocol": replace(PROTOCOL, real=Preparation(10, "png"))}, {"real_format"}),
    "generated_format": (
        {"protocol": replace(PROTOCOL, generated=Preparation(20, "jpeg"))},
        {"generated_format"},
    ),
    "flip": ({"protocol": replace(PROTOCOL, real=Preparation(10, flip="random"))}, {"real_flip"}),
    "generated_flip": (
        {"protocol": replace(PROTOCOL, generated=Preparation(20, flip="random"))},
        {"generated_flip"},
    ),
    "size": ({"size": (16, 17)}, {"size"}),
    "turned": ({"size": (17, 16)}, {"size"}),
    "background": ({"images": replace(IMAGES, background="black")}, {"background"}),
    "masks": ({"images": replace(IMAGES, masks=True)}, {"background"}),
    "fit": ({"images": replace(IMAGES, fit="contain")}, {"fit"}),
    "cut": ({"images": replace(IMAGES, center_crop=0.5)}, {"fit"}),
    "extractor": ({"extractor": replace(NETWORK, name="others")}, {"extractor"}),
    "weights": ({"extractor": replace(NETWORK, weights="some")}, {"weights"}),
    "layer": ({"extractor": replace(NETWORK, layer="another")}, {"layer"}),
    "resize": ({"extractor": replace(NETWORK, resize="to 299")}, {"resize"}),
}


@pytest.mark.parametrize(("changed", "expected"), CHANGES.values(), ids=CHANGES)
def test_fields_change_with_what_affects_scores(changed, expected):
    one, other = protocol_fields(), protocol_fields(**changed)
    assert set(one) == set(other)
    assert {name for name in one if one[name] != other[name]} == expected


def test_quality_is_a_field_of_jpeg_only():
    low, high = (
        protocol_fields(replace(PROTOCOL, generated=Preparation(20, "jpeg", quality))) for quality in (75, 85)
    )
    assert low["generated_format"] != high["generated_format"]
    assert protocol_fields(replace(PROTOCOL, generated=Preparation(20, quality=3))) == protocol_fields()


def test_fields_do_not_change_with_counts_and_truncation():
    """Counts, truncation, limits and lists are in the provenance; the head computes no features."""
    same = replace(
        PROTOCOL,
        source="somebody",
        metrics=("kernel",),
        psi=0.5,
        size=16,
        real=Preparation(3),
        generated=Preparation(4),
    )
    same = replace(same, published=(9, 9))
    assert protocol_fields(same) == protocol_fields()
    assert protocol_fields(images=replace(IMAGES, limit=5, flip=True, index="a")) == protocol_fields()
    assert (
        protocol_fields(extractor=replace(NETWORK, head=torch.ones(2, 3), remark="a remark"))
        == protocol_fields()
    )


def test_every_field_of_the_configurations_is_covered_here():
    """A new one must be added to the protocol fields, or to one of the lists above."""
    assert {f.name for f in fields(Preparation)} == {"count", "format", "quality", "flip"}
    assert {f.name for f in fields(ImageConfig)} == {
        "fit",
        "center_crop",
        "background",
        "flip",
        "limit",
        "masks",
        "index",
    }
    own = {"source", "metrics", "real", "generated", "rounding", "size", "psi", "published"}
    assert {f.name for f in fields(Protocol)} == own


def test_a_difference_is_named_with_both_values():
    one, other = protocol_fields(), protocol_fields(size=(32, 32), images=replace(IMAGES, background="black"))
    require_same_protocol(one, protocol_fields(), ("here", "there"))
    with pytest.raises(BadInput) as error:
        require_same_protocol(one, other | {"new": "thing"}, ("here", "there"))
    said = str(error.value)
    assert "\n" not in said
    assert "size (here: 16x16, there: 32x32)" in said
    assert "background (here: white, there: black)" in said
    assert "new (here: missing, there: thing)" in said
    assert said.count("(here:") == 3
    with pytest.raises(BadInput, match="there: missing"):
        require_same_protocol(one | {"new": "thing"}, one, ("here", "there"))


def test_select_protocol_with_other_counts_and_an_unknown_name():
    chosen = select_protocol("cips", real=5, generated=7, psi=0.7)
    assert (chosen.real, chosen.generated, chosen.psi) == (
        Preparation(5, "jpeg", 85),
        Preparation(7, "png"),
        0.7,
    )
    assert replace(select_protocol("cips"), published=None) == PROTOCOLS["cips"]
    assert select_protocol("graf", real=0).real.count == 0
    with pytest.raises(BadInput, match="no protocol 'girafe'; did you mean 'giraffe'"):
        select_protocol("girafe")
