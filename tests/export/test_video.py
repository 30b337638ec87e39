"""Videos as files: mp4 and gif."""

import errno
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from genscene.errors import BadInput
from genscene.export.video import save_video


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


def test_where_no_file_can_be_made_nothing_is_computed(tmp_path, monkeypatch):
    def touch(path):
        raise PermissionError(errno.EACCES, "no", str(path))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(PermissionError, match=r"no: '.*/a\.mp4'"):
        save_video(tmp_path / "a.mp4", iter(()))
