"""Both sides as bytes: pictures that are stored, and pictures that are generated."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.contract import Rendering
from genscene.data import load_images
from genscene.data.pictures import ImageSet
from genscene.evaluation.protocol import Side
from genscene.evaluation.sides import Generated, Stored, filed, fingerprint
from genscene.experiment.schema import ImageConfig
from genscene.experiment.serialise import build_seeded
from genscene.io.generator_file import load, save_generator

SIZE = (16, 16)


def pictures(count=10, seed=0):
    return ImageSet(np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), np.uint8))


def all_of(lot):
    return lot.take(range(len(lot)))


def bytes_of(some):
    return torch.from_numpy(some.pixels).movedim(-1, 1)


def generator(seed=0):
    return build_seeded(replace(tiny("pigan-carla"), seed=seed)).generator.eval()


def test_the_first_so_many_in_order():
    there = pictures()
    lot = Stored(there, Side(4), "somewhere")
    assert len(lot) == 4
    assert torch.equal(all_of(lot), bytes_of(there)[:4])
    assert torch.equal(lot.take(range(2, 4)), bytes_of(there)[2:4])
    assert [len(Stored(there, Side(count), "")) for count in (0, 10, 99)] == [10, 10, 10]
    assert lot.notes["pictures"] == 4
    assert lot.notes["of"] == 10


def test_both_are_all_and_then_all_in_a_mirror():
    there = pictures()
    lot = Stored(there, Side(4, flip="both"), "")
    assert len(lot) == lot.notes["pictures"] == 8
    first = bytes_of(there)[:4]
    assert torch.equal(all_of(lot), torch.cat([first, first.flip(-1)]))
    assert torch.equal(lot.take(range(3, 6)), all_of(lot)[3:6])


def test_a_random_mirror_is_the_same_whenever_it_is_looked_into():
    there = pictures(200)
    lot = Stored(there, Side(flip="random"), "")
    assert len(lot) == 200
    seen, plain = all_of(lot), bytes_of(there)
    assert torch.equal(seen, torch.cat([lot.take(range(i, i + 1)) for i in range(200)]))
    straight, mirrored = ((seen == x).all(dim=(1, 2, 3)) for x in (plain, plain.flip(-1)))
    assert bool((straight ^ mirrored).all())
    assert 60 < int(mirrored.sum()) < 140


def test_a_jpeg_loses_something_the_better_the_less_and_a_png_nothing():
    lot = Stored(pictures(), Side(), "")
    memory, png, low, high = (
        all_of(replace(lot, side=side))
        for side in (Side(), Side(format="png"), Side(0, "jpeg", 50), Side(0, "jpeg", 95))
    )
    assert torch.equal(memory, png)
    lost = [(x.float() - memory.float()).square().mean() for x in (high, low)]
    assert 0 < lost[0] < lost[1]
    assert low.dtype == torch.uint8
    content = io.BytesIO()
    Image.fromarray(lot.pictures.pixels[3]).save(content, "JPEG", quality=50)
    assert torch.equal(low[3], torch.from_numpy(np.array(Image.open(content))).movedim(-1, 0))


def test_content_is_of_the_bytes_and_not_of_the_place(tmp_path):
    there = pictures()
    contents = []
    for folder, names in (("a", "{}.png"), ("b/c", "picture-{}.png")):
        (tmp_path / folder).mkdir(parents=True)
        for i, pixels in enumerate(there.pixels):
            Image.fromarray(pixels).save(tmp_path / folder / names.format(i))
        found = load_images(str(tmp_path / folder), ImageConfig(), SIZE, quiet=True)
        contents.append(Stored(found, Side(), folder).notes["content"])
    assert contents[0] == contents[1] == Stored(there, Side(), "memory").notes["content"]
    there.pixels[9, 15, 15, 2] ^= 1
    assert Stored(there, Side(), "").notes["content"] != contents[0]
    assert len({Stored(there, Side(count), "").notes["content"] for count in (5, 9, 10)}) == 3
    wide = ImageSet(there.pixels.reshape(10, 8, 32, 3))
    assert Stored(wide, Side(), "").notes["content"] != Stored(there, Side(), "").notes["content"]


def test_a_picture_depends_on_its_number_and_the_seed_alone():
    lot = Generated(generator(), Side(7), SIZE)
    whole = all_of(lot)
    assert whole.shape == (7, 3, *SIZE)
    assert whole.dtype == torch.uint8
    parts = torch.cat([lot.take(range(3)), lot.take(range(3, 4)), lot.take(range(4, 7))])
    assert (parts.int() - whole.int()).abs().max() <= 1, (
        "rounding of sums may move a byte by one, and no more"
    )
    assert torch.equal(all_of(replace(lot, side=Side(3))), lot.take(range(3)))
    torch.manual_seed(5)
    assert torch.equal(all_of(lot), whole)
    other = all_of(replace(lot, seed=1))
    assert (other.int() - whole.int()).abs().max() > 1
    assert lot.notes["seed"] != replace(lot, seed=1).notes["seed"]


class Flat(torch.nn.Module):
    """A stand-in for a generator whose pictures are of one colour."""

    def __init__(self, value):
        super().__init__()
        self.value, self.orbit = torch.nn.Parameter(torch.tensor(value)), None

    def latents(self, draws):
        return torch.zeros(len(draws), 1)

    def scene(self, z, psi=1.0):
        return z

    def render(self, scene, view, budget):
        return Rendering(self.value.expand(len(scene), 3, *SIZE))


@pytest.mark.parametrize(("value", "rounded", "truncated"), [(0.5, 128, 127), (1.7, 255, 255), (-0.2, 0, 0)])
def test_bytes_are_rounded_or_truncated_after_what_is_out_of_range_is_cut(value, rounded, truncated):
    lot = Generated(Flat(value), Side(2), SIZE)
    assert all_of(lot).unique().tolist() == [rounded]
    assert all_of(replace(lot, truncated=True)).unique().tolist() == [truncated]
    assert all_of(replace(lot, side=Side(2, "jpeg", 95))).shape == (2, 3, *SIZE)


def test_truncation_takes_variety_away():
    made = generator()
    made.settle()
    z, view = torch.randn(16, made.latent_dim), made.orbit.camera_at(torch.zeros(16), torch.zeros(16), SIZE)
    spread = [made.render(made.scene(z, psi), view).image.detach().std(dim=0).max() for psi in (1.0, 0.0)]
    assert spread[1] < 1e-5 < spread[0]
    lots = [Generated(made, Side(4), SIZE, psi=psi) for psi in (1.0, 0.0)]
    assert lots[0].notes["psi"] != lots[1].notes["psi"]
    moved = (lots[0].painted(range(4)) - lots[1].painted(range(4))).abs().max()  # from the same cameras
    assert moved > 1e-5


def test_a_fingerprint_is_of_the_weights(tmp_path):
    experiment = tiny("pigan-carla")
    one = generator()
    assert fingerprint(one) == fingerprint(generator())
    assert fingerprint(one) != fingerprint(generator(1))
    save_generator(tmp_path / "g.safetensors", one, experiment)
    assert fingerprint(load(tmp_path / "g.safetensors")) == fingerprint(one)
    before = fingerprint(one)
    with torch.no_grad():
        weight = list(one.parameters())[-1].view(-1)[0]
        weight.copy_(torch.nextafter(weight, torch.tensor(9.0)))
    assert fingerprint(one) != before
    notes = [Generated(g, Side(2), SIZE).notes for g in (one, generator())]
    assert notes[0]["content"] != notes[1]["content"]


def test_a_generator_in_training_is_another_one():
    made = generator()
    before = Generated(made, Side(2), SIZE).notes
    assert Generated(made.train(), Side(2), SIZE).notes != before


def test_filing_keeps_the_shape_of_pictures_that_are_not_square():
    wide = torch.randint(0, 256, (2, 3, 8, 24), dtype=torch.uint8)
    assert filed(wide, Side(0, "jpeg")).shape == wide.shape
    assert filed(wide, Side(0, "png")) is wide
