"""Variants of an experiment by the names of its fields, and what is refused of them."""

from dataclasses import replace

import pytest

from genscene.errors import BadInput
from genscene.experiment.variants import combinations, parse_factor, short_names, with_fields
from genscene.systems import KINDS, PRESETS

DEMO = PRESETS["pigan-demo"]
FIELD = "system.generator.field"


def test_all_combinations_are_named_by_what_varies():
    together = f"{FIELD}.activation=sine,relu; {FIELD}.octaves=0,6; {FIELD}.frequency=[3,8],[1,1]"
    factors = [parse_factor(together), parse_factor(f"{FIELD}.conditioning=film,concat")]
    found = combinations(DEMO, [*factors, parse_factor("steps=7")], KINDS)
    assert list(found) == [
        "activation=sine, octaves=0, frequency=[3,8], conditioning=film",
        "activation=sine, octaves=0, frequency=[3,8], conditioning=concat",
        "activation=relu, octaves=6, frequency=[1,1], conditioning=film",
        "activation=relu, octaves=6, frequency=[1,1], conditioning=concat",
    ]
    last = found["activation=relu, octaves=6, frequency=[1,1], conditioning=concat"]
    field = last.system.generator.field
    assert (field.activation, field.octaves, field.frequency, field.conditioning) == (
        "relu",
        6,
        (1.0, 1.0),
        "concat",
    )
    assert replace(last, system=DEMO.system, steps=DEMO.steps) == DEMO
    first = found["activation=sine, octaves=0, frequency=[3,8], conditioning=film"]
    assert replace(first, steps=DEMO.steps) == DEMO


def test_fields_of_players_and_stages_are_fields():
    found = with_fields(DEMO, {"optim.generator.lr": 0.5, "stages.0.batch": 64}, KINDS, "--vary")
    assert found.optim["generator"].lr == 0.5
    assert found.optim["discriminator"] == DEMO.optim["discriminator"]
    assert found.stages[0].batch == 64


def test_names_are_as_short_as_they_differ():
    assert short_names(["a.generator.lr", "a.discriminator.lr", "b.size"]) == {
        "a.generator.lr": "generator.lr",
        "a.discriminator.lr": "discriminator.lr",
        "b.size": "size",
    }


REFUSED = {
    f"{FIELD}.activtion=sine,relu": "did you mean 'activation'",
    f"{FIELD}.activation=sine,cosine": "wanted one of sine, relu",
    f"{FIELD}.width=-1,8": "system.generator.field.width: -1, wanted",
    f"{FIELD}.width=wide,8": "wanted a whole number",
    f"{FIELD}.width.x=1,2": "'x' is not there; wanted a shorter path",
    "stages.3.batch=1,2": "'3' is not there",
    "steps=1,2;seed=1,2,3": "fields of [2, 3] values, wanted as many of each, or one",
    "steps": "wanted FIELD=VALUE,VALUE",
    "steps=": "wanted FIELD=VALUE,VALUE",
    "=1,2": "wanted FIELD=VALUE,VALUE",
    "steps=1,1": "twice, wanted every value once",
    "data=\udcff,x": "wanted a text of UTF-8",
    "seed=" + ",".join(map(str, range(65))): "65 combinations, wanted at most 64",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_field_or_value_is_refused_by_name(text):
    with pytest.raises(BadInput) as error:
        combinations(DEMO, [parse_factor(text)], KINDS)
    assert REFUSED[text] in str(error.value)
    assert "--vary" in str(error.value)
