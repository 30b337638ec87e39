"""GIRAFFE's experiments: all released configurations, the ablations, and one that learns on a laptop."""

import math
from dataclasses import replace

from genscene.experiment.schema import EMA, Experiment, ImageConfig, Optim, Stage
from genscene.geometry.boxes import BoxPrior, Interval
from genscene.geometry.cameras import Size
from genscene.geometry.priors import CameraPrior
from genscene.layers.feature_field import FeatureFieldConfig
from genscene.layers.neural_renderer import NeuralRendererConfig
from genscene.objectives.dcgan import DCGANConfig
from genscene.objectives.gan_loss import GANLoss
from genscene.render.march import March
from genscene.systems.giraffe.generator import BACKGROUND, GIRAFFEGeneratorConfig
from genscene.systems.giraffe.system import GIRAFFEConfig

FACE_TURNS = (0.40278, 0.59722)  # 35 degrees to both sides
CLEVR_PLANE = 0.1665  # height of the objects' centers
# CLEVR's coordinates are multiples of this many world units
CLEVR_UNIT = 0.2378777237835723
CLEVR_CHANCES = (0.19456788, 0.24355003, 0.25269546, 0.30918661)  # of 2, 3, 4 and 5 objects


def cameras(elevation: Interval, fov: float) -> CameraPrior:
    """Cameras in front of the scene, uniform in area between two shares of the half sphere's area."""
    low, high = elevation
    pitch = (math.pi * (low + high) / 2, math.pi * (high - low) / 2)
    return CameraPrior("sphere", (0.0, 0.0), pitch, 2.732, fov, up="z")


FLIPPED = ImageConfig(flip=True)
LEVEL = (0.41667, 0.5)  # from 9.6 degrees above the horizon down to it


def placed(
    scale: tuple[float, float, float] | float,
    largest: tuple[float, float, float] | float | None = None,
    reach: tuple[float, float, float] = (0.0, 0.0, 0.0),
    turns: Interval = (0.0, 1.0),
) -> BoxPrior:
    """One box with scales up to the largest, and translations up to a reach to both sides."""
    low, high = (
        (x, x, x) if isinstance(x, int | float) else x for x in (scale, scale if largest is None else largest)
    )
    return BoxPrior(1, low, high, True, (-reach[0], -reach[1], -reach[2]), reach, turns)


def released(
    boxes: BoxPrior,
    prior: CameraPrior,
    side: int = 64,
    images: ImageConfig = FLIPPED,
    background_rotation: Interval = (0.0, 0.0),
) -> Experiment:
    """The released training at 64 or 256 pixels, with a feature image of 16 pixels."""
    wide, levels = 128 if side == 64 else 256, int(math.log2(side)) - 4
    generator = GIRAFFEGeneratorConfig(
        boxes=boxes,
        prior=prior,
        background_rotation=background_rotation,
        renderer=NeuralRendererConfig(wide, wide, 32, levels),
    )
    count = int(math.log2(side)) - 2
    channels = tuple(512 >> (count - 1 - i) for i in range(count))
    system = GIRAFFEConfig(generator=generator, discriminator=DCGANConfig(channels))
    return trained(system, (side, side), images, 5e-4 if side == 64 else 2.5e-4)


def trained(system: GIRAFFEConfig, size: Size, images: ImageConfig, lr: float) -> Experiment:
    """RMSprop, batches of 32, and moving averages from the first step; the original has no end."""
    optim = {
        "generator": Optim(lr, betas=(0.0, 0.99), kind="rmsprop"),
        "discriminator": Optim(1e-4, betas=(0.0, 0.99), kind="rmsprop"),
    }
    return Experiment(system, "", images, (Stage(0, size, 32),), 500_000, optim, EMA(0.999, warmup=0.0))


def clevr(count: int, codes: tuple[int, int], chances: tuple[float, ...] = ()) -> Experiment:
    """CLEVR's objects on a plane; the places of the released training come from a file of its data set.

    `--system.generator.boxes.positions` names that file; without it they are uniform and do not collide.
    """
    boxes = BoxPrior(
        count,
        (0.17, 0.17, 0.17),
        (0.17, 0.17, 0.17),
        translation_min=(-0.713, -0.713, 0.0),
        translation_max=(0.713, 0.713, 0.0),
        rotation=(0.0, 0.0),
        plane=CLEVR_PLANE,
        apart=0.06,
        positions_unit=CLEVR_UNIT,
        number_chances=chances,
    )
    experiment = released(boxes, cameras((0.33333, 0.33333), 49.13), 256)
    system = experiment.system
    assert isinstance(system, GIRAFFEConfig)
    if codes == (256, 128):
        return experiment
    generator = replace(
        system.generator,
        object=FeatureFieldConfig(codes[0], 64),
        background=replace(BACKGROUND, codes=codes[1], width=32),
        renderer=NeuralRendererConfig(128, 128, 32, 4),
    )
    return trained(replace(system, generator=generator), (256, 256), ImageConfig(flip=True), 5e-4)


def cars(side: int) -> Experiment:
    """Cars from all sides."""
    boxes = placed((0.2, 0.16, 0.16), (0.25, 0.2, 0.2), (0.22, 0.12, 0.0))
    return released(boxes, cameras(LEVEL, 10.0), side)


def churches(side: int) -> Experiment:
    """Churches from all sides before a background that turns, too."""
    boxes = placed(0.45, 0.55, (0.15, 0.15, 0.0))
    images = ImageConfig("stretch", flip=True)
    return released(boxes, cameras((0.5, 0.5), 30.0), side, images, (0.0, 0.25))


def faces(side: int, crop: float, turns: Interval = FACE_TURNS) -> Experiment:
    """Faces from the front; crop: share of the shorter side of the pictures."""
    images = ImageConfig(center_crop=crop, flip=True)
    return released(placed(0.21, turns=turns), cameras(LEVEL, 10.0), side, images)


def ablation(field: bool = False, **changes: object) -> Experiment:
    """CelebA at 64 pixels with another renderer, or other fields."""
    experiment = faces(64, 108 / 178)
    system = experiment.system
    assert isinstance(system, GIRAFFEConfig)
    generator = system.generator
    if field:
        ours = (
            replace(part, **changes)  # type: ignore[arg-type]
            for part in (generator.object, generator.background)
        )
        generator = replace(generator, object=next(ours), background=next(ours))
    else:
        generator = replace(generator, renderer=replace(generator.renderer, **changes))  # type: ignore[arg-type]
    return replace(experiment, system=replace(system, generator=generator))


def demo() -> Experiment:
    """Rooms with two objects, in minutes on two CPU cores."""
    boxes = BoxPrior(
        2,
        (0.37, 0.37, 0.37),
        (0.37, 0.37, 0.37),
        translation_min=(-0.75, -0.75, 0.0),
        translation_max=(0.75, 0.75, 0.0),
        plane=0.26,
        apart=0.0,
    )
    generator = GIRAFFEGeneratorConfig(
        object=FeatureFieldConfig(16, 48, 3, (), extent=1.0, view_dependent=False, activation="sine"),
        background=FeatureFieldConfig(0, 32, 2, (), 1, 1, extent=2.0, view_dependent=False),
        boxes=boxes,
        march=March(0.5, 6.0, 24, "softplus", gain=65.0, shift=-3.5),
        prior=CameraPrior("fixed", (math.pi / 2, 0.0), (math.radians(52), 0.0), 3.2, 44.0, up="z"),
        renderer=NeuralRendererConfig(32, 16, 16, 1),
        box_samples=6,
    )
    system = GIRAFFEConfig(
        generator=generator,
        discriminator=DCGANConfig((32, 64, 128, 128), bias=True, mbstd_group=4),
        loss=GANLoss(gamma=1.0, penalty_every=2),
        share_fakes=True,
        density_noise=0.0,
        appearance_weight=3.0,
    )
    adam = Optim(1e-3, betas=(0.0, 0.99), final_lr_ratio=0.1, decay_from=0.6)
    return Experiment(
        system,
        "synthetic:rooms",
        ImageConfig(limit=5000),
        (Stage(0, (64, 64), 16),),
        6_000,
        {"generator": adam, "discriminator": adam},
        EMA(0.998),
    )


PRESETS: dict[str, Experiment] = {
    "giraffe-demo": demo(),
    "giraffe-cats": released(placed(0.21, turns=FACE_TURNS), cameras(LEVEL, 10.0)),
    "giraffe-celeba": faces(64, 108 / 178),
    "giraffe-cars": cars(64),
    "giraffe-chairs": released(placed(0.5), cameras((0.05, 0.5), 49.13)),
    "giraffe-churches": churches(64),
    "giraffe-celebahq-256": faces(256, 650 / 1024, (0.375, 0.625)),
    "giraffe-ffhq-256": faces(256, 1.0),
    "giraffe-cars-256": cars(256),
    "giraffe-churches-256": churches(256),
    "giraffe-clevr2-256": clevr(2, (256, 128)),
    "giraffe-clevr2345-256": clevr(5, (64, 32), CLEVR_CHANCES),
    "giraffe-celeba-no-skips": ablation(rgb_skips=False),
    "giraffe-celeba-no-sigmoid": ablation(sigmoid=False),
    "giraffe-celeba-nearest": ablation(rgb_upsampling="nearest"),
    "giraffe-celeba-bilinear": ablation(upsampling="bilinear"),
    "giraffe-celeba-gaussian": ablation(field=True, encoding="gaussian"),
}
