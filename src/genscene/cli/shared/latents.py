"""The scenes that a verb is about: those of seeds, or of a file of latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genscene.apps.interpolate import styles_of_seeds, truncate_styles
from genscene.apps.inversion.latents_file import Latents, read_latents
from genscene.cli.shared.options import parse_seeds
from genscene.contract import Generator
from genscene.errors import BadInput
from genscene.geometry.cameras import Camera
from genscene.layers.mapping import join_styles, take_styles

SEEDS = range(8)  # of scenes, where none are named


@dataclass(frozen=True)
class ChosenScenes:
    """Some scenes of a generator, before their styles are computed."""

    numbers: list[int]  # seeds, or places in the file, from 0
    latents: Latents | None = None  # the file; None: the numbers are seeds

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def cameras(self) -> Camera | None:
        """The cameras of the pictures that the chosen latents of a file are of, on the CPU; None: none."""
        if self.latents is None or self.latents.cameras is None:
            return None
        chosen = [each["scene"] in self.numbers for each in self.latents.pictures]
        return self.latents.cameras.to("cpu")[torch.tensor(chosen)]

    def styles(self, generator: Generator, psi: float = 1.0) -> Any:
        """The styles w of the scenes, truncated by psi."""
        if self.latents is None:
            return styles_of_seeds(generator, self.numbers, psi)
        parts = [take_styles(self.latents.w, slice(n, n + 1)) for n in self.numbers]
        return truncate_styles(generator, join_styles(parts), psi)

    def describe(self, place: int) -> str:
        """A title of one of the scenes."""
        return f"{'seed' if self.latents is None else 'latent'} {self.numbers[place]}"


def choose_scenes(
    generator: Generator, source: Path, seeds: str, latents: Path | None, usual: Sequence[int]
) -> ChosenScenes:
    """The scenes of --seeds, or of --latents, of which --seeds are places; without them `usual`, or all.

    Of a generator of a single scene always that one. BadInput for places that the file does not have.
    """
    chosen = parse_seeds(seeds) if seeds else list(usual)
    if latents is None:
        return ChosenScenes(chosen if generator.latent_dim else [0])
    found = read_latents(latents, generator, source)
    places = chosen if seeds else list(range(len(found)))
    if max(places) >= len(found):
        raise BadInput(f"--seeds {seeds}: {latents} holds {len(found)} latents, wanted 0 to {len(found) - 1}")
    return ChosenScenes(places if generator.latent_dim else [0], found)


def choose_scene(generator: Generator, source: Path, seed: int, latents: Path | None) -> ChosenScenes:
    """The scene of --seed, or that in this place of --latents."""
    return choose_scenes(generator, source, str(seed), latents, [0])


def require_many(generator: Generator, path: Path) -> None:
    """Raise BadInput where a generator holds one scene, whatever the latent code."""
    if not generator.latent_dim:
        raise BadInput(f"{path} holds a single scene, wanted a generator of many")
