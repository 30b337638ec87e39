"""A window without a browser, and small subjects of every kind."""

from functools import cache

import torch

from conftest import tiny
from genscene.apps.splat_scene import as_generator
from genscene.experiment.schedules import largest_size
from genscene.experiment.serialise import build_seeded
from genscene.export.splats import from_gaussians
from genscene.io.generator_file import GeneratorFile
from genscene.randomness import RandomStreams
from genscene.viewer.session import Session, ViewedGenerator
from genscene.viewer.throttle import Throttle
from genscene.viewer.views import View

KINDS = ("pigan-demo", "giraffe-demo", "cips-demo", "cgsgan-demo", "nerf-grid-demo", "splats")


@cache
def content_of(kind):
    """An untrained generator of a kind, as its file holds it."""
    if kind == "splats":
        generator = build_seeded(tiny("cgsgan-demo")).generator
        scene = generator.bind(generator.style(generator.latents(RandomStreams([0]))))
        return as_generator(from_gaussians(scene), kind, (0, 1, 0))
    experiment = tiny(kind)
    generator = build_seeded(experiment).generator.eval().requires_grad_(False)
    if kind != "nerf-grid-demo":
        return GeneratorFile(generator, experiment)
    for level in generator.voxels.density:  # a plate on one side
        x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in level.shape), indexing="ij")
        level.copy_(torch.where((x.abs() < 0.7) & (y > 0) & (y < 0.7) & (z.abs() < 0.4), 50.0, -50.0))
    return GeneratorFile(generator, experiment, generator.prior.sweep(5, (16, 16)))


def subject_of(kind):
    """What windows look at."""
    content = content_of(kind)
    return ViewedGenerator(content, kind, largest_size(content.experiment))


class FakeWindow:
    """A window that records what it is shown."""

    def __init__(self, view: View):
        self.camera, self.pictures, self.clouds, self.lines, self.reports = view, [], [], [], []

    def view(self):
        return self.camera

    def place(self, view):
        self.camera = view.around(self.camera.aspect)

    def show(self, picture, quality):
        self.pictures.append((picture, quality))

    def show_cloud(self, cloud):
        self.clouds.append(cloud)

    def notify(self, line):
        self.lines.append(line)

    def report(self, line):
        self.reports.append(line)


def session_of(kind, most=64):
    """A session of a kind and its window."""
    session = Session(subject_of(kind), most)
    return session, FakeWindow(session.viewed.first_view().around(1.5))


def slow():
    """A throttle after which the first pictures are as small as they can be."""
    return Throttle(5.0, 100.0)
