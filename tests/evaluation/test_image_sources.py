"""Real and generated images as bytes, prepared as a protocol specifies."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.contract import Rendering
from genscene.data.images import ImageSet, load_images
from genscene.evaluation.image_sources import (
    GeneratedImages,
    StoredImages,
    fingerprint,
    pass_through_format,
    render_samples,
)
from genscene.evaluation.protocol import Preparation
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.geometry.priors import PlanePrior
from genscene.io.generator_file import GeneratorFile, load, write
from genscene.layers.mapping import update_w_avg

SIZE = (16, 16)


def random_images(count=10, seed=0):
    return ImageSet(np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), np.uint8))


def all_of(source):
    return source.read(range(len(source)))


def bytes_of(images):
    return torch.from_numpy(images.pixels).movedim(-1, 1)


def small_generator(seed=0):
    return build_seeded(replace(tiny("pigan-carla"), seed=seed)).generator.eval()


def test_the_first_images_are_read_in_order():
    images = random_images()
    source = StoredImages(images, Preparation(4), "somewhere")
    assert len(source) == 4
    assert torch.equal(all_of(source), bytes_of(images)[:4])
    assert torch.equal(source.read(range(2, 4)), bytes_of(images)[2:4])
    assert [len(StoredImages(images, Preparation(count), "")) for count in (0, 10, 99)] == [10, 10, 10]
    assert source.provenance["images"] == 4
    assert source.provenance["available"] == 10


def test_random_flips_are_the_same_at_every_read():
    images = random_images(200)
    source = StoredImages(images, Preparation(flip="random"), "")
    assert len(source) == 200
    found, plain = all_of(source), bytes_of(images)
    assert torch.equal(found, torch.cat([source.read(range(i, i + 1)) for i in range(200)]))
    straight, mirrored = ((found == x).all(dim=(1, 2, 3)) for x in (plain, plain.flip(-1)))
    assert bool((straight ^ mirrored).all())
    assert 60 < int(mirrored.sum()) < 140


def test_jpeg_is_lossy_and_png_lossless():
    source = StoredImages(random_images(), Preparation(), "")
    memory, png, low, high = (
        all_of(replace(source, preparation=side))
        for side in (
            Preparation(),
            Preparation(format="png"),
            Preparation(0, "jpeg", 50),
            Preparation(0, "jpeg", 95),
        )
    )
    assert torch.equal(memory, png)
    lost = [(x.float() - memory.float()).square().mean() for x in (high, low)]
    assert 0 < lost[0] < lost[1]
    assert low.dtype == torch.uint8
    content = io.BytesIO()
    Image.fromarray(source.images.pixels[3]).save(content, "JPEG", quality=50)
    assert torch.equal(low[3], torch.from_numpy(np.array(Image.open(content))).movedim(-1, 0))


def test_content_hashes_pixels_not_paths(tmp_path):
    images = random_images()
    contents = []

    def content(found, count=0):
        return StoredImages(found, Preparation(count), "").provenance["content"]

    for folder, names in (("a", "{}.png"), ("b/c", "picture-{}.png")):
        (tmp_path / folder).mkdir(parents=True)
        for i, pixels in enumerate(images.pixels):
            Image.fromarray(pixels).save(tmp_path / folder / names.format(i))
        contents.append(content(load_images(str(tmp_path / folder), ImageConfig(), SIZE, quiet=True)))
    assert contents[0] == contents[1] == content(images)
    images.pixels[9, 15, 15, 2] ^= 1
    assert content(images) != contents[0]
    assert len({content(images, count) for count in (5, 9, 10)}) == 3
    assert content(ImageSet(images.pixels.reshape(10, 8, 32, 3))) != content(images)


def test_an_image_depends_on_its_index_and_the_seed_only():
    source = GeneratedImages(small_generator(), Preparation(7), SIZE)
    whole = all_of(source)
    assert whole.shape == (7, 3, *SIZE)
    assert whole.dtype == torch.uint8
    parts = torch.cat([source.read(range(3)), source.read(range(3, 4)), source.read(range(4, 7))])
    assert (parts.int() - whole.int()).abs().max() <= 1, "rounding of sums may change a byte by one"
    assert torch.equal(all_of(replace(source, preparation=Preparation(3))), source.read(range(3)))
    torch.manual_seed(5)
    assert torch.equal(all_of(source), whole)
    other = all_of(replace(source, seed=1))
    assert (other.int() - whole.int()).abs().max() > 1
    assert source.provenance["seed"] != replace(source, seed=1).provenance["seed"]


class Flat(torch.nn.Module):
    """A generator of images of one color."""

    def __init__(self, value):
        super().__init__()
        self.value, self.prior = torch.nn.Parameter(torch.tensor(value)), PlanePrior()

    def latents(self, streams):
        return torch.zeros(len(streams), 1)

    def scene(self, z, psi=1.0):
        return z

    def render(self, scene, view, options=None):
        return Rendering(self.value.expand(len(scene), 3, *SIZE))


@pytest.mark.parametrize(("value", "rounded", "truncated"), [(0.5, 128, 127), (1.7, 255, 255), (-0.2, 0, 0)])
def test_values_are_clamped_then_rounded_or_truncated(value, rounded, truncated):
    source = GeneratedImages(Flat(value), Preparation(2), SIZE)
    assert all_of(source).unique().tolist() == [rounded]
    assert all_of(replace(source, truncate=True)).unique().tolist() == [truncated]
    assert all_of(replace(source, preparation=Preparation(2, "jpeg", 95))).shape == (2, 3, *SIZE)


def test_psi_reduces_variety():
    made = small_generator()
    update_w_avg(made)
    z, view = torch.randn(16, made.latent_dim), made.prior.camera_at(torch.zeros(16), torch.zeros(16), SIZE)
    spread = [made.render(made.scene(z, psi), view).image.detach().std(dim=0).max() for psi in (1.0, 0.0)]
    assert spread[1] < 1e-5 < spread[0]
    sources = [GeneratedImages(made, Preparation(4), SIZE, psi=psi) for psi in (1.0, 0.0)]
    assert sources[0].provenance["psi"] != sources[1].provenance["psi"]
    one, other = (render_samples(made, range(4), SIZE, psi) for psi in (1.0, 0.0))  # from the same cameras
    assert (one - other).abs().max() > 1e-5


def test_a_fingerprint_identifies_the_weights(tmp_path):
    experiment = tiny("pigan-carla")
    one = small_generator()
    assert fingerprint(one) == fingerprint(small_generator())
    assert fingerprint(one) != fingerprint(small_generator(1))
    write(tmp_path / "g.safetensors", GeneratorFile(one, experiment))
    assert fingerprint(load(tmp_path / "g.safetensors")) == fingerprint(one)
    before = fingerprint(one)
    with torch.no_grad():
        weight = list(one.parameters())[-1].view(-1)[0]
        weight.copy_(torch.nextafter(weight, torch.tensor(9.0)))
    assert fingerprint(one) != before
    notes = [GeneratedImages(g, Preparation(2), SIZE).provenance for g in (one, small_generator())]
    assert notes[0]["content"] != notes[1]["content"]


def test_training_mode_is_part_of_the_provenance():
    made = small_generator()
    before = GeneratedImages(made, Preparation(2), SIZE).provenance
    assert GeneratedImages(made.train(), Preparation(2), SIZE).provenance != before


def test_formats_keep_the_shape_of_images_that_are_not_square():
    wide = torch.randint(0, 256, (2, 3, 8, 24), dtype=torch.uint8)
    assert pass_through_format(wide, Preparation(0, "jpeg")).shape == wide.shape
    assert pass_through_format(wide, Preparation(0, "png")) is wide
