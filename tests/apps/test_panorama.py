"""Pictures whose style changes along x."""

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.apps.panorama import render_blended, styles_along
from genscene.contract import RenderOptions
from genscene.errors import BadInput
from genscene.geometry.cameras import Grid
from genscene.randomness import RandomStreams
from genscene.systems.cips.generator import CIPSGenerator, CIPSGeneratorConfig
from genscene.systems.cips.network import CIPSNetworkConfig


def generator_of(frames, **config):
    network = CIPSNetworkConfig(features=8, embedding_size=(6, 5 * frames), frames=frames, widths=(8, 4))
    return CIPSGenerator(CIPSGeneratorConfig(16, 2, network=network, size=(6, 5), **config)).eval()


@pytest.mark.parametrize(("frames", "corners"), [(1, False), (3, False), (1, True)])
@torch.no_grad()
def test_a_blend_of_equal_styles_is_the_picture(frames, corners):
    generator = generator_of(frames, legacy_corners=corners)
    w = generator.style(generator.latents(RandomStreams([0])))
    whole = generator.render(generator.bind(w), generator.prior.sweep(1, (6, 5))).image
    for max_bytes in (1 << 28, 1):  # all pixels at once, or one by one
        options = RenderOptions(max_bytes=max_bytes)
        assert_close(render_blended(generator, w.repeat(2, 1), (6, 5), options), whole, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_styles_are_those_of_the_seeds_at_their_columns():
    generator = generator_of(2)
    w = generator.style(generator.latents(RandomStreams([0, 1])))
    blended = render_blended(generator, w, (6, 5))
    assert blended.shape == (1, 3, 6, 10)
    for index, column in ((0, 0), (1, 5)):
        alone = generator.render(generator.bind(w[index : index + 1]), Grid.whole(1, (6, 10))).image
        assert_close(blended[..., column], alone[..., column], atol=1e-5, rtol=1e-5)


def test_styles_close_around_a_cylinder_and_end_on_a_plane():
    w = torch.tensor([[0.0], [1.0], [4.0]])
    assert_close(styles_along(w, 6, closed=True)[:, 0], torch.tensor([0.0, 0.5, 1.0, 2.5, 4.0, 2.0]))
    assert_close(styles_along(w, 5, closed=False)[:, 0], torch.tensor([0.0, 0.5, 1.0, 2.5, 4.0]))
    assert_close(styles_along(w[:1], 3, closed=False)[:, 0], torch.zeros(3))
    assert_close(styles_along(w, 1, closed=False)[:, 0], torch.zeros(1))


def test_generators_without_styles_of_pixels_are_refused():
    with pytest.raises(BadInput, match="no styles of pixels to be blended"):
        render_blended(tiny("pigan-celeba").system.build_generator(), torch.zeros(1, 8), (4, 4))
