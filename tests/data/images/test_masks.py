"""Masks of objects beside images: where they are found, and that they stay with their images."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import ImageBatch, StepContext
from genscene.data.images.files import list_images
from genscene.data.images.load import load_images
from genscene.data.sources import data_source
from genscene.data.synthetic import synthesize
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import ImageConfig
from genscene.objectives.adversarial import GENERATOR
from genscene.systems import PRESETS
from genscene.training.loop import train_step
from genscene.training.run import init_state

SIZE = (8, 8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def squares(count=6, side=16):
    """Images with a bright square at different places on grey -> colors, masks."""
    colors, masks = np.full((count, side, side, 3), 60, np.uint8), np.zeros((count, side, side), np.uint8)
    for i in range(count):
        colors[i, i : i + 6, 2 * i : 2 * i + 4] = 250
        masks[i, i : i + 6, 2 * i : 2 * i + 4] = 255
    return colors, masks


@pytest.mark.parametrize(
    ("images", "folder"),
    [("", "masks/"), ("images/", "masks/"), ("set/images/", "set/masks/"), ("a/b/", "a/b/masks/")],
)
def test_masks_are_files_of_the_same_names(tmp_path, images, folder):
    colors, masks = squares()
    for i, (color, mask) in enumerate(zip(colors, masks, strict=True)):
        write(tmp_path / f"{images}{i}.png", color)
        write(tmp_path / f"{folder}{i}.png", mask)
    assert len(list_images(tmp_path).names) == 6
    found = load_images(str(tmp_path), ImageConfig(limit=3), SIZE, quiet=True, masks=True)
    assert found.masks.pixels.shape == (3, *SIZE, 1)
    bright = (found.take(slice(0, 3))[:, :1] - 60 / 255) * 255 / 190
    assert_close(found.masks.take(slice(0, 3)), bright, atol=0.04, rtol=0)
    (tmp_path / f"{folder}4.png").unlink()
    assert load_images(str(tmp_path), ImageConfig(), SIZE, quiet=True).masks is None
    with pytest.raises(BadInput, match=rf"no masks for 1 images, the first: {folder}4.png"):
        load_images(str(tmp_path), ImageConfig(), SIZE, quiet=True, masks=True)
    (tmp_path / f"{folder}4.png").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"masks/4\.png: a mask that cannot be read"):
        load_images(str(tmp_path), ImageConfig(), SIZE, quiet=True, masks=True)


def test_masks_are_transparency_else(tmp_path):
    colors, masks = squares()
    for i in range(6):
        write(tmp_path / "a" / f"{i}.png", np.concatenate([colors[i], masks[i][..., None]], axis=-1))
        write(tmp_path / "b" / f"{i}.png", colors[i])
    found = load_images(str(tmp_path / "a"), ImageConfig(), (16, 16), quiet=True, masks=True)
    assert found.pixels.shape[-1] == 3
    assert np.array_equal(found.masks.pixels[..., 0], masks)
    with pytest.raises(BadInput, match=r"no masks: wanted transparency, or masks/NAME\.png"):
        load_images(str(tmp_path / "b"), ImageConfig(), SIZE, quiet=True, masks=True)


def test_a_folder_called_masks_alone_is_one_of_images(tmp_path):
    write(tmp_path / "masks/0.png", squares()[0][0])
    assert list_images(tmp_path).names == ("masks/0.png",)


@pytest.mark.parametrize("name", ["rooms", "cars"])
def test_embedded_sets_have_masks(name):
    found = load_images(f"synthetic:{name}", ImageConfig(limit=3), (16, 16), quiet=True, masks=True)
    traced = synthesize(name, range(3), (16, 16)).traced
    wanted = traced.alpha if traced.masks is None else traced.masks.sum(dim=1, keepdim=True)
    assert_close(found.masks.take(slice(0, 3)), wanted, atol=0.003, rtol=0)
    plain = load_images(f"synthetic:{name}", ImageConfig(limit=3), (16, 16), quiet=True)
    assert np.array_equal(plain.pixels, found.pixels)


@pytest.mark.parametrize("name", ["giraffe-demo", "giraffe-cars-256", "graf-demo"])
def test_discriminators_see_masks(name):
    experiment = tiny(name)
    system = replace(experiment.system, mask_weight=0.5)
    experiment = replace(experiment, system=system, images=replace(experiment.images, flip=True))
    state = init_state(experiment, torch.device("cpu"), ProcessGroup(), "fp32")
    batches = data_source(experiment, quiet=True).batches(0, 0, 1)
    batch = next(batches)
    assert batch.images.shape == (4, 4, 16, 16)
    # cars stand on white: where the mask is 0 the image is white, mirrored or not
    assert (batch.images[:, :3].amin(dim=1)[batch.images[:, 3] == 0] == 1).all()
    fakes = state.system.sample_fakes(batch, StepContext(0), GENERATOR)
    reals, _, _ = state.system.prepare_reals(batch, StepContext(0))
    assert fakes.images.shape[1] == reals.shape[1] == 4
    for masks in (fakes.images[:, 3:], (reals[:, 3:] + 1) / 2):
        assert float(masks.detach().min()) >= 0
        assert 0 < float(masks.detach().max()) <= 0.5 + 1e-5
    (gradient,) = torch.autograd.grad(
        fakes.images[:, 3].sum(), next(state.system.generator.parameters()), allow_unused=True
    )
    assert gradient is not None
    assert all(x.isfinite() for x in train_step(state, batch, 0).values())


def test_masks_are_as_coarse_as_those_that_are_generated():
    system = replace(tiny("giraffe-demo").system, mask_weight=1.0).build()
    masks = (torch.rand(2, 1, 16, 16) > 0.5).float()
    batch = ImageBatch(torch.cat([torch.rand(2, 3, 16, 16), masks], dim=1))
    reals, _, _ = system.prepare_reals(batch, StepContext(0))
    coarse = torch.nn.functional.avg_pool2d(masks, 2)
    wanted = torch.nn.functional.interpolate(coarse, (16, 16), mode="bilinear")
    assert_close(reals[:, 3:], 2 * wanted - 1)
    with pytest.raises(BadInput, match="pi-GAN's discriminator takes colors alone"):
        replace(PRESETS["pigan-demo"].system, mask_weight=1.0).check((64, 64))
