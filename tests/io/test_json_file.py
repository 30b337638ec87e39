"""JSON with limits: depth, digits, size, memory; every text ends in a value or in BadInput."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genscene.errors import BadInput
from genscene.io.json_file import MAX_DEPTH, parse_json, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_what_python_writes_is_read_back(value):
    assert parse_json(json.dumps(value), "x") == value


@given(st.binary(max_size=60) | st.text(alphabet='[]{},:"\\0e-', max_size=60))
def test_any_text_gives_a_value_or_one_line_that_names_the_place(text):
    message = "scene.json "
    try:
        parse_json(text, "scene.json")
    except BadInput as error:
        message = str(error)
    assert message.startswith("scene.json ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[" * 100_000, "100000 deep, wanted at most 64"),
        ('{"a":' * 70 + "1" + "}" * 70, "70 deep"),
        ('["]", ' * 70 + "1" + "]" * 70, "70 deep"),  # brackets in strings do not hide the depth
        ("9" * 5000, "a number of 5000 digits"),
        ("[" + "[]," * 4_000_000 + "[]]", "wanted at most 256 MiB"),
        (" " * (40 << 20), "wanted at most 32 MiB"),
        ("\xff".encode("latin1"), "byte 0 is not UTF-8"),
        ('{"a": 1', "cut short"),
        ("", "cut short"),
    ],
)
def test_limits(text, wanted):
    with pytest.raises(BadInput, match=wanted):
        parse_json(text, "x.json")


def test_what_is_within_the_limits_is_read():
    deep = parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH, "x")
    assert json.dumps(deep) == "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json('["' + "[" * 1000 + '"]', "x") == ["[" * 1000]
    assert parse_json("\ufeff[1]".encode(), "x") == [1]
    assert math.isinf(parse_json("1e999", "x"))


def test_a_file_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"no list at .*a\.json"):
        read_json(tmp_path / "a.json", "list")
    (tmp_path / "a.json").write_text("[1, 2]")
    assert read_json(tmp_path / "a.json", "list") == [1, 2]
