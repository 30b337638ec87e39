"""Files are written whole or not at all."""

import errno

import pytest

from genscene.errors import BadInput
from genscene.io.atomic import atomic


def test_atomic_leaves_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fails():
        with atomic(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with pytest.raises(BadInput, match="is a folder"), atomic(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_file_that_cannot_be_written_is_named_as_given(tmp_path, number):
    path = tmp_path / "a.png"
    with pytest.raises(OSError, match=r"a\.png") as error, atomic(path) as partial:
        raise OSError(number, "of the disk", None if number == errno.ENOSPC else str(partial))
    assert error.value.errno == number
    assert "partial" not in str(error.value)
    with pytest.raises(OSError, match="the network"), atomic(path):
        raise OSError("the network is down")
    assert not list(tmp_path.iterdir())
