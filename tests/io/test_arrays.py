"""Arrays of NumPy: what is announced is checked before it is read."""

import io
import zipfile

import numpy as np
import pytest

from genscene.errors import BadInput
from genscene.io.arrays import read_array, read_arrays


def npy(shape, descr="<f4", data=b"\0" * 16):
    """A .npy that announces a shape and dtype."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)), np.arange(4, dtype=">i4")]
)
def test_arrays_are_read_as_written(array, tmp_path):
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", x=array)
    for found in (read_array(tmp_path / "a.npy", "table"), read_arrays(tmp_path / "a.npz", "tables")["x"]):
        np.testing.assert_array_equal(found, array)
        assert found.dtype.isnative
        assert found.flags.writeable


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy((1 << 40,)), "announces an array of 4 TiB"),
        (npy((-4,)), "announces"),
        (npy((8,)), "announces|cut short"),
        (npy((4,), "|O"), "holds an array of object, wanted numbers"),
        (npy((4,), "<U4"), "wanted numbers"),
        (npy((4,), [("a", "<f4")]), "wanted numbers"),
        (npy("()[0]"), "array"),
        (b"\x93NUMPY\x07\x00", r"version 7\.0"),
        (b"", "array"),
        (b"text", "array"),
    ],
)
def test_all_else_is_refused_by_name(content, words, tmp_path):
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("good.npy", npy((4,)))
        archive.writestr("x.npy", content)
    with pytest.raises(BadInput, match=words) as one:
        read_array(tmp_path / "a.npy", "table")
    with pytest.raises(BadInput) as other:
        read_arrays(tmp_path / "a.npz", "tables")
    assert "a.npy" in str(one.value)
    assert "x.npy" in str(other.value)
    assert "\n" not in str(one.value) + str(other.value)


def test_what_inflates_to_far_more_than_its_file_is_refused(tmp_path):
    content = io.BytesIO()
    np.save(content, np.zeros(32 << 20, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "abc":
            archive.writestr(f"{name}.npy", content.getvalue())
    with pytest.raises(BadInput, match=r"c\.npy announces"):
        read_arrays(tmp_path / "a.npz", "tables")
