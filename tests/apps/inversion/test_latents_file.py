"""Files of latents: written and read back whole for every family, other files refused in one line."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from conftest import tiny
from genscene.apps.interpolate import styles_of_seeds
from genscene.apps.inversion.latents_file import Latents, read_latents, write_latents
from genscene.errors import BadInput
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import named_tensors
from genscene.geometry.priors import CameraPrior
from genscene.io.generator_file import GeneratorFile, load, write
from genscene.randomness import RandomStreams

FAMILIES = ("pigan-demo", "giraffe-demo", "cips-demo", "cgsgan-demo", "graf-demo")


def latents_of(generator, scenes=2):
    """Styles of two seeds, with three pictures."""
    prior, views = generator.prior, None
    if isinstance(prior, CameraPrior):
        views = prior.sample(RandomStreams(range(3)), (16, 16))
    pictures = tuple({"scene": i % scenes, "psnr": 20.5} for i in range(3))
    return Latents(styles_of_seeds(generator, range(scenes)), views, pictures)


def rewrite(path, drop=(), **header):
    """The same file with other entries in its header, and without some of its tensors."""
    with safe_open(path, framework="pt") as file:
        entries = file.metadata() | header
    tensors = {name: tensor for name, tensor in load_file(path).items() if name not in drop}
    save_file(tensors, path, metadata=entries)


@pytest.fixture
def saved(experiment, tmp_path):
    """A small pi-GAN, and a file of its latents."""
    generator, path = build_seeded(experiment).generator, tmp_path / "w.safetensors"
    write_latents(path, latents_of(generator), generator)
    return generator, path


@pytest.mark.parametrize("name", FAMILIES)
def test_latents_are_read_as_they_were_written(name, tmp_path):
    experiment = tiny(name)
    generator = build_seeded(experiment).generator
    write(tmp_path / "g.safetensors", GeneratorFile(generator, experiment))
    latents = latents_of(generator)
    write_latents(tmp_path / "w.safetensors", latents, generator)
    found = read_latents(tmp_path / "w.safetensors", load(tmp_path / "g.safetensors"))
    assert type(found.w) is type(latents.w)
    for name, tensor in named_tensors(latents.w).items():
        assert torch.equal(named_tensors(found.w)[name], tensor), name
    assert found.pictures == latents.pictures
    if latents.cameras is None:
        assert found.cameras is None
    else:
        assert torch.equal(found.cameras.pose, latents.cameras.pose)
        assert found.cameras.size == (16, 16)
    generator.bind(found.w)


def test_the_one_scene_of_a_generator_without_codes_has_cameras_alone(tmp_path):
    generator = build_seeded(tiny("nerf-blender")).generator
    cameras = generator.prior.sample(RandomStreams(range(2)), (8, 12))
    latents = Latents(styles_of_seeds(generator, [0]), cameras, ({"scene": 0}, {"scene": 0}))
    write_latents(tmp_path / "w.safetensors", latents, generator)
    found = read_latents(tmp_path / "w.safetensors", generator)
    assert len(found) == 1
    assert torch.equal(found.cameras.pose, cameras.pose)


def test_latents_of_another_generator_are_refused(saved, experiment):
    generator, path = saved
    with torch.no_grad():
        next(generator.parameters()).add_(1)
    with pytest.raises(BadInput, match=r"another generator, wanted those of g\.x"):
        read_latents(path, generator, "g.x")


def test_files_without_latents_are_refused(saved, experiment, tmp_path):
    generator, path = saved
    write(tmp_path / "g.safetensors", GeneratorFile(generator, experiment))
    with pytest.raises(BadInput, match=r"g\.safetensors holds no latents, wanted a file of genscene invert"):
        read_latents(tmp_path / "g.safetensors", generator)
    with pytest.raises(BadInput, match="no file of latents at"):
        read_latents(tmp_path / "none.safetensors", generator)
    with pytest.raises(BadInput, match="is a folder"):
        read_latents(tmp_path, generator)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadInput, match="is not a whole safetensors file"):
        read_latents(path, generator)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"latents": "2"}, "is a file of latents of format 2, this version reads format 1"),
        ({"pictures": "{"}, "no readable list under 'pictures'"),
        ({"pictures": "[1]"}, "no readable list under 'pictures'"),
        ({"pictures": json.dumps([{"scene": 9}] * 3)}, "picture 0 is of scene 9, wanted 0 to 1"),
        ({"pictures": json.dumps([{"scene": True}] * 3)}, "picture 0 is of scene True"),
        ({"pictures": "[]"}, "3 cameras of 0 pictures"),
        ({"drop": ["style.w"]}, "style.w is missing"),
        ({"drop": ["cameras.size"]}, "cameras.size is missing"),
    ],
)
def test_damaged_files_are_refused_by_name(saved, change, line):
    generator, path = saved
    rewrite(path, **change)
    with pytest.raises(BadInput, match=line) as error:
        read_latents(path, generator)
    assert str(path) in str(error.value)


def test_numbers_that_are_not_finite_and_shapes_of_other_styles_are_refused(saved):
    generator, path = saved
    good = load_file(path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    for wrong, line in (
        (torch.full_like(good["style.w"], torch.nan), "style.w holds numbers that are not finite"),
        (good["style.w"][..., :1], "w has shape"),
        (good["style.w"].long(), r"style.w holds torch.int64, wanted torch.float32"),
        (good["style.w"][:0], "there are no latents in it"),
    ):
        save_file(good | {"style.w": wrong.contiguous()}, path, metadata=header)
        with pytest.raises(BadInput, match=line):
            read_latents(path, generator)
