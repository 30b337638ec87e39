"""Gaussians as .ply and .splat files."""

import pytest

from genscene.errors import BadInput
from genscene.export.splats import read_ply, read_splat


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"ply\nformat ascii 1.0\nend_header\n", "binary little-endian"),
        (b"nothing", "binary little-endian"),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 9\nproperty float x\nend_header\n\0",
            "cut short",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 0\nelement face 0\n"
            b"property float x\nend_header\n",
            "more than vertices",
        ),
        (
            b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nend_header\n\0\0\0\0",
            "have no y",
        ),
    ],
)
def test_files_that_hold_no_gaussians_are_refused(tmp_path, content, words):
    (tmp_path / "a.ply").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        read_ply(tmp_path / "a.ply")
    (tmp_path / "a.splat").write_bytes(b"12345")
    with pytest.raises(BadInput, match="multiple of 32"):
        read_splat(tmp_path / "a.splat")
