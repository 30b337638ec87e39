"""The viewer in a headless Chromium: what is seen, that it follows the pointer, and a soak of random actions.

GENSCENE_ACTIONS sets the number of random actions; GENSCENE_RUN names a generator to do them on.
"""

import gc
import os
import random
import resource
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser", reason="the extra `viewer` is not installed")

from genscene.apps.splat_scene import read_scene
from genscene.experiment.schedules import largest_size
from genscene.viewer.page.server import Server
from genscene.viewer.session import ViewedGenerator
from viewer.browser import CHROMIUM, running
from viewer.fakes import subject_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

ACTIONS = int(os.environ.get("GENSCENE_ACTIONS", "50"))
WARM = ACTIONS // 2  # actions after which memory should stay as it is
SPARE = (64 << 20) * (ACTIONS < 500)  # bytes for what few actions do for the first time in their second half
HARMLESS = ("passive event listener", "ReadPixels", "favicon")
WIDTH, HEIGHT = 900, 640
CANVAS = (30, 240, 540, 600)  # left, top, right, bottom of what is neither a panel nor a notice


@contextmanager
def looking(viewed, most=96):
    """A server, and a browser that shows its page once a picture is there."""
    server = Server(viewed, 0, most)
    try:
        with running(WIDTH, HEIGHT) as browser:
            browser.open(f"http://127.0.0.1:{server.port}")
            # the page fades in, before or after the server has made its controls
            browser.wait(lambda picture: server.all() and part(picture).std() > 2)
            yield server, browser
    finally:
        server.close()


def part(picture):
    """What a screenshot shows of the scene."""
    left, top, right, bottom = CANVAS
    return picture[top:bottom, left:right].astype(int)


def steady(server, browser, seconds=60):
    """A screenshot once everything is rendered and the page has stopped changing."""
    end, before = time.monotonic() + seconds, None
    while time.monotonic() < end:
        picture = browser.screenshot()
        still = before is not None and np.abs(part(picture) - part(before)).max() < 3
        if still and all(loop.schedule.state == "waiting" for loop in server.all()):
            return picture
        before = picture
        time.sleep(0.2)
    raise AssertionError("the page did not come to rest")


def problems(browser):
    """What went wrong in the page, but for what headless browsers always say."""
    return [text for text in browser.problems if not any(words in str(text) for words in HARMLESS)]


@pytest.mark.parametrize("kind", ["pigan-demo", "cips-demo", "cgsgan-demo"])
def test_the_picture_follows_the_pointer(kind):
    with looking(subject_of(kind)) as (server, browser):
        assert "SwiftShader" in browser.evaluate(
            """(() => { const gl = document.createElement('canvas').getContext('webgl2');
            const info = gl.getExtension('WEBGL_debug_renderer_info');
            return gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER); })()"""
        )
        assert len(server.all()) == 1
        text = browser.evaluate("document.body.innerText")
        assert kind in text
        assert "Save the picture" in text
        assert "share" not in text.lower()
        before = steady(server, browser)
        browser.drag((200, 450), (330, 480))
        browser.wait(lambda picture: np.abs(part(before) - part(picture)).mean() > 1)
        after = steady(server, browser)
        session = next(iter(server.panels.values())).session
        browser.click_text("next")
        browser.wait(lambda _: session.choices.seed == 1)
        browser.wait(lambda picture: np.abs(part(after) - part(picture)).max() > 3)
        assert not problems(browser)
    end = time.monotonic() + 10
    while server.all() and time.monotonic() < end:
        time.sleep(0.05)
    assert not server.all()


CONTROLS = """(() => [...document.querySelectorAll('button, input, [role=slider], [role=tab]')].map(e => {
    const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; })
    .filter(b => b[2] > 4 && b[3] > 4 && b[0] > %d && b[1] > 56 && b[1] + b[3] < %d))()"""


def act(browser, chance):
    """One random thing that a person may do."""
    left, top, right, bottom = CANVAS
    place = lambda: (chance.uniform(left, right), chance.uniform(top, bottom))  # noqa: E731
    kind = chance.choice(("drag", "drag", "pan", "wheel", "control", "control", "scroll", "key"))
    if kind in ("drag", "pan"):
        browser.drag(place(), place(), chance.randrange(2, 8), "left" if kind == "drag" else "right")
    elif kind == "wheel":
        browser.wheel(*place(), chance.choice((-200, -80, 80, 200)))
    elif kind == "scroll":
        browser.wheel(WIDTH - 150, HEIGHT / 2, chance.choice((-400, 400)))
    elif kind == "key":
        name = chance.choice("wasdqe")
        for event in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=event, key=name, code=f"Key{name.upper()}")
    else:
        boxes = browser.evaluate(CONTROLS % (right + 20, HEIGHT))
        if boxes:
            x, y, width, height = chance.choice(boxes)
            browser.click(x + width * chance.uniform(0.1, 0.9), y + height / 2)


def resident():
    """Bytes of this process's memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def subject_of_soak():
    """The generator that is named, or an untrained one."""
    if not (path := os.environ.get("GENSCENE_RUN")):
        return subject_of("pigan-demo")
    content = read_scene(Path(path))
    return ViewedGenerator(content, Path(path).name, largest_size(content.experiment))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="/proc is Linux's")
def test_random_actions_end_in_a_picture_and_leave_no_memory():
    chance = random.Random(0)
    with looking(subject_of_soak()) as (server, browser):
        browser.call("Browser.setDownloadBehavior", behavior="deny")
        used, heaps = [], []
        for i in range(ACTIONS):
            act(browser, chance)
            if i in (WARM, ACTIONS - 1) or (i > WARM and i % 100 == 0):
                time.sleep(1)
                used.append(resident())
                heaps.append(browser.heap())
        assert not problems(browser)
        assert len(server.all()) == 1
        server.all()[0].changed()
        steady(server, browser)
        notes = [
            f"{a / 2**20:.0f} MiB here, {b / 2**20:.1f} MiB in the page"
            for a, b in zip(used, heaps, strict=True)
        ]
        print(f"{ACTIONS} actions:", "; ".join(notes))
        assert used[-1] < 1.05 * used[0] + SPARE, notes
        assert heaps[-1] < 1.05 * heaps[0] + SPARE, notes
