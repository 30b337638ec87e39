"""CIPS on pictures of mixed aspect ratios: square patches inside of what each picture fills of the frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import StepContext
from genscene.data.sources import data_source
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Stage
from genscene.geometry.cameras import Grid
from genscene.randomness import RandomStreams
from genscene.render.patches import PatchSampler, crop_and_resize, windows_inside
from genscene.training.run import Run, check, train

SHAPES = [(16, 24), (24, 16), (20, 20), (8, 40)]


def ramp(height, width):
    """An image whose red is x and whose green is y, in shares of its sides."""
    y, x = np.meshgrid(np.linspace(0, 255, height), np.linspace(0, 255, width), indexing="ij")
    return np.stack([x, y, np.full_like(x, 255)], axis=-1).round().astype(np.uint8)


@pytest.fixture
def mixed(tmp_path):
    for i, shape in enumerate(SHAPES):
        Image.fromarray(ramp(*shape)).save(tmp_path / f"{i}.png")
    experiment = tiny("cips-ffhq-256")
    system = replace(experiment.system, patches=PatchSampler(size=8))
    discriminator = replace(system.discriminator, size=8)
    small = replace(system.generator, size=(16, 24))
    system = replace(system, discriminator=discriminator, generator=small, discriminator_coords=True)
    images = replace(experiment.images, fit="inside", flip=False)
    stages = (Stage(0, (16, 24), 4),)
    return replace(experiment, data=str(tmp_path), images=images, system=system, stages=stages, steps=2)


def test_pictures_are_in_the_frame_and_told(mixed):
    batch = next(data_source(mixed, quiet=True).batches(0)).images
    assert batch.shape == (4, 4, 16, 24)
    inside = batch[:, 3] > 0.5
    filled = sorted(int(x) for x in inside.flatten(1).sum(dim=1))
    assert filled == sorted([16 * 24, 16 * 11, 16 * 16, 5 * 24])
    assert_close(batch[:, 2][inside], torch.ones(int(inside.sum())))


def test_patches_are_squares_inside_of_the_pictures(mixed):
    batch = next(data_source(mixed, quiet=True).batches(0)).images.repeat(16, 1, 1, 1)
    streams = RandomStreams(range(len(batch)))
    sampled = PatchSampler(size=8, smallest=0.4, share=0.7).sample(streams, 0)
    windows = windows_inside(sampled, batch[:, 3:], streams)
    wide, tall = windows[:, 0] * windows[:, 3] * 24, windows[:, 0] * 16
    assert_close(wide, tall)  # in pixels
    patches = crop_and_resize(batch, windows, (8, 8))
    assert_close(patches[:, 2], torch.ones_like(patches[:, 2]), atol=0.02, rtol=0)
    ends = crop_and_resize(batch, windows_inside(None, batch[:, 3:], streams), (8, 8))
    landscape = (batch[:, 3, 0] > 0.5).all(dim=1)
    assert landscape.any()
    assert ends[landscape][:, 1].amin(dim=(1, 2)).max() < 0.1  # from the top to the bottom
    assert ends[landscape][:, 1].amax(dim=(1, 2)).min() > 0.9
    assert ends[landscape][:, 0].amin(dim=(1, 2)).std() > 0.03  # of other columns


def test_fakes_are_windows_of_the_same_kind(mixed):
    system = mixed.system.build()
    batch = next(data_source(mixed, quiet=True).batches(0))
    fakes = system.sample_fakes(batch, StepContext(0), 0)
    assert fakes.images.shape == (4, 3, 8, 8)
    pixels = fakes.view.coords()
    step = (pixels[:, 0, 0, 1] - pixels[:, 0, 0, 0]) * 24, (pixels[:, 1, 1, 0] - pixels[:, 1, 0, 0]) * 16
    assert_close(*step, atol=1e-4, rtol=0)
    with torch.no_grad():
        whole = system.generator.render(system.generator.scene(fakes.z), Grid.whole(4, (16, 24))).image
    assert whole.shape == (4, 3, 16, 24)


def test_a_run_on_mixed_aspects(mixed, tmp_path):
    train(mixed, Run(out=tmp_path / "run", grid_every=0))
    assert (tmp_path / "run" / "generator.safetensors").exists()


def test_what_mixed_aspects_do_not_go_with_is_refused(mixed):
    whole = replace(mixed.system, patches=PatchSampler())
    for changed, message in (
        (replace(mixed, system=whole, stages=(Stage(0, (8, 8), 4),)), "inside: wanted CIPS's system"),
        (replace(mixed, data="synthetic:landscapes"), "the pictures of synthetic:landscapes have one shape"),
        (replace(mixed, images=replace(mixed.images, background="random")), "wanted one color"),
        (replace(tiny("pigan-celeba"), images=mixed.images, data=mixed.data), "inside: wanted CIPS's system"),
    ):
        with pytest.raises(BadInput, match=message):
            check(changed, Run(), ProcessGroup())
