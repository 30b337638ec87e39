"""Priors that are trained with the generator: where they begin, their gradients, what they learn."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from conftest import tiny
from genscene.contract import DEFAULT_OPTIONS, Generator, ImageBatch, Rendering
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.experiment.schema import Experiment, Optim, Stage
from genscene.geometry.boxes import BoxPrior
from genscene.geometry.learned_priors import learn_priors
from genscene.geometry.priors import CameraPrior, HasPrior
from genscene.io import generator_file
from genscene.io.generator_file import GeneratorFile
from genscene.objectives.adversarial import AdversarialConfig, AdversarialSystem, DiscriminatorOutput
from genscene.objectives.gan_loss import GANLoss
from genscene.randomness import RandomStreams
from genscene.training.loop import train_step
from genscene.training.optimizers import build_optimizers
from genscene.training.run import init_state

LEARNED = ["giraffe-cars", "giraffe-clevr2345-256", "giraffe-demo", "graf-carla-64", "pigan-celeba"]


def learned(name):
    """A small experiment whose prior is learned."""
    experiment = tiny(name)
    return replace(experiment, system=replace(experiment.system, orbit="learned"))


class Float64Streams(RandomStreams):
    """The same random numbers in float64."""

    def uniform(self, *shape):
        """As `RandomStreams`."""
        return super().uniform(*shape).double()

    def normal(self, *shape):
        """As `RandomStreams`."""
        return super().normal(*shape).double()


@pytest.mark.parametrize("name", LEARNED)
def test_it_begins_as_the_given_prior(name):
    given, generator = tiny(name).system.build_generator(), learned(name).system.build_generator()
    streams = [RandomStreams(range(9)) for _ in range(2)]
    cameras, moved = (g.prior.sample(s, (8, 8)) for g, s in zip((given, generator), streams, strict=True))
    assert_close(moved.pose, cameras.pose, atol=2e-6, rtol=1e-6)
    assert_close(moved.intrinsics, cameras.intrinsics)
    z = given.latents(RandomStreams(range(9)))
    if name.startswith("giraffe"):
        first, second = (g.style(z).boxes for g in (given, generator))
        for each, other in zip(vars(first).values(), vars(second).values(), strict=True):
            assert_close(each, other, atol=2e-6, rtol=1e-6)
        assert_close(torch.tensor(generator.eval().bounds), torch.tensor(given.bounds))


@pytest.mark.parametrize("name", LEARNED)
def test_gradients_of_pictures_are_those_of_finite_differences(name):
    torch.manual_seed(1)
    generator = learned(name).system.build_generator().double()
    if hasattr(generator.config, "march"):
        generator.march = replace(generator.march, fine_samples=0)  # places of samples have no gradient
    weights = torch.rand(3, 3, 16, 16, dtype=torch.float64)

    def loss():
        z = generator.latents(RandomStreams(range(3))).double()
        view = generator.prior.sample(Float64Streams(range(3)), (16, 16))
        return (weights * generator.render(generator.scene(z), view).image).sum()

    parameters = dict(generator.orbit.named_parameters())
    found = torch.autograd.grad(loss(), parameters.values(), allow_unused=True)
    assert found[0].abs().max() > 0
    for (part, parameter), gradient in zip(parameters.items(), found, strict=True):
        for i in range(parameter.numel()):
            sides = []
            for step in (-1e-6, 1e-6):
                with torch.no_grad():
                    parameter.view(-1)[i] += step
                sides.append(loss().detach())
                with torch.no_grad():
                    parameter.view(-1)[i] -= step
            wanted = (sides[1] - sides[0]) / 2e-6
            own = torch.zeros(()) if gradient is None else gradient.view(-1)[i]
            assert_close(own.double(), wanted, atol=1e-5, rtol=1e-3, msg=f"{part} {i}: {own}, {wanted}")


def test_a_learned_prior_is_stored_and_its_learning_rate_is_chosen(tmp_path):
    experiment = learned("giraffe-cars")
    generator = experiment.system.build_generator()
    with torch.no_grad():
        generator.orbit.yaw[0] = 0.5
        generator.orbit.translation[1] = 0.3
    generator_file.write(tmp_path / "g.safetensors", GeneratorFile(generator, experiment))
    again = generator_file.load(tmp_path / "g.safetensors")
    given = experiment.system.generator
    assert again.prior.yaw[0] == pytest.approx(given.prior.yaw[0] + 0.5)
    assert again.boxes.translation_max[0] == pytest.approx(1.349859 * given.boxes.translation_max[0])
    assert isinstance(again.prior.fov, float)
    assert isinstance(again.boxes.scale_min, tuple)
    optim = {**experiment.optim}
    optim["generator"] = replace(optim["generator"], lr_multipliers={"orbit": 3.0, "orbit.yaw": 0.0})
    groups = build_optimizers(experiment.system.build(), replace(experiment, optim=optim))
    assert [g["lr_multiplier"] for g in groups["generator"].param_groups] == [1.0, 3.0, 0.0]
    file = CameraPrior("file", file="somewhere.json")
    with pytest.raises(BadInput, match="orbit learned: wanted cameras of a distribution"):
        replace(experiment.system, generator=replace(given, prior=file)).build_generator()


class Blobs(HasPrior, Generator):
    """Two blobs, red in the middle of a box and green at its side, as a fixed camera from above sees them."""

    latent_dim, bounds = 10, (1.0, 1.0, 1.0)

    def __init__(self, boxes):
        super().__init__()
        self.prior, self.given = CameraPrior("fixed", up="z"), boxes
        self.register_parameter("unused", nn.Parameter(torch.zeros(1)))

    def latents(self, randomness):
        """Uniform numbers of the box."""
        return randomness.uniform(self.latent_dim)

    def style(self, z, psi=1.0, camera=None):
        """z [B, 10] -> places of the blobs [B, 2, 2]."""
        orbit = self._modules.get("orbit")
        boxes, _ = (self.given if orbit is None else orbit.boxes(self.given)).sample(z)
        along = torch.stack([boxes.rotation.cos(), boxes.rotation.sin()], dim=-1)
        return torch.cat([boxes.translation[..., :2], boxes.translation[..., :2] + 0.4 * along], dim=1)

    def bind(self, w):
        """The places."""
        return w

    def render(self, scene, view, options=DEFAULT_OPTIONS):
        """Places [B, 2, 2] -> pictures."""
        at = torch.linspace(-1, 1, view.size[0])
        plane = torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)
        apart = (plane - scene[:, :, None, None]).square().sum(-1)
        blobs = (-8 * apart).exp()
        return Rendering(torch.cat([blobs, torch.zeros_like(blobs[:, :1])], dim=1))


@dataclass(frozen=True)
class BlobsConfig(AdversarialConfig):
    """Blobs trained on pictures."""

    boxes: BoxPrior = BoxPrior()
    loss: GANLoss = GANLoss(gamma=1.0)

    def build_generator(self):
        """New weights."""
        generator = Blobs(self.boxes)
        if self.orbit == "learned":
            learn_priors(generator, boxes=True)
        return generator

    def build(self):
        """New weights."""
        return BlobsSystem(self)

    def check(self, size):
        """Any size."""

    def shrunk(self):
        """It is small."""
        return self


class BlobsSystem(AdversarialSystem):
    """A discriminator of two layers."""

    def __init__(self, config):
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 144, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
        super().__init__(config, config.build_generator(), network)

    def discriminate(self, images, view, windows, context):
        """Images -> logits."""
        return DiscriminatorOutput(self.discriminator(images)[:, 0])


def ranges(boxes):
    """The means and half ranges of y and of the rotation."""
    low, high = boxes.translation_min[1], boxes.translation_max[1]
    start, end = boxes.rotation
    return torch.tensor([(low + high) / 2, (high - low) / 2, (start + end) / 2, (end - start) / 2])


def test_places_and_rotations_of_real_pictures_are_learned():
    boxes = BoxPrior(translation_min=(-0.3, -0.2, 0), translation_max=(0.3, 0.2, 0), rotation=(-0.1, 0.1))
    truth = replace(
        boxes, translation_min=(-0.3, -0.1, 0), translation_max=(0.3, 0.7, 0), rotation=(0.1, 0.2)
    )
    optim = {
        "generator": Optim(lr=1e-2, betas=(0.0, 0.99)),
        "discriminator": Optim(lr=2e-3, betas=(0.0, 0.99)),
    }
    config = BlobsConfig(boxes=boxes, orbit="learned")
    experiment = Experiment(
        config, "synthetic:cars", stages=(Stage(0, (12, 12), 64),), steps=300, optim=optim
    )
    state = init_state(experiment, torch.device("cpu"), ProcessGroup(), "fp32")
    real = Blobs(truth)
    for step in range(300):
        streams = RandomStreams(range(64 * step, 64 * step + 64))
        view = real.prior.sample(streams, (12, 12))
        batch = ImageBatch(real.render(real.scene(real.latents(streams)), view).image)
        train_step(state, batch, step)
    generator = state.ema.eval()
    found, wanted, first = (ranges(x) for x in (generator.orbit.boxes(boxes), truth, boxes))
    assert ((found - wanted).abs() < 0.4 * (first - wanted).abs()).all(), (found, wanted)
