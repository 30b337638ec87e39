"""A headless Chromium that is driven by its DevTools protocol."""

import base64
import io
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--use-angle=swiftshader"),
    *("--enable-unsafe-swiftshader", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars"),
)
START, ANSWER = 60, 60  # seconds that a browser, and one of its answers, may take


class Browser:
    """A page of a browser."""

    def __init__(self, socket):
        self.socket, self.number = socket, 0
        self.problems = []  # exceptions and errors of the page
        for domain in ("Runtime", "Log", "Page", "Performance"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        """Call a method of the protocol -> its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(timeout=ANSWER))
            self.collect(message)
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def collect(self, message):
        """Keep what went wrong in the page."""
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details.get("text")))
        if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            entry = message["params"]["entry"]
            self.problems.append(f"{entry['text']} {entry.get('url', '')}")

    def open(self, address):
        """Go to a page, and wait until it is there."""
        self.call("Page.navigate", url=address)
        end = time.monotonic() + START
        while time.monotonic() < end:
            time.sleep(0.1)
            with suppress(AssertionError):  # while the page is exchanged
                if self.evaluate("location.href + document.readyState").startswith(f"{address}/complete"):
                    self.screenshot()
                    return
        raise AssertionError(f"no page at {address}")

    def screenshot(self):
        """What the page looks like, uint8 [H, W, 3]."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def evaluate(self, expression):
        """The value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def pointer(self, kind, x, y, button="left", held=0, **more):
        """Press, move or release the pointer, or turn the wheel."""
        if kind == "mouseMoved" and not held:
            button = "none"
        self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=held, clickCount=1, **more
        )

    def drag(self, start, end, steps=8, button="left", pause=0.02):
        """Drag from one place to another."""
        held = {"left": 1, "right": 2}[button]
        self.pointer("mouseMoved", *start)
        self.pointer("mousePressed", *start, button, held)
        for i in range(1, steps + 1):
            share = i / steps
            self.pointer(
                "mouseMoved", *(a + share * (b - a) for a, b in zip(start, end, strict=True)), button, held
            )
            time.sleep(pause)
        self.pointer("mouseReleased", *end, button)

    def wheel(self, x, y, amount):
        """Turn the wheel; positive: away from the scene."""
        self.pointer("mouseWheel", x, y, "none", deltaX=0, deltaY=amount)

    def click(self, x, y):
        """Click at a place."""
        self.pointer("mouseMoved", x, y)
        self.pointer("mousePressed", x, y, "left", 1)
        self.pointer("mouseReleased", x, y, "left")

    def click_text(self, text):
        """Click the last element with this text."""
        found = self.evaluate(
            f"""(() => {{ const found = [...document.querySelectorAll('*')].filter(e =>
            e.children.length < 3 && e.textContent.trim() === {json.dumps(text)} && e.offsetParent !== null);
            if (!found.length) return null; const element = found[found.length - 1];
            element.scrollIntoView({{block: 'nearest'}});
            const box = element.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; }})()"""
        )
        assert found, f"nothing in the page says {text!r}"
        self.click(*found)

    def heap(self):
        """Bytes of the page's JavaScript objects after garbage collection."""
        self.call("HeapProfiler.collectGarbage")
        metrics = self.call("Performance.getMetrics")["metrics"]
        return next(each["value"] for each in metrics if each["name"] == "JSHeapUsedSize")

    def wait(self, condition, seconds=60):
        """The first screenshot of which a condition holds."""
        end = time.monotonic() + seconds
        while True:
            picture = self.screenshot()
            if condition(picture):
                return picture
            assert time.monotonic() < end, "the page did not come to look as expected"
            time.sleep(0.1)


@contextmanager
def running(width=900, height=600):
    """A browser that is ended, by its own process id, when the block ends."""
    from websockets.sync.client import connect

    folder = tempfile.mkdtemp(prefix="chromium")
    command = [CHROMIUM, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    command += [f"--window-size={width},{height}", "about:blank"]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
    try:
        port = debugging_port(Path(folder) / "DevToolsActivePort", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
            targets = json.load(answer)
        address = next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
        with connect(address, max_size=1 << 26, open_timeout=30) as socket:
            browser = Browser(socket)
            browser.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=False,
            )  # fmt: skip
            yield browser
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def debugging_port(path, process):
    """The port that a browser has chosen, once it has written it down."""
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, ValueError, IndexError):
            return int(path.read_text().splitlines()[0])
        time.sleep(0.1)
    raise AssertionError("Chromium did not start")
