"""genscene view GENERATOR|RUN|SCENE.ply: look around in a browser."""

import time
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from genscene.apps.inversion.latents_file import read_latents
from genscene.apps.splat_scene import read_scene
from genscene.cli.shared.options import parse, print_line, require_range
from genscene.devices import Device, pick_device
from genscene.experiment.schedules import largest_size
from genscene.viewer.page.server import Server
from genscene.viewer.session import ViewedGenerator


@dataclass(frozen=True)
class View:
    """All options of the verb."""

    # a .safetensors file, the folder of a run, or Gaussians as a .ply or .splat
    generator: Positional[Path]
    port: int = 8080  # of this machine, 127.0.0.1; 0: any that is free
    # pixels of the longer side of pictures at rest; default: 512 on a CPU, 1024 on a graphics card
    side: int = 0
    # of a .ply or .splat: what is upwards, x, -x, y, -y, z, -z, or three numbers like 0,-1,0; default: what
    # the file says, else -y
    up: str = ""
    # FILE.safetensors of latents, as genscene invert writes them: places in it, from 0, are chosen instead of
    # seeds, and the first view is that of its first picture
    latents: Path | None = None
    device: Device = "auto"  # auto: cuda where there is one, else mps, else cpu


def main(words: list[str]) -> None:
    """Run the verb."""
    options = parse(View, words, "genscene view", description="Look around in scenes, in a browser.")
    require_range("--port", options.port, 0, 65_535)
    require_range("--side", options.side, 0, 4096)
    content = read_scene(options.generator, options.up)
    content.generator.to(pick_device(options.device))
    size = content.cameras.size if content.cameras is not None else largest_size(content.experiment)
    latents = None
    if options.latents is not None:
        latents = read_latents(options.latents, content.generator, options.generator)
    viewed = ViewedGenerator(content, options.generator.name, size, latents=latents)
    server = Server(viewed, options.port, options.side)
    try:
        print_line(server.describe())
        while True:
            time.sleep(3600)
    finally:
        server.close()
