"""A colored mesh of one scene of a generator, in the coordinates of the photographs' files."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
import trimesh

from genscene.devices import require_memory
from genscene.errors import BadInput
from genscene.export import mesh
from genscene.io.generator_file import GeneratorFile
from genscene.render.march import activate_density
from genscene.render.volume import VolumeGenerator
from genscene.scenes import Field

CORNER = 64  # bytes of a corner of the lattice
Progress = Callable[[int], AbstractContextManager[Callable[..., None]]]


@dataclass(frozen=True)
class SceneMesh:
    """A surface of constant density."""

    surface: trimesh.Trimesh
    level: float  # of density
    shift: float  # of the surface from half to twice the level, in sides of the scene's box


def has_surface(content: GeneratorFile) -> bool:
    """Whether the scenes of a generator have a density in a box, so that there is a surface of it."""
    generator = content.generator
    return isinstance(generator, VolumeGenerator) and generator.has_density_box


def extract_scene_mesh(
    content: GeneratorFile,
    w: Any,
    resolution: int,
    progress: Progress,
    level: float | None = None,
    keep: float = 0.05,
) -> SceneMesh:
    """Marching cubes through the density of the one scene that w is the styles of.

    resolution: cubes along the longest side; progress: given the number of corners, what reports them. level:
    of density, None: the generator's own or half the median where transmittance is a half. keep: parts with
    less than this share of the largest one's faces are removed. Raises BadInput where there is no density, no
    surface, or not the memory.
    """
    if not has_surface(content):
        raise BadInput("the scenes of this generator have no density to extract a mesh from")
    generator = cast(VolumeGenerator, content.generator)
    assert generator.bounds is not None
    corners = math.prod(mesh.corner_counts(generator.bounds, resolution))
    require_memory(CORNER * corners, f"a mesh of --resolution {resolution}", "lower --resolution")
    if hasattr(w, "background_present"):  # the surface is that of the objects
        w = replace(w, background_present=torch.zeros_like(w.background_present))
    field = cast(Field, generator.bind(w))
    activate = partial(activate_density, march=generator.march)
    with progress(corners) as advance:
        lattice = mesh.sample_density(field, activate, generator.bounds, resolution, advance)
    given = generator.surface_density if level is None else level
    found = mesh.surface_level(lattice) if given is None else given
    surface = mesh.remove_small_parts(mesh.extract_surface(lattice, found), keep)
    shift = mesh.surface_shift(surface, field, activate, found, 2 * max(generator.bounds))
    surface = mesh.color_vertices(surface, field)
    if content.to_files is not None:
        surface.apply_transform(content.to_files.double().numpy())
    return SceneMesh(surface, found, shift)
