"""Controls of scenes of objects: boxes moved and turned by hand, codes by seeds, adding, removing."""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from genscene.apps.scene_file import BackgroundEntry, Code, ObjectEntry, SceneFile
from genscene.viewer import downloads
from genscene.viewer.page.panels import LARGEST_SEED, Panels

BOX = (255, 200, 60)  # color of the boxes' edges
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
EDGES = [(i, j) for i in range(8) for j in range(i) if np.abs(CORNERS[i] - CORNERS[j]).sum() == 2]
STILL = ((0.0, 0.0), (0.0, 0.0), (-1000.0, 1000.0))  # rotation about the vertical axis alone
SIZES = (0.25, 4.0)  # factors of an object's scale
MOST_OBJECTS = 12


class ObjectPanels:
    """The controls of the objects of one window."""

    def __init__(self, panels: Panels):
        self.panels, self.session, self.client = panels, panels.session, panels.client
        self.folder: Any = None
        self.boxes = True
        panels.seed_changed = self.reset

    def build(self) -> None:
        """Add the controls that do not depend on the scene, then those of its objects."""
        gui = self.client.gui
        with gui.add_folder("Objects"):
            show = gui.add_checkbox(
                "boxes and handles", self.boxes, hint="drag arrows to move, the ring to turn"
            )
            self.panels.bind(show, self.show_boxes)
            self.panels.button("Add an object", self.add, "plus")
            self.panels.button("Back to the seed's scene", self.reset, "refresh")
            hint = "for genscene render --scene"
            self.panels.download("Save the scene as JSON", lambda: downloads.objects_file(self.session), hint)
        self.reset()

    def reset(self) -> None:
        """Begin with the objects of the seed."""
        with self.session.viewed.pace.turn():
            self.session.open_objects()
        self.rebuild()

    @property
    def scene(self) -> SceneFile:
        """The scene as it is."""
        scene = self.session.choices.objects
        assert scene is not None
        return scene

    def rebuild(self) -> None:
        """Make the controls of all objects anew."""
        gui, order = self.client.gui, None
        if self.folder is not None:
            order = self.folder.order  # the same place between the others
            self.folder.remove()
        self.folder = gui.add_folder("What is in the scene", order=order)
        with self.folder:
            tabs = gui.add_tab_group()
            for i in range(len(self.scene.objects)):
                with tabs.add_tab(f"{i + 1}"):
                    self.add_controls(i)
            with tabs.add_tab("background"):
                self.add_background()
        self.show_boxes(self.boxes)

    def add_controls(self, i: int) -> None:
        """Codes, size and removal of one object."""
        gui, entry = self.client.gui, self.scene.objects[i]
        for kind in ("shape", "appearance"):
            code = getattr(entry, kind)
            number = gui.add_number(f"{kind} seed", code.seed, min=0, max=LARGEST_SEED, step=1)
            self.panels.bind(number, partial(self.recode, i, kind))
        size = gui.add_slider("size", *SIZES, 0.01, 1.0)
        self.panels.bind(size, partial(self.resize, i, entry.scale))
        if len(self.scene.objects) > 1:
            self.panels.button("Remove", lambda: self.remove(i), "trash")

    def add_background(self) -> None:
        """Seed and presence of the background."""
        gui, behind = self.client.gui, self.scene.background
        seed = gui.add_number("seed", behind.shape if behind else 0, min=0, max=LARGEST_SEED, step=1)
        there = gui.add_checkbox("there", behind is not None)

        def change(_: Any) -> None:
            turn = behind.rotation if behind else 0.0
            entry = BackgroundEntry(int(seed.value), int(seed.value), turn) if there.value else None
            self.session.edit(lambda scene: replace(scene, background=entry))
            self.panels.loop.changed()

        self.panels.bind(seed, change)
        self.panels.bind(there, change)

    def change(self, i: int, **values: Any) -> None:
        """Change fields of one object, if it is still there."""

        def edit(scene: SceneFile) -> SceneFile:
            objects = list(scene.objects)
            if i < len(objects):
                objects[i] = replace(objects[i], **values)
            return replace(scene, objects=tuple(objects))

        self.session.edit(edit)

    def recode(self, i: int, kind: str, seed: int) -> None:
        """Give an object the code that it has in the scene of another seed."""
        boxes: Any = self.session.viewed.generator.boxes
        self.change(i, **{kind: Code(int(seed), min(i, int(boxes.count) - 1))})
        self.panels.loop.changed()

    def resize(self, i: int, own: tuple[float, float, float], factor: float) -> None:
        """Make an object so many times as large as it was."""
        x, y, z = (factor * side for side in own)
        self.change(i, scale=(x, y, z))
        self.show_boxes(self.boxes)

    def add(self) -> None:
        """One more object in the middle, with codes of a seed of its own."""
        objects = self.scene.objects
        if len(objects) >= MOST_OBJECTS:
            raise ValueError(f"{len(objects)} objects: wanted at most {MOST_OBJECTS}")
        last = objects[-1]
        code = Code(self.session.choices.seed + len(objects))
        entry = replace(last, shape=code, appearance=code, translation=(0.0, 0.0, last.translation[2]))
        self.session.edit(lambda scene: replace(scene, objects=(*scene.objects, entry)))
        self.rebuild()

    def remove(self, i: int) -> None:
        """Remove one object."""

        def edit(scene: SceneFile) -> SceneFile:
            rest = tuple(entry for k, entry in enumerate(scene.objects) if k != i)
            return replace(scene, objects=rest or scene.objects)

        self.session.edit(edit)
        self.rebuild()

    def show_boxes(self, wanted: bool) -> None:
        """Show boxes with handles to move and turn them, or remove these."""
        self.boxes = bool(wanted)
        entries = self.scene.objects if self.boxes else ()
        self.panels.mark("boxes", lambda: [self.add_box(i, entry) for i, entry in enumerate(entries)])

    def add_box(self, i: int, entry: ObjectEntry) -> Any:
        """The edges of one box, which move with its handles."""
        turn = math.radians(entry.rotation) / 2
        scene, size = self.client.scene, float(max(entry.scale))
        handle = scene.add_transform_controls(
            f"/objects/{i}",
            scale=1.6 * size,
            line_width=2.0,
            rotation_limits=STILL,
            depth_test=False,
            opacity=0.8,
            wxyz=(math.cos(turn), 0.0, 0.0, math.sin(turn)),
            position=entry.translation,
        )
        points = CORNERS * np.array(entry.scale, np.float32)
        edges = np.array([[points[a], points[b]] for a, b in EDGES])
        scene.add_line_segments(f"/objects/{i}/box", edges, BOX, thickness=1.5, thickness_units="screen")

        async def moved(_: Any) -> None:
            w, _, _, z = (float(x) for x in handle.wxyz)
            x, y, height = (float(x) for x in handle.position)
            self.change(i, translation=(x, y, height), rotation=math.degrees(2 * math.atan2(z, w)))
            self.panels.loop.scene_moved()

        handle.on_update(moved)
        return handle
