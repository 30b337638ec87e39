"""Regular files only, of limited size: pipes, devices and sparse files end in one line, at once."""

import os

import pytest

from genscene.errors import BadInput
from genscene.io.files import format_size, open_regular, read_bytes


def test_a_regular_file_and_a_link_to_one_are_read(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("a")
    assert read_bytes(tmp_path / "a", "file") == read_bytes(tmp_path / "link", "file", limit=3) == b"abc"
    with open_regular(tmp_path / "a", "file") as file:
        assert file.seek(1) == 1
        assert file.read() == b"bc"


def hostile(kind, folder):
    """A path that is no regular file of at most 1000 bytes."""
    path = folder / "x"
    match kind:
        case "zero" | "random":
            path.symlink_to(f"/dev/{kind}")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "sparse":
            with path.open("wb") as file:
                file.truncate(10 << 30)
        case "grown":
            path.symlink_to("/proc/self/maps")  # announces no size, and has more than the limit
        case "nul":
            return f"{path}\0"
    return path


@pytest.mark.parametrize(
    "kind", ["zero", "random", "fifo", "folder", "loop", "sparse", "grown", "nul", "missing"]
)
def test_all_else_is_refused_at_once_by_name(kind, tmp_path):
    path = hostile(kind, tmp_path)
    with pytest.raises(BadInput) as error:
        read_bytes(path, "list of cameras", limit=1000)
    assert "list of cameras" in str(error.value)
    assert str(path) in str(error.value)


def test_sizes_are_said_in_a_readable_unit():
    assert [format_size(n) for n in (0, 1000, 1536, 256 << 20, 10 << 30)] == [
        "0 bytes", "1000 bytes", "1.5 KiB", "256 MiB", "10 GiB"
    ]  # fmt: skip
