"""A window of viser without a browser: it speaks the messages of viser's page over a websocket."""

import io
import math
import threading
import time

import msgspec
import numpy as np
import torch
import viser
import zstandard
from PIL import Image
from websockets.sync.client import connect

from genscene.geometry.cameras import look_along
from genscene.geometry.rotations import quaternion
from genscene.viewer.views import View


class PlainClient:
    """A connection that reports a camera, records pictures and controls, and moves the latter."""

    def __init__(self, port, view, size=(400, 600), origin=None):
        """view: the first camera; size: (height, width) of the window in pixels."""
        self.size, self.orders, self.target = size, {}, [0.0, 0.0, 0.0]
        self.pictures = []  # seconds, rgb [H, W, 3], JPEG's length
        self.controls, self.nodes, self.notes, self.files = {}, {}, [], {}
        self.socket = connect(
            f"ws://127.0.0.1:{port}",
            subprotocols=[f"viser-v{viser.__version__}"],
            max_size=1 << 28,
            origin=origin,
            open_timeout=30,
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.changed = threading.Condition()
        self.ended = False
        self.look(view)
        self.reader.start()

    def read(self):
        """Take messages until the connection ends."""
        try:
            for raw in self.socket:
                length = int.from_bytes(raw[8:16], "little")
                document = zstandard.ZstdDecompressor().decompress(raw[16 : 16 + length])
                for message in msgspec.msgpack.decode(document)["messages"]:
                    self.take(message)
                self.follow()
        except Exception:  # closed
            pass
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def take(self, message):
        """Record a message."""
        kind = message["type"]
        with self.changed:
            if kind == "BackgroundImageMessage" and message["rgb_data"] is not None:
                picture = np.asarray(Image.open(io.BytesIO(message["rgb_data"])).convert("RGB"))
                self.pictures.append((time.monotonic(), picture, len(message["rgb_data"])))
            elif kind == "GuiUpdateMessage":
                self.controls.get(message["uuid"], {}).update(message["updates"])
            elif kind == "GuiRemoveMessage":
                self.controls.pop(message["uuid"], None)
            elif kind.startswith("Gui") and "uuid" in message and "props" in message:
                self.controls[message["uuid"]] = message["props"]
            elif kind == "NotificationShowMessage":
                self.notes.append(message["props"]["body"])
            elif kind.startswith("SetCamera") and not message.get("initial"):
                up = kind == "SetCameraUpDirectionMessage"
                self.orders |= {"up": message["position"]} if up else message
            elif kind == "FileTransferStartDownload":
                self.files[message["transfer_uuid"]] = [message["filename"], b"", message["size_bytes"]]
            elif kind == "FileTransferPart":
                self.files[message["transfer_uuid"]][1] += message["content"]
            elif kind == "RemoveSceneNodeMessage":
                self.nodes.pop(message["name"], None)
            elif "name" in message and "props" in message:
                self.nodes[message["name"]] = kind
            self.changed.notify_all()

    def follow(self):
        """Move the camera as the server has said."""
        if not self.orders:
            return
        orders, self.orders = self.orders, {}
        eye = torch.tensor(orders.get("position", self.view.eye.tolist()), dtype=torch.float64)
        target = torch.tensor(orders.get("look_at", self.target), dtype=torch.float64)
        up = torch.tensor(orders.get("up", (-self.view.pose[:3, 1]).tolist()), dtype=torch.float64)
        pose = look_along(eye[None], (target - eye)[None], up)[0]
        self.look(View(pose, orders.get("fov", self.view.fov), self.view.aspect), target.tolist())

    def look(self, view, target=None):
        """Report a camera, and what it turns about: the nearest to the origin that it faces."""
        eye, forward = view.eye, view.pose[:3, 2]
        self.view, self.target = view, target or (eye + max(0.1, float(-forward @ eye)) * forward).tolist()
        height, width = self.size
        self.send(
            type="ViewerCameraMessage",
            wxyz=quaternion(view.pose[None, :3, :3])[0].tolist(),
            position=eye.tolist(),
            fov=view.fov,
            near=0.01,
            far=1000.0,
            image_height=height,
            image_width=width,
            look_at=self.target,
            up_direction=(-view.pose[:3, 1]).tolist(),
        )

    def send(self, **message):
        """Send a message of viser's page."""
        self.socket.send(msgspec.msgpack.encode(message))

    def find(self, label):
        """The uuid of the newest control with this label."""
        return [uuid for uuid, props in self.controls.items() if props.get("label") == label][-1]

    def set(self, label, value):
        """Change a control, or press a button (True)."""
        self.send(type="GuiUpdateMessage", uuid=self.find(label), updates={"value": value})

    def download(self, label):
        """Press the button of a file -> its name and content."""
        before = len(self.files)
        self.set(label, True)
        self.wait(lambda: len(self.files) > before and self.complete())
        return list(self.files.values())[-1][:2]

    def complete(self):
        """Whether the last file has arrived."""
        _, content, length = list(self.files.values())[-1]
        return len(content) == length

    def wait(self, condition, seconds=60):
        """Wait until something holds."""
        end = time.monotonic() + seconds
        with self.changed:
            while not condition():
                assert not self.ended, "the connection has ended"
                assert self.changed.wait(end - time.monotonic()), f"not within {seconds} s"

    def picture_after(self, count, seconds=60):
        """The first picture after so many."""
        self.wait(lambda: len(self.pictures) > count, seconds)
        return self.pictures[count]

    def close(self):
        """End the connection."""
        self.socket.close()
        self.reader.join(timeout=10)


def turned(view, degrees, axis=1):
    """A view turned about an axis of the world, through the origin."""
    angle, turn = math.radians(degrees), torch.eye(4, dtype=torch.float64)
    a, b = [i for i in range(3) if i != axis]
    turn[a, a] = turn[b, b] = math.cos(angle)
    turn[a, b], turn[b, a] = math.sin(angle), -math.sin(angle)
    return View(turn @ view.pose, view.fov, view.aspect)
