"""Files that a window is given: pictures, camera paths, meshes, Gaussians, scenes of objects."""

import io
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from PIL import Image

from genscene.apps.scene_mesh import extract_scene_mesh, has_surface
from genscene.apps.splat_scene import placement_of
from genscene.errors import BadInput
from genscene.export.mesh import save_mesh
from genscene.export.splat_files.formats import write_gaussians
from genscene.geometry.camera_files import write_cameras
from genscene.geometry.cameras import Camera
from genscene.geometry.priors import CameraPrior
from genscene.geometry.trajectories import interpolate_cameras
from genscene.scenes import Gaussians
from genscene.viewer.pictures import Picture
from genscene.viewer.session import Session
from genscene.viewer.views import View

SECONDS = 2.0  # of a path from one key to the next
PLAYED = 15  # pictures a second of a path that is played
File = tuple[str, bytes]  # name and content


def picture_file(session: Session, view: View) -> File:
    """The picture of a view in the size that is chosen, as PNG."""
    shown = session.shown(view)
    size = session.size(shown, float(session.choices.most))
    picture: Picture = session.picture(shown, size, lambda: False)
    stream = io.BytesIO()
    Image.fromarray(picture.rgb).save(stream, format="PNG")
    return f"{stem(session)}.png", stream.getvalue()


def stem(session: Session) -> str:
    """The name of a file about the scene, without its ending."""
    name = Path(session.viewed.name).stem or "scene"
    kind = "seed" if session.viewed.latents is None else "latent"
    return f"{name}_{kind}{session.choices.seed}" if session.viewed.generator.latent_dim else name


def keys_camera(keys: Sequence[View]) -> Camera:
    """Keys of a path as cameras of the library, all of the first one's aspect."""
    aspect = keys[0].aspect
    size = (1000, round(1000 * aspect))
    parts = [replace(key, aspect=aspect).camera(size) for key in keys]
    pose, intrinsics = (torch.cat([getattr(part, name) for part in parts]) for name in ("pose", "intrinsics"))
    return Camera(pose, intrinsics, size)


def path_file(session: Session) -> File:
    """The keys as JSON that `genscene render --path` reads, in the coordinates of the photographs' files."""
    if not session.keys:
        raise BadInput("the path has no keys yet: wanted at least one")
    cameras = keys_camera(session.keys)
    seconds = SECONDS * (len(cameras) - 1)
    to_files = session.viewed.content.to_files
    content = written("path.json", lambda path: write_cameras(path, cameras, seconds, to_files))
    return f"{Path(session.viewed.name).stem or 'scene'}_path.json", content


def path_views(session: Session) -> Iterator[View]:
    """The views along the path, as many as are played."""
    keys = session.keys
    if len(keys) < 2:
        raise BadInput(f"the path has {len(keys)} keys: wanted at least two to play it")
    frames = round(SECONDS * PLAYED * (len(keys) - 1)) + 1
    cameras = interpolate_cameras(keys_camera(keys), frames)
    for i in range(frames):
        yield View.of_camera(cameras[i : i + 1])


def mesh_file(session: Session, resolution: int = 96) -> File:
    """The surface of the scene as .glb."""
    if not has_surface(session.viewed.content):
        raise BadInput("the scenes of this generator have no density to extract a mesh from")

    @contextmanager
    def progress(corners: int) -> Iterator[Callable[..., None]]:
        with session.viewed.pace.rendering() as between:

            def advance(count: int = 1) -> None:
                between(lambda: False)

            yield advance

    with session.viewed.pace.turn():
        w, _ = session.scene()
    found = extract_scene_mesh(session.viewed.content, w, resolution, progress)
    return f"{stem(session)}.glb", written("mesh.glb", lambda path: save_mesh(path, found.surface))


def splats_file(session: Session) -> File:
    """The Gaussians of the scene as .ply."""
    with session.viewed.pace.turn():
        _, scene = session.scene()
    if not isinstance(scene, Gaussians):
        raise BadInput("the scenes of this generator are no Gaussians")
    content = session.viewed.content
    prior = content.generator.prior
    assert isinstance(prior, CameraPrior)
    placement = placement_of(content, prior)
    return f"{stem(session)}.ply", written("scene.ply", lambda path: write_gaussians(path, scene, placement))


def objects_file(session: Session) -> File:
    """The scene of objects as JSON that `genscene render --scene` reads."""
    scene = session.choices.objects
    if scene is None:
        raise BadInput("this scene is not made of objects")
    return f"{stem(session)}.json", (json.dumps(asdict(scene), indent=2) + "\n").encode()


def written(name: str, write: Callable[[Path], object]) -> bytes:
    """The bytes that a function writes to a file of this name."""
    with tempfile.TemporaryDirectory(prefix="genscene") as folder:
        path = Path(folder) / name
        write(path)
        return path.read_bytes()
