"""Controls of what is shown: seed, truncation, mixing; kinds of pictures; meshes and Gaussians as files."""

from collections.abc import Callable
from dataclasses import replace
from secrets import randbelow
from typing import Any

from genscene.apps.scene_mesh import has_surface
from genscene.geometry.cameras import named_tensors
from genscene.render.canvas import CanvasGenerator
from genscene.scenes import Gaussians
from genscene.viewer import downloads
from genscene.viewer.page.panels import LARGEST_SEED, Panels

RANDOM_SEEDS = 10_000
SHOWN = ("image", "depth", "opacity", "normals")  # of scenes with cameras
SHOWN_FLAT = ("image", "gradient", "laplacian")  # of functions of the plane
SIDES = (64, 1024)  # pixels of the longer side of a picture at rest


def add_scene(panels: Panels) -> None:
    """Seed, truncation, and a second scene that is mixed in; nothing of a generator of one scene."""
    session, gui = panels.session, panels.gui
    if not panels.viewed.generator.latent_dim:
        return
    with gui.add_folder("Scene"):
        name, last = scene_numbers(panels)
        seed = gui.add_number(name, session.choices.seed, min=0, max=last, step=1)
        steps = gui.add_button_group("", ("previous", "random", "next"))
        hint = "1: as trained, 0: the average scene"
        psi = gui.add_slider("truncation", 0.0, 1.0, 0.01, session.choices.psi, hint=hint)
        if not panels.viewed.has_objects:
            add_mixing(panels)

    def choose_seed(value: int) -> None:
        session.choose(seed=int(value))
        panels.seed_changed()
        panels.loop.changed()

    def step() -> None:
        near = {"previous": max(0, seed.value - 1), "next": min(seed.value + 1, last)}
        seed.value = near.get(steps.value, randbelow(min(RANDOM_SEEDS, last + 1)))

    def choose_psi(value: float) -> None:
        session.choose(psi=float(value))
        if session.choices.objects is not None:
            session.edit(lambda scene: replace(scene, psi=float(value)))
        panels.loop.changed()

    panels.bind(seed, choose_seed)
    panels.bind(psi, choose_psi)
    steps.on_click(panels.guarded(step))


def scene_numbers(panels: Panels) -> tuple[str, int]:
    """What the numbers of scenes are, and the largest of them."""
    latents = panels.viewed.latents
    return ("seed", LARGEST_SEED) if latents is None else ("latent", len(latents) - 1)


def add_mixing(panels: Panels) -> None:
    """A second seed, its share, and from which layer on."""
    choices, gui = panels.session.choices, panels.gui
    name, last = scene_numbers(panels)
    other = gui.add_number(f"second {name}", min(choices.other, last), min=0, max=last, step=1)
    mix = gui.add_slider("mix", 0.0, 1.0, 0.01, choices.mix, hint="share of the second scene")
    panels.bind(other, lambda value: panels.choose(other=int(value)))
    panels.bind(mix, lambda value: panels.choose(mix=float(value)))
    if (layers := layer_count(panels.viewed.generator)) > 1:
        hint = "earlier layers are those of the first scene: its shape remains, its appearance changes"
        first = gui.add_slider("from layer", 0, layers - 1, 1, 0, hint=hint)
        panels.bind(first, lambda value: panels.choose(first_layer=int(value)))


def layer_count(generator: Any) -> int:
    """The number of layers that styles are of; 0: they are not by layers."""
    if generator.layer_dim is None:
        return 0
    w = generator.style(next(generator.parameters()).new_zeros(1, generator.latent_dim))
    return min(int(x.shape[generator.layer_dim]) for x in named_tensors(w).values())


def add_picture(panels: Panels) -> None:
    """What is shown, how large pictures at rest are, and a picture as a file."""
    session, gui, generator = panels.session, panels.gui, panels.viewed.generator

    def look(**changes: Any) -> None:
        session.forget()
        panels.choose(look=replace(session.choices.look, **changes))

    with gui.add_folder("Picture"):
        shown = SHOWN_FLAT if isinstance(generator, CanvasGenerator) else SHOWN
        show = gui.add_dropdown("show", shown, initial_value="image")
        panels.bind(show, lambda value: look(show=value))
        if not panels.viewed.is_plane:
            behind = gui.add_dropdown("background", ("own", "white", "black"), initial_value="own")
            panels.bind(behind, lambda name: look(background=None if name == "own" else name))
        most = max(SIDES[1], session.choices.most)
        side = gui.add_slider(
            "largest side", SIDES[0], most, 32, session.choices.most, hint="pixels, at rest"
        )
        panels.bind(side, lambda value: panels.choose(most=int(value)))
        make: Callable[[], downloads.File] = lambda: downloads.picture_file(session, panels.window.view())  # noqa: E731
        panels.download("Save the picture", make, "as PNG, of the largest side")


def add_files(panels: Panels) -> None:
    """Meshes and Gaussians as files, and who renders Gaussians."""
    session = panels.session
    with panels.viewed.pace.turn():
        gaussians = isinstance(session.scene()[1], Gaussians)
    if not gaussians and not has_surface(panels.viewed.content):
        return

    def choose_renderer(in_browser: bool) -> None:
        session.forget()
        panels.choose(in_browser=bool(in_browser))

    with panels.gui.add_folder("Files"):
        if gaussians:
            hint = "the browser renders the Gaussians itself: quick, with the colors of one direction"
            own = panels.gui.add_checkbox("rendered by the browser", session.choices.in_browser, hint=hint)
            panels.bind(own, choose_renderer)
            panels.download("Gaussians (.ply)", lambda: downloads.splats_file(session), "for other viewers")
        else:
            panels.download("Mesh (.glb)", lambda: downloads.mesh_file(session), "the surface of the scene")
