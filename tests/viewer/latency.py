"""How long a camera move takes to be answered: from its message to the picture, over viser's websocket.

PYTHONPATH=src:tests python tests/viewer/latency.py pigan-demo runs/cars ...: presets, untrained, or runs.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from genscene.apps.splat_scene import read_scene
from genscene.experiment.schedules import largest_size
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import GeneratorFile
from genscene.systems import PRESETS
from genscene.viewer.page.server import Server
from genscene.viewer.session import ViewedGenerator
from viewer.plain_client import PlainClient, turned

MOVES, EVENTS, RATE = 30, 90, 30  # single moves; messages of a drag, and those in a second
WINDOW = (600, 900)  # height, width


def subject_of(name):
    """An untrained preset, or a run."""
    if name in PRESETS:
        generator = build_seeded(PRESETS[name]).generator.eval().requires_grad_(False)
        content = GeneratorFile(generator, PRESETS[name])
    else:
        content = read_scene(Path(name))
    size = content.cameras.size if content.cameras is not None else largest_size(content.experiment)
    return ViewedGenerator(content, Path(name).name, size)


def moved(client, viewed, degrees):
    """The next view of a window: turned, or moved over a canvas."""
    if not viewed.is_plane:
        return turned(client.view, degrees, 2 if getattr(viewed.generator.prior, "up", "y") == "z" else 1)
    view = turned(client.view, 0)
    view.pose[0, 3] += 0.02 * np.sign(degrees)
    return view


def measure(name):
    """One line about a generator."""
    viewed = subject_of(name)
    server = Server(viewed, 0)
    client = PlainClient(server.port, viewed.first_view().around(WINDOW[1] / WINDOW[0]), WINDOW)
    try:
        client.picture_after(0)
        time.sleep(3)
        seconds = []
        for i in range(MOVES):
            time.sleep(0.5)
            count, began = len(client.pictures), time.monotonic()
            client.look(moved(client, viewed, 3 if i % 8 < 4 else -3))
            seconds.append(client.picture_after(count)[0] - began)
        (panels,) = server.panels.values()
        count, sizes = len(client.pictures), set()
        for i in range(EVENTS):
            client.look(moved(client, viewed, 1 if i % 60 < 30 else -1))
            time.sleep(1 / RATE)
            sizes.add(panels.window.status.content.split(" pixels")[0])
        rate = (len(client.pictures) - count) * RATE / EVENTS
        low = min(sizes, key=lambda text: int(text.split(" x ")[0]) if " x " in text else 10**9)
        middle, most = 1000 * np.median(seconds), 1000 * np.quantile(seconds, 0.95)
        times = f"{middle:.0f} ms, 95 % below {most:.0f} ms"
        return f"{name}: {times}; dragged {rate:.1f} pictures/s, from {low} pixels"
    finally:
        client.close()
        server.close()


if __name__ == "__main__":
    print(f"{torch.get_num_threads()} threads of torch")
    for each in sys.argv[1:]:
        print(measure(each), flush=True)
