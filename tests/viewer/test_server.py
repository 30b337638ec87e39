"""The server as a window of viser sees it: pictures, controls, files, and what it does not give away."""

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch

pytest.importorskip("viser", reason="the extra `viewer` is not installed")

from genscene.cli import main
from genscene.errors import BadInput
from genscene.geometry.camera_files import read_cameras
from genscene.io import generator_file
from genscene.viewer.page.server import Server, require_free
from viewer.fakes import KINDS, content_of, subject_of
from viewer.plain_client import PlainClient, turned


@contextmanager
def serving(kind, most=64, port=0):
    """A server of a small generator of a kind."""
    server = Server(subject_of(kind), port, most)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def looking(server, **options):
    """A window of a server, once it has been rendered for."""
    first = server.viewed.first_view().around(1.5)
    client = PlainClient(server.port, first, **options)
    try:
        client.picture_after(0)
        client.wait(lambda: any(p.get("label") == "Save the picture" for p in client.controls.values()))
        yield client
    finally:
        client.close()


def quiet(client, server):
    """Wait until nothing is left to render -> the number of pictures."""
    (loop,) = server.all()
    end = time.monotonic() + 60
    while loop.schedule.state != "waiting" and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.05)
    return len(client.pictures)


@pytest.mark.parametrize("kind", KINDS)
def test_a_camera_move_changes_the_picture_and_the_window_leaves_nothing(kind):
    with serving(kind) as server:
        with looking(server) as client:
            count = quiet(client, server)
            before = client.pictures[-1][1]
            axis = 2 if getattr(server.viewed.generator.prior, "up", "y") == "z" else 1
            moved = turned(client.view, 20, axis)
            if server.viewed.is_plane:
                moved.pose[:3, 3] += torch.tensor([0.3, 0.1, 0.2])
            client.look(moved)
            client.picture_after(count)
            quiet(client, server)
            after = client.pictures[-1][1]
            assert before.shape[1] / before.shape[0] == pytest.approx(1.5, rel=0.02)
            changed = np.abs(before.astype(int) - after).max() > 2
            assert changed or kind == "splats"  # of which all is behind the camera
            assert not client.notes
        end = time.monotonic() + 10
        while server.all() and time.monotonic() < end:
            time.sleep(0.02)
        assert not server.all()
    assert not [thread for thread in threading.enumerate() if thread.name == "viewer" and thread.is_alive()]


def test_controls_of_a_gan_change_the_scene():
    with serving("pigan-demo") as server, looking(server) as client:
        for label, value in {
            "seed": 4, "truncation": 0.5, "second seed": 9, "mix": 0.5, "from layer": 1, "show": "depth",
            "background": "black", "largest side": 96, "beyond the prior": True, "prior in the scene": True,
        }.items():  # fmt: skip
            count = quiet(client, server)
            client.set(label, value)
            client.picture_after(count)
        quiet(client, server)
        choices = next(iter(server.panels.values())).session.choices
        assert choices.scene[:5] == (4, 9, 0.5, 1, 0.5)
        assert (choices.look.show, choices.look.background) == ("depth", "black")
        assert (choices.most, choices.beyond) == (96, True)
        assert client.nodes["/prior"] == "LineSegmentsMessage"
        assert not client.notes


def test_a_path_of_keys_is_saved_as_render_reads_it(tmp_path):
    with serving("nerf-grid-demo") as server, looking(server) as client:
        for i in range(3):
            client.look(turned(client.view, 15 * i, 2))
            quiet(client, server)
            client.set("Add this view", True)
            client.wait(lambda i=i: f"/keys/{i}" in client.nodes)
        keys = list(next(iter(server.panels.values())).session.keys)
        name, content = client.download("Save as JSON")
    (tmp_path / name).write_bytes(content)
    cameras = read_cameras(tmp_path / name, (40, 60))
    expected = torch.stack([key.pose for key in keys]).float()
    assert torch.allclose(cameras.pose, expected, atol=1e-5)
    assert torch.allclose(cameras.intrinsics, keys[0].camera((40, 60)).intrinsics.expand(3, 3, 3), atol=1e-4)


FILES = {
    "nerf-grid-demo": {"Save the picture": b"\x89PNG", "Mesh (.glb)": b"glTF"},
    "cgsgan-demo": {"Save the picture": b"\x89PNG", "Gaussians (.ply)": b"ply"},
    "giraffe-demo": {"Save the picture": b"\x89PNG", "Save the scene as JSON": b"{"},
    "cips-demo": {"Save the picture": b"\x89PNG"},
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_every_kind_are_given(kind):
    with serving(kind) as server, looking(server) as client:
        quiet(client, server)
        for label, start in FILES[kind].items():
            name, content = client.download(label)
            assert content.startswith(start)
            assert name.startswith(kind)
        assert not [note for note in client.notes if not note.endswith("...")]


def test_objects_are_moved_turned_exchanged_added_and_removed():
    with serving("giraffe-demo") as server, looking(server) as client:
        panels = next(iter(server.panels.values()))
        session = panels.session
        client.wait(lambda: "/objects/1/box" in client.nodes)
        count = quiet(client, server)
        client.send(
            type="TransformControlsUpdateMessage", name="/objects/0", owner=str(panels.client.client_id),
            wxyz=[0.7071068, 0.0, 0.0, 0.7071068], position=[0.1, -0.2, 0.3],
        )  # fmt: skip
        client.picture_after(count)
        entry = session.choices.objects.objects[0]
        assert entry.translation == pytest.approx((0.1, -0.2, 0.3))
        assert entry.rotation == pytest.approx(90, abs=1e-3)
        client.set("shape seed", 7)
        client.wait(lambda: any(each.shape.seed == 7 for each in session.choices.objects.objects), 10)
        order = client.controls[client.find("What is in the scene")]["order"]
        client.set("Add an object", True)
        client.wait(lambda: "/objects/2/box" in client.nodes)
        assert client.controls[client.find("What is in the scene")]["order"] == order  # not at the end
        client.set("Remove", True)
        client.wait(lambda: "/objects/2/box" not in client.nodes)
        assert len(session.choices.objects.objects) == 2
        client.set("Back to the seed's scene", True)
        client.wait(lambda: not any(each.shape.seed == 7 for each in session.choices.objects.objects), 10)
        assert not client.notes


def test_the_browser_renders_gaussians_when_asked():
    with serving("cgsgan-demo") as server, looking(server) as client:
        client.set("rendered by the browser", True)
        client.wait(lambda: "/gaussians" in client.nodes)
        client.set("rendered by the browser", False)
        client.wait(lambda: "/gaussians" not in client.nodes)


def answer(port, path):
    """What the server answers to a request, without a client that tidies the path."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        parts = []
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def test_no_file_of_the_machine_can_be_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    up = "../" * 20
    with serving("cips-demo") as server:
        page = answer(server.port, "/")
        assert page.startswith(b"HTTP/1.1 200")
        assert b"text/html" in page
        assert len(page) > 500_000
        names = [str(secret), "/etc/passwd", "/proc/self/environ"]
        for name in names:
            below = name.lstrip("/")
            for path in (
                name, f"/{name}", f"/{up}{below}", f"/{up}{below}".replace("../", "..%2f"),
                f"/{up}{below}".replace("..", "%2e%2e"), f"/{up}{below}".replace("..", "%252e%252e"),
                f"/{up}{below}".replace("/", "\\"), f"/{up}{below}".replace("/", "%5c"),
                f"/....//{below}", f"/.%00/{below}", f"/index.html/{up}{below}", f"file://{name}",
                f"/%c0%ae%c0%ae/{below}", f"http://127.0.0.1{name}", f"/?file={name}",
            ):  # fmt: skip
                found = answer(server.port, path)
                assert b"the secret" not in found
                assert b"root:" not in found
                assert b"PATH=" not in found
                refused = not found or found.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5"))
                assert refused or b"<html" in found, path


def listening():
    """Addresses of this process's listening sockets, as /proc has them."""
    import os
    from pathlib import Path

    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                found.append(fields[1].split(":")[0])
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_nothing_listens_beyond_this_machine():
    before = listening()
    with serving("cips-demo") as server, looking(server) as client:
        client.send(type="ShareUrlRequest")  # the page's button, which would open a tunnel
        time.sleep(0.3)
        now = listening()
        for address in before:
            now.remove(address)
        assert now == ["0100007F"]  # 127.0.0.1, once
        assert server.viser._share_tunnel is None


def test_pages_of_other_sites_are_disconnected():
    with serving("cips-demo") as server:
        first = server.viewed.first_view()
        client = PlainClient(server.port, first, origin="http://evil.example")
        end = time.monotonic() + 20
        while not client.ended and time.monotonic() < end:
            time.sleep(0.02)
        assert client.ended
        assert not client.pictures
        assert not client.controls
        with looking(server, origin=f"http://localhost:{server.port}") as own:
            assert own.pictures


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A generator file."""
    path = tmp_path_factory.mktemp("view") / "g.safetensors"
    generator_file.write(path, content_of("pigan-demo"))
    return path


def refused(capsys, *words):
    """The one line of a command that is refused."""
    assert main(["view", *map(str, words)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert not captured.out
    return captured.err


def test_a_port_in_use_is_one_line(saved, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"--port {port} cannot be used" in refused(capsys, saved, "--port", port)
        with pytest.raises(BadInput, match=f"port {port}"):
            Server(subject_of("cips-demo"), port)
    require_free(port)


def test_what_cannot_be_looked_at_is_one_line(saved, capsys, tmp_path):
    import trimesh

    trimesh.creation.box().export(tmp_path / "mesh.ply")
    assert "a mesh" in refused(capsys, tmp_path / "mesh.ply")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "experiment.json").write_text("{}")
    assert "has not saved one yet" in refused(capsys, tmp_path / "run")
    assert "no generator at" in refused(capsys, tmp_path / "nothing")
    assert "--side" in refused(capsys, saved, "--side", "9999")
    assert "--port" in refused(capsys, saved, "--port", "99999")
    assert "--up" in refused(capsys, saved, "--up", "z")


def test_without_viser_the_extra_is_named(saved, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    assert "pip install 'genscene[viewer]'" in refused(capsys, saved)


def test_the_verb_serves_until_it_is_ended(saved):
    command = [sys.executable, "-m", "genscene", "view", str(saved), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            port = int(line.split()[0].rsplit(":", 1)[1])
            assert f"ssh -L {port}:127.0.0.1:{port} HOST" in line
            assert answer(port, "/").startswith(b"HTTP/1.1 200")
            process.terminate()  # as Ctrl-C, which a shell's background jobs ignore
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out, err) == (143, "", "genscene: terminated\n")


def test_hostile_messages_do_not_end_the_server():
    with serving("pigan-demo") as server, looking(server) as client:
        quiet(client, server)
        absurd = {"seed": "x", "truncation": [], "show": "nothing", "mix": 1e9, "largest side": -5}
        for label, value in absurd.items():
            client.set(label, value)
        client.send(type="GuiUpdateMessage", uuid="nothing", updates={"value": 1})
        nowhere = {"wxyz": [0, 0, 0, 0], "position": [0, 0, 0]}
        client.send(type="TransformControlsUpdateMessage", name="/x", owner="", **nowhere)
        client.look(client.view)
        time.sleep(0.5)
        count = len(client.pictures)
        client.set("show", "image")
        client.set("largest side", 64)
        client.set("mix", 0.0)
        client.set("seed", 2)
        client.picture_after(count)
        assert json.dumps(client.notes)
