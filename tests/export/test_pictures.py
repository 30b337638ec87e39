"""Pictures and videos as files; files written whole or not at all."""

import errno
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from genscene.contract import Rendering
from genscene.errors import BadInput
from genscene.export.pictures import depth_picture, normal_picture, save_png, tile, to_bytes, to_picture
from genscene.export.splats import read_ply, read_splat
from genscene.export.video import save_video
from genscene.io.atomic import atomic


def test_bytes_are_rounded_and_clamped():
    image = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0]).view(1, 1, 5).expand(3, 1, 5)
    assert to_bytes(image)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_tiles_are_in_rows_and_columns():
    pictures = torch.arange(6.0).view(2, 3, 1, 1, 1).expand(2, 3, 3, 2, 4) / 6
    whole = tile(pictures)
    assert whole.shape == (3, 4, 12)
    assert_close(whole[0, ::2, ::4], torch.arange(6.0).view(2, 3) / 6)
    assert tile(pictures, gap=1).shape == (3, 5, 14)


def test_png_round_trip(tmp_path):
    image = torch.rand(3, 5, 7)
    save_png(tmp_path / "new" / "a.png", image)
    with Image.open(tmp_path / "new" / "a.png") as stored:
        assert np.array_equal(np.asarray(stored), to_bytes(image).numpy())


def test_near_depth_is_bright_and_empty_space_is_black():
    depth = torch.tensor([1.0, 2.0, 3.0, 0.0]).view(1, 1, 1, 4)
    alpha = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 1, 4)
    shades = depth_picture(depth, alpha, (1.0, 3.0))[0, 0, 0].tolist()
    assert shades[0] == 1.0
    assert shades[0] > shades[1] > shades[2] > shades[3] == 0.0


def test_normals_of_a_flat_wall_face_the_eye():
    flat = normal_picture(torch.full((1, 1, 6, 6), 2.0), torch.ones(1, 1, 6, 6))
    assert_close(flat[0, :, 3, 3], torch.tensor([0.5, 0.5, 1.0]))


def test_quantities_that_a_renderer_does_not_compute_are_refused():
    with pytest.raises(BadInput, match="no depth"):
        to_picture(Rendering(torch.zeros(1, 3, 2, 2)), "depth", (0, 1))


def frames(count=7, size=(30, 45)):
    for i in range(count):
        yield np.full((*size, 3), 30 * i, np.uint8)


def test_an_mp4_has_all_its_frames_and_even_sides(tmp_path):
    save_video(tmp_path / "a.mp4", frames(), fps=12.5)
    with av.open(str(tmp_path / "a.mp4")) as video:
        stream = video.streams.video[0]
        shades = [frame.to_ndarray(format="rgb24")[5, 5, 0] for frame in video.decode(stream)]
        assert (stream.height, stream.width) == (30, 46)
        assert float(stream.average_rate) == 12.5
    assert len(shades) == 7
    assert np.abs(np.array(shades, int) - 30 * np.arange(7)).max() <= 4


def test_a_gif_has_all_its_frames_and_loops(tmp_path):
    save_video(tmp_path / "a.gif", frames(), fps=10)
    with Image.open(tmp_path / "a.gif") as video:
        assert video.n_frames == 7
        assert video.info["loop"] == 0
        assert video.info["duration"] == 100


def test_a_video_that_fails_halfway_leaves_no_file(tmp_path):
    def broken():
        yield np.zeros((8, 8, 3), np.uint8)
        raise RuntimeError("no more")

    for name in ("a.mp4", "a.gif"):
        with pytest.raises(RuntimeError, match="no more"):
            save_video(tmp_path / name, broken())
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput, match=r"\.mp4 or \.gif"):
        save_video(tmp_path / "a.avi", frames())


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


def test_where_no_file_can_be_made_nothing_is_computed(tmp_path, monkeypatch):
    def touch(path):
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(PermissionError, match=r"no: '.*/a\.mp4'"):
        save_video(tmp_path / "a.mp4", iter(()))


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
