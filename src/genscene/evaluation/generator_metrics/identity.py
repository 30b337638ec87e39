"""Identity preservation: cosine similarity of face embeddings between two views of one latent code."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput
from genscene.evaluation.generator_metrics import EvaluatedGenerator
from genscene.evaluation.image_sources import require_finite
from genscene.evaluation.report import Score

LATENTS = 256  # latent codes, each rendered from two cameras of the prior


@torch.no_grad()
def identity(evaluated: EvaluatedGenerator, latents: int = LATENTS) -> list[Score]:
    """Mean cosine similarity of the embeddings of two views of one latent code, and of different latent codes."""
    generator = evaluated.generator
    if evaluated.load_embedding is None:
        raise BadInput("identity needs a face embedding: --mobilefacenet FILE")
    if generator.latent_dim == 0 or latents < 2:
        got = "a generator of one scene" if generator.latent_dim == 0 else f"a count of {latents}"
        raise BadInput(f"identity of {got}: wanted at least two different latent codes")
    prior, extractor = evaluated.prior, evaluated.load_embedding().on(evaluated.device)
    features: tuple[list[Tensor], list[Tensor]] = ([], [])
    for streams in evaluated.streams(latents):
        scene = generator.scene(generator.latents(streams).to(evaluated.device), evaluated.psi)
        for side in features:
            camera = prior.sample(streams, evaluated.size).to(evaluated.device)
            image = require_finite(generator.render(scene, camera).image).clamp(0, 1)
            side.append(extractor((255 * image).round().byte()))
    first, second = (normalize(torch.cat(side).double(), dim=-1) for side in features)
    similarity = first @ second.mT
    same, pairs = similarity.diagonal().mean(), latents * (latents - 1)
    different = (similarity.sum() - similarity.trace()) / pairs
    title, name = "identity across views", extractor.name
    settings = evaluated.settings(latents=latents, **extractor.protocol())
    return [
        Score("identity", title, float(same), "high", extractor=name, settings=settings),
        Score(
            "identity_different", f"{title}, different latent codes", float(different), "low", extractor=name
        ),
    ]
