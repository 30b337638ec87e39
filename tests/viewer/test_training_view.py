"""The viewer beside training: the same weights, bit for bit, whatever is looked at in the meantime."""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("viser", reason="the extra `viewer` is not installed")

from websockets.exceptions import ConnectionClosed

from conftest import tiny
from genscene.cli import main
from genscene.errors import BadInput
from genscene.experiment.schema import EMA
from genscene.training.run import Run, train
from genscene.viewer import training_view
from genscene.viewer.views import View
from viewer.plain_client import PlainClient, turned

STEPS = 24


def free_port():
    """A port that is free at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Visitor(threading.Thread):
    """Somebody who looks while it is trained: moves the camera, changes seeds and truncation, pauses."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.client, self.done, self.lines = port, None, threading.Event(), set()

    def run(self):
        view = View(torch.eye(4, dtype=torch.float64), 0.7, 1.5)
        view.pose[2, 3] = -3.0
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.client = PlainClient(self.port, view)
                break
            except OSError:
                time.sleep(0.05)
        with suppress(ConnectionClosed):  # by the end of the run
            self.play(self.client)
        self.client.close()

    def play(self, client):
        """Do things until the run has ended."""
        i = 0
        while not self.done.is_set() and not client.ended:
            i += 1
            client.look(turned(client.view, 3))
            labels = {props.get("label") for props in client.controls.values()}
            for label, value in (("seed", i), ("truncation", 0.5 + 0.4 * (i % 2)), ("share", 0.5)):
                if label in labels:
                    client.set(label, value)
            self.lines |= {props.get("_markdown") or "" for props in list(client.controls.values())}
            time.sleep(0.03)


@pytest.mark.parametrize("name", ["pigan-demo", "nerf-grid-demo", "splat-demo"])
def test_weights_are_the_same_bit_for_bit(name, tmp_path, monkeypatch):
    experiment = tiny(name, STEPS)
    if experiment.system.fits_photographs:
        experiment = replace(
            experiment, data="synthetic:objects", posed=replace(experiment.posed, side=16), ema=EMA(decay=0.0)
        )
    run = Run(tmp_path / "alone", device="cpu", grid_every=0, save_every=0)
    train(experiment, run)
    port, seen = free_port(), []
    visitor = Visitor(port)
    update = training_view.TrainingView.update

    def patiently(self, done, stats, stopped):
        update(self, done, stats, stopped)
        end = time.monotonic() + 60
        count = len(visitor.client.pictures) if visitor.client else 0
        while done in (2, 8, 14, STEPS - 1) and time.monotonic() < end:  # until another picture and a line
            newer = visitor.client and len(visitor.client.pictures) > count
            read = any(f"of {STEPS}" in line for line in visitor.lines)
            if newer and read and (done == 2 or self.viewed.version):
                break
            time.sleep(0.01)
            update(self, done, stats, stopped)
        seen.append(self.viewed.version)

    monkeypatch.setattr(training_view.TrainingView, "update", patiently)
    visitor.start()
    train(experiment, replace(run, out=tmp_path / "seen", view=True, view_port=port, view_share=0.5))
    visitor.done.set()
    visitor.join(timeout=20)
    assert len(visitor.client.pictures) > 3
    assert seen[-1] >= 1  # of the weights that were shown
    assert any(f"of {STEPS}" in line for line in visitor.lines)
    assert not [note for note in visitor.client.notes if not note.endswith("...")]
    one, other = (load_file(tmp_path / out / "generator.safetensors") for out in ("alone", "seen"))
    assert one.keys() == other.keys()
    for key, tensor in one.items():
        assert torch.equal(tensor, other[key]), key


def test_a_pause_waits_until_it_is_ended_or_the_run_is(monkeypatch, tmp_path):
    port = free_port()
    experiment, steps = tiny("pigan-demo", 40), []

    def look():
        view = View(torch.eye(4, dtype=torch.float64), 0.7, 1.5)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                client = PlainClient(port, view)
                break
            except OSError:
                time.sleep(0.05)
        client.wait(lambda: any(p.get("label") == "paused" for p in client.controls.values()))
        client.set("paused", True)
        reached.wait(60)
        time.sleep(0.5)
        first = len(steps)
        time.sleep(0.5)
        held.append(len(steps) - first)
        client.set("paused", False)
        time.sleep(0.3)
        client.close()

    held, reached, update = [], threading.Event(), training_view.TrainingView.update

    def counted(self, done, stats, stopped):
        end = time.monotonic() + 60
        while done == 1 and not self.viewed.training.paused and time.monotonic() < end:
            time.sleep(0.01)
        reached.set()
        update(self, done, stats, stopped)
        steps.append(done)

    monkeypatch.setattr(training_view.TrainingView, "update", counted)
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    train(experiment, Run(tmp_path / "run", device="cpu", grid_every=0, view=True, view_port=port))
    thread.join(timeout=20)
    assert held == [0]
    assert steps == list(range(1, 41))


def test_without_a_window_nothing_is_copied(monkeypatch, tmp_path):
    def fail(self):
        raise AssertionError("copied")

    monkeypatch.setattr(training_view.TrainingView, "refresh", fail)
    run = Run(tmp_path / "run", device="cpu", grid_every=0, view=True, view_port=free_port())
    train(tiny("pigan-demo"), run)
    assert (tmp_path / "run" / "generator.safetensors").exists()


def test_a_port_in_use_is_told_before_anything_is_written(capsys, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = ["train", "pigan-demo", "--out", str(tmp_path / "run"), "--view", "--view-port", str(port)]
        assert main(words) == 2
        assert f"--port {port} cannot be used" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()
        with pytest.raises(BadInput, match="cannot be used"):
            train(tiny("pigan-demo"), Run(tmp_path / "run", device="cpu", view=True, view_port=port))


def test_the_server_ends_with_a_run_that_fails(monkeypatch, tmp_path):
    port = free_port()

    def fail(self, done, stats, stopped):
        raise RuntimeError("no luck")

    monkeypatch.setattr(training_view.TrainingView, "update", fail)
    with pytest.raises(RuntimeError, match="no luck"):
        train(tiny("pigan-demo"), Run(tmp_path / "run", device="cpu", view=True, view_port=port))
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
