"""Ablation tables of the papers, in kind, at the size of the demos: variants by name."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from genscene.experiment.schema import Experiment, Stage
from genscene.layers.nerf_field import FieldConfig as NeRFFieldConfig
from genscene.render.march import March
from genscene.systems.cgsgan.presets import PRESETS as CGSGAN
from genscene.systems.cips.presets import PRESETS as CIPS
from genscene.systems.cips.system import CIPSConfig
from genscene.systems.giraffe.presets import PRESETS as GIRAFFE
from genscene.systems.giraffe.system import GIRAFFEConfig
from genscene.systems.nerf.presets import BLENDER, NO_EMA, paper
from genscene.systems.nerf.system import NeRFConfig
from genscene.systems.pigan.presets import PRESETS as PIGAN
from genscene.systems.pigan.system import PiGANConfig

Variants = dict[str, Experiment]
CAR_OCTAVES = 6  # of the encoding beside ReLU: 64 pixels do not resolve more


def pigan() -> Variants:
    """Activation and conditioning of the field (pi-GAN, table 3)."""
    demo = PIGAN["pigan-demo"]
    system = cast(PiGANConfig, demo.system)
    sine = system.generator.field
    relu = replace(sine, activation="relu", octaves=CAR_OCTAVES, frequency=(1.0, 1.0))
    fields = {
        "sine, FiLM": sine,
        "sine, concatenation": replace(sine, conditioning="concat"),
        "ReLU, FiLM": relu,
        "ReLU, concatenation": replace(relu, conditioning="concat"),
    }
    return {
        name: replace(demo, system=replace(system, generator=replace(system.generator, field=field)))
        for name, field in fields.items()
    }


def nerf() -> Variants:
    """Encoding, directions, second pass and number of photographs (NeRF, table 2)."""
    field = NeRFFieldConfig(64, 4, (2,), octaves=6, direction_octaves=2)
    march = March(1.0, 4.5, 24, fine_samples=24, last_interval=None, bins="equal")
    generator = replace(BLENDER, field=field, march=march)
    single = replace(generator, march=replace(march, samples=48, fine_samples=0))
    bare = replace(field, octaves=0, direction_octaves=0)
    generators = {
        "whole": generator,
        "no encoding, views, second pass": replace(single, field=replace(bare, view_dependent=False)),
        "no encoding": replace(generator, field=bare),
        "no views": replace(generator, field=replace(field, view_dependent=False)),
        "no second pass": single,
        "3 octaves": replace(generator, field=replace(field, octaves=3)),
        "9 octaves": replace(generator, field=replace(field, octaves=9)),
    }
    base = paper(NeRFConfig(generator=generator), 3000, 0, 1024)  # the learning rate decays to the end
    stages = (Stage(0, (64, 64), 1024, accumulation=2),)
    optim = {"generator": replace(base.optim["generator"], lr=2e-3)}  # of narrow layers and few steps
    base = replace(base, data="synthetic:objects", stages=stages, optim=optim, ema=NO_EMA)
    found = {name: replace(base, system=NeRFConfig(generator=each)) for name, each in generators.items()}
    for count in (10, 25):
        found[f"{count} photographs"] = replace(found["whole"], posed=replace(base.posed, limit=count))
    return found


def giraffe() -> Variants:
    """The renderer of features, and the encoding of positions (GIRAFFE, ablations of sec. 4)."""
    demo = GIRAFFE["giraffe-demo"]
    system = cast(GIRAFFEConfig, demo.system)
    whole = system.generator

    def renderer(**changes: Any) -> Experiment:
        generator = replace(whole, renderer=replace(whole.renderer, **changes))
        return replace(demo, system=replace(system, generator=generator))

    fields = {name: replace(getattr(whole, name), encoding="gaussian") for name in ("object", "background")}
    return {
        "whole": demo,
        "no skips to RGB": renderer(rgb_skips=False),
        "no sigmoid": renderer(sigmoid=False),
        "skips: nearest neighbor": renderer(rgb_upsampling="nearest"),
        "features: bilinear": renderer(upsampling="bilinear"),
        "random Fourier features": replace(demo, system=replace(system, generator=replace(whole, **fields))),
    }


def cips() -> Variants:
    """Inputs, blocks and activation of the network (CIPS, table 3)."""
    demo = CIPS["cips-demo"]
    system = cast(CIPSConfig, demo.system)
    network = replace(system.generator.network, embedding=True, embedding_size=(64, 64))
    networks = {
        "whole": network,
        "no embeddings": replace(network, embedding=False),
        "no Fourier features": replace(network, fourier=False),
        "residual": replace(network, variant="residual"),
        "sine": replace(network, activation="sin"),
    }
    return {
        name: replace(demo, system=replace(system, generator=replace(system.generator, network=each)))
        for name, each in networks.items()
    }


def cgsgan() -> Variants:
    """Views of a scene in a step, and conditioning on the camera (CGS-GAN, GSGAN)."""
    demo = CGSGAN["cgsgan-demo"]
    system = cast(Any, demo.system)
    conditioned = replace(system.generator, camera_conditioning=True)
    return {
        "4 views": demo,
        "2 views": replace(demo, system=replace(system, views=2)),
        "1 view": replace(demo, system=replace(system, views=1)),
        "1 view, conditioned on the camera": replace(
            demo, system=replace(system, views=1, generator=conditioned)
        ),
    }


ABLATIONS: dict[str, Callable[[], Variants]] = {
    "pigan": pigan,
    "nerf": nerf,
    "giraffe": giraffe,
    "cips": cips,
    "cgsgan": cgsgan,
}
