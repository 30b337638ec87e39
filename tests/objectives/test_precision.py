"""Which discriminators predict in bfloat16, and when."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import ImageBatch, PosedImageBatch, StepContext
from genscene.objectives import adversarial
from genscene.objectives.gan_loss import GANLoss
from genscene.randomness import RandomStreams
from genscene.training.loop import requires_grad_only

NAMES = ["pigan-celeba", "graf-carla-64", "giraffe-celeba", "cips-ffhq-256", "cgsgan-demo"]


def system_and_batch(name):
    """A small system with R1 in every second step, and random images, with cameras where it takes such."""
    experiment = tiny(name)
    config = replace(experiment.system, loss=GANLoss(gamma=1.0, penalty_every=2))
    size = experiment.stages[0].size
    images = torch.rand(4, 3, *size)
    system = config.build()
    if name.startswith("cgsgan"):
        cameras = system.generator.prior.sample(RandomStreams(range(4)), size)
        return system, PosedImageBatch(images, cameras=cameras)
    return system, ImageBatch(images)


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_where_no_penalty_is_due(name, monkeypatch):
    monkeypatch.setattr(adversarial, "SMALL", 0)
    system, batch = system_and_batch(name)
    convolutions, logits = [], []
    discriminate = system.discriminate

    def observed(*given):
        output = discriminate(*given)
        logits.append(output.logits)
        return output

    system.discriminate = observed
    for module in system.discriminator.modules():
        if getattr(module, "weight", torch.zeros(())).dim() == 4:
            module.register_forward_hook(lambda _, given, out: convolutions.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        for step, expected in ((0, {torch.float32}), (1, {torch.bfloat16, torch.float32})):
            convolutions.clear()
            system.discriminator_loss(batch, StepContext(step))
            assert set(convolutions) == expected  # the last one is always in float32
        convolutions.clear()
        with requires_grad_only(system, "generator"):
            system.generator_loss(batch, StepContext(0))
        assert torch.bfloat16 in convolutions
    assert all(each.dtype == torch.float32 for each in logits)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_float32_but_for_rounding(name, monkeypatch):
    monkeypatch.setattr(adversarial, "SMALL", 0)
    system, batch = system_and_batch(name)
    with torch.no_grad():
        given = (*system.prepare_reals(batch, StepContext(1)), StepContext(1), adversarial.AUGMENT_REALS)
        exact = system.predict(*given).logits
        with torch.autocast("cpu", torch.bfloat16):
            rounded = system.predict(*given).logits
    assert not torch.equal(rounded, exact)
    assert_close(rounded, exact, atol=0.03, rtol=0.03)


def test_small_networks_stay_in_float32():
    system, batch = system_and_batch("pigan-celeba")
    given = (2 * batch.images - 1, None, None, StepContext(1), adversarial.AUGMENT_REALS)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = system.predict(*given).logits
    assert torch.equal(rounded, system.predict(*given).logits)
