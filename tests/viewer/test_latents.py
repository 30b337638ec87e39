"""Scenes of a file of latents in the viewer."""

import pytest
from torch.testing import assert_close

from genscene.apps.interpolate import styles_of_seeds
from genscene.apps.inversion.latents_file import Latents, read_latents, write_latents
from genscene.layers.mapping import map_tensors, take_styles
from genscene.viewer.session import Session, ViewedGenerator
from viewer.fakes import content_of

SEEDS = [5, 9]


def close(ours, wanted):
    """Compare a tensor of styles."""
    assert_close(ours, wanted, rtol=0, atol=1e-6)
    return ours


@pytest.mark.parametrize("kind", ["pigan-demo", "giraffe-demo", "cips-demo", "cgsgan-demo"])
def test_places_in_a_file_are_chosen_in_place_of_seeds(kind, tmp_path):
    content = content_of(kind)
    generator = content.generator
    write_latents(tmp_path / "w.safetensors", Latents(styles_of_seeds(generator, SEEDS)), generator)
    latents = read_latents(tmp_path / "w.safetensors", generator)
    viewed = ViewedGenerator(content, kind, (16, 16), latents=latents)
    session = Session(viewed, 64)
    for place, seed in enumerate([*SEEDS, SEEDS[-1]]):  # beyond the last: the last
        session.choose(seed=place, other=place)
        w, _ = session.scene()
        wanted = styles_of_seeds(generator, [seed])
        map_tensors(close, take_styles(w, slice(1)), wanted)
    assert not viewed.has_objects


def test_the_first_view_is_the_camera_that_was_found():
    content = content_of("pigan-demo")
    found = content.generator.prior.sweep(3, (16, 16))[1:2]
    w = styles_of_seeds(content.generator, [5])
    viewed = ViewedGenerator(content, "", (16, 16), latents=Latents(w, found, ({"scene": 0},)))
    assert_close(viewed.first_view().pose, found.pose[0].to(viewed.first_view().pose))
