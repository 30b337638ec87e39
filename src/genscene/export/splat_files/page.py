"""Gaussians as one .html file that shows them, without a server or a network."""

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from genscene.export.splat_files import spz
from genscene.export.splats import Splats
from genscene.geometry.cameras import Camera
from genscene.io.atomic import atomic


def write_page(path: Path, splats: Splats, camera: Camera, fov: float) -> None:
    """Write a page that turns around the origin, +y upwards.

    camera: where the eye is at first, of 1; fov: degrees across the shorter side of the window.
    """
    loader = PackageLoader("genscene.export.splat_files", "")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    content = base64.b64encode(spz.compress(path, splats)).decode("ascii")
    eye = [round(x, 6) for x in camera.pose[0, :3, 3].tolist()]
    view = {"title": path.stem, "eye": eye, "fov": fov}
    page = templates.get_template("viewer.html").render(splats=content, view=view)
    with atomic(path) as partial:
        partial.write_text(page, encoding="utf-8")
