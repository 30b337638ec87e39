"""--latents on the command line: scenes of a file in place of those of seeds."""

import pytest
import torch
from PIL import Image

from conftest import tiny
from genscene.apps.interpolate import styles_of_seeds, truncate_styles
from genscene.apps.inversion.latents_file import Latents, write_latents
from genscene.cli import main
from genscene.experiment.serialise import build_seeded
from genscene.geometry.cameras import named_tensors
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.layers.mapping import join_styles, update_w_avg
from genscene.randomness import RandomStreams
from genscene.viewer.session import Session, ViewedGenerator

SIZE = ["--size", "8", "--device", "cpu"]


@pytest.fixture(scope="module", params=["pigan-demo", "giraffe-demo", "cips-demo", "cgsgan-demo"])
def saved(request, tmp_path_factory):
    """A small generator, and a file of the latents of its seeds 3, 5 and 6."""
    folder, experiment = tmp_path_factory.mktemp(request.param), tiny(request.param)
    generator = build_seeded(experiment).generator.eval()
    update_w_avg(generator)
    generator_file.write(folder / "g.safetensors", GeneratorFile(generator, experiment))
    w = join_styles([styles_of_seeds(generator, [seed]) for seed in (3, 5, 6)])
    cameras, pictures = None, ()
    if generator.bounds is not None:
        cameras, pictures = generator.prior.sample(RandomStreams([0, 1]), (16, 16)), ({"scene": 0},) * 2
    write_latents(folder / "w.safetensors", Latents(w, cameras, pictures), generator)
    return folder


def run(saved, verb, *words):
    name, *more = verb.split()
    options = ["--latents", str(saved / "w.safetensors"), *words]
    return main([name, *more, str(saved / "g.safetensors"), *options])


def test_rendered_latents_are_the_pictures_of_their_seeds(saved, tmp_path, capsys):
    assert run(saved, "render", "--out", f"{tmp_path}/a.png", "--psi", "0.7", *SIZE) == 0, capsys.readouterr()
    words = ["--seeds", "3,5,6", "--psi", "0.7", "--out", f"{tmp_path}/b.png", *SIZE]
    assert main(["render", str(saved / "g.safetensors"), *words]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert run(saved, "render", "--seeds", "1", "--out", f"{tmp_path}/c.png", *SIZE) == 0
    words = ["--seeds", "5", "--out", f"{tmp_path}/d.png", *SIZE]
    assert main(["render", str(saved / "g.safetensors"), *words]) == 0
    assert (tmp_path / "c.png").read_bytes() == (tmp_path / "d.png").read_bytes()


def test_a_video_from_latent_to_latent_is_that_of_their_seeds(saved, tmp_path):
    assert run(saved, "interpolate", "--frames", "3", "--out", f"{tmp_path}/a.gif", *SIZE) == 0
    words = ["--seeds", "3,5,6", "--frames", "3", "--out", f"{tmp_path}/b.gif", *SIZE]
    assert main(["interpolate", str(saved / "g.safetensors"), *words]) == 0
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_the_cameras_of_latents_are_a_trajectory(saved, tmp_path, capsys):
    words = ["--path", "photographs", "--out", f"{tmp_path}/a.png", *SIZE]
    code = run(saved, "render", "--seeds", "0", *words)
    if "cips" in str(saved):
        assert code == 2
    else:
        assert code == 0, capsys.readouterr().err
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.size == (16, 8)  # two pictures beside one another


def test_places_that_the_file_does_not_have_are_refused(saved, tmp_path, capsys):
    assert run(saved, "render", "--seeds", "3", "--out", f"{tmp_path}/a.png", *SIZE) == 2
    assert "w.safetensors holds 3 latents, wanted 0 to 2" in capsys.readouterr().err
    assert run(saved, "interpolate", "--seeds", "1", "--out", f"{tmp_path}/a.gif", *SIZE) == 2
    assert "--seeds '1': wanted two or more different ones" in capsys.readouterr().err
    assert main(["interpolate", str(saved / "g.safetensors"), "--out", f"{tmp_path}/a.gif"]) == 2
    assert "--seeds, --latents: wanted the scenes to interpolate" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_truncated_latents_are_the_truncated_styles_of_their_seeds(saved):
    generator = generator_file.load(saved / "g.safetensors")
    w = truncate_styles(generator, styles_of_seeds(generator, [3, 5]), 0.4)
    wanted = named_tensors(styles_of_seeds(generator, [3, 5], 0.4))
    for name, tensor in named_tensors(w).items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-5, atol=1e-5)


def test_a_viewed_latent_is_the_scene_of_its_seed(saved):
    content = generator_file.read(saved / "g.safetensors")
    w = styles_of_seeds(content.generator, [3, 5, 6])
    session = Session(ViewedGenerator(content, "g", (16, 16), latents=Latents(w)))
    session.choose(seed=1, other=2)
    for name, tensor in named_tensors(session.styles()).items():
        assert torch.equal(tensor, named_tensors(w)[name][1:2]), name
    session.choose(seed=7)  # the last one
    session.scene()
    assert session.viewed.first_view() is not None


def test_exported_latents_are_those_of_their_seeds(saved, tmp_path, capsys):
    if "pigan" in str(saved):
        words = ["--resolution", "8", "--level", "1e-6", "--out"]
        assert run(saved, "export mesh", "--seed", "1", *words, f"{tmp_path}/a.ply") == 0
        assert (
            main(["export", "mesh", str(saved / "g.safetensors"), "--seed", "5", *words, f"{tmp_path}/b.ply"])
            == 0
        )
    elif "cgsgan" in str(saved):
        assert run(saved, "export splats", "--seed", "1", "--out", f"{tmp_path}/a.ply") == 0
        words = ["--seed", "5", "--out", f"{tmp_path}/b.ply"]
        assert main(["export", "splats", str(saved / "g.safetensors"), *words]) == 0
    else:
        return
    assert (tmp_path / "a.ply").read_bytes() == (tmp_path / "b.ply").read_bytes()
