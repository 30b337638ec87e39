"""Identity preservation: cosine similarity of face embeddings between two views of one latent code."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from genscene.errors import BadInput
from genscene.evaluation.generator_metrics import camera_prior, sample_scenes, settings
from genscene.evaluation.image_sources import require_finite
from genscene.evaluation.report import Score
from genscene.evaluation.session import EvaluationSession, Subject

LATENTS = 256  # latent codes, each rendered from two cameras of the prior


@torch.no_grad()
def identity(session: EvaluationSession, subject: Subject, latents: int = LATENTS) -> list[Score]:
    """Mean cosine similarity of the embeddings of two views of one latent code, and of different ones."""
    generator = session.generator(subject)
    if session.face_embedding is None:
        raise BadInput("identity needs a face embedding: --mobilefacenet FILE")
    if generator.latent_dim == 0 or latents < 2:
        got = "a generator of one scene" if generator.latent_dim == 0 else f"a count of {latents}"
        raise BadInput(f"identity of {got}: wanted at least two different latent codes")
    prior, extractor = camera_prior(generator), session.face_embedding
    features: tuple[list[Tensor], list[Tensor]] = ([], [])
    for scene, streams in sample_scenes(session, generator, latents):
        for side in features:
            camera = prior.sample(streams, session.size).to(session.device)
            image = require_finite(generator.render(scene, camera).image).clamp(0, 1)
            side.append(extractor((255 * image).round().byte()))
    first, second = (normalize(torch.cat(side).double(), dim=-1) for side in features)
    similarity = first @ second.mT
    same, pairs = similarity.diagonal().mean(), latents * (latents - 1)
    different = (similarity.sum() - similarity.trace()) / pairs
    how = settings(session, generator, latents=latents, **extractor.protocol())
    title = "identity across views"
    return [
        Score("identity", title, float(same), "high", extractor=extractor.name, settings=how),
        Score("identity_different", f"{title}, different latent codes", float(different), "low", detail=True),
    ]
