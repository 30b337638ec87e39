"""Pivotal tuning: a copy of a generator whose weights follow pictures too (Roich et al. 2021)."""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import nn

from genscene.apps.inversion.candidates import Candidates, Problem
from genscene.apps.inversion.encoder import Progress
from genscene.apps.inversion.similarity import Target
from genscene.apps.inversion.styles import select_styles
from genscene.contract import Generator
from genscene.randomness import RandomStreams, derive_seed

RATE = 3e-4  # learning rate of the weights
OTHER_VIEWS = 1.0  # weight of the mean square difference from the frozen copy at other views
VIEWS = 41  # a use of the seed


def tune(problem: Problem, found: Candidates, target: Target, steps: int, progress: Progress) -> Generator:
    """A copy of the generator, optimised so that its renderings of the candidates are their pictures.

    Each step is of one picture, and of one other view of its scene, which is to remain as the untuned
    generator renders it: without that the sides that no picture shows fall apart.
    """
    frozen, tuned = problem.generator, deepcopy(problem.generator)
    tuned.requires_grad_(True)
    with torch.no_grad():
        w = problem.styles(found)  # of each candidate
    here = replace(problem, generator=tuned)
    optimizer = torch.optim.Adam([p for p in tuned.parameters() if p.is_floating_point()], RATE)
    with torch.enable_grad(), progress("tuning the weights", steps) as advance:
        for step in range(steps):
            row = torch.tensor([step % len(found)], device=found.scene.device)
            one = select_styles(w, row)
            rendering = tuned.render(tuned.bind(one), found.part(row).view(target.size))
            loss = here.similarity(rendering, target.of(found.picture[row])).sum()
            if frozen.bounds is not None:
                streams = RandomStreams([derive_seed(VIEWS, step)], row.device)
                view = frozen.prior.sample(streams, target.size).to(row.device)
                with torch.no_grad():
                    wanted = frozen.render(frozen.bind(one), view).image
                other = tuned.render(tuned.bind(one), view).image
                loss = loss + OTHER_VIEWS * (other - wanted).square().mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(tuned.parameters(), 10.0)
            optimizer.step()
            advance()
    return tuned.eval().requires_grad_(False)
