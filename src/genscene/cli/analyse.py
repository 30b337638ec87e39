"""genscene analyse GENERATOR: pictures of what it has learned: spectra, input features, the mean style.

genscene analyse ray|slices|truncation|views|directions GENERATOR: what is inside a scene, how scenes vary.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
from tyro.conf import Positional, arg

from genscene.apps.analysis.features import (
    BATCH,
    components_picture,
    feature_spectrum,
    input_features,
    mean_style_picture,
    picture_spectrum,
    pictures_without,
    principal_components,
    spectra_figure,
)
from genscene.cli.scenes.analyse_fields import KINDS
from genscene.cli.shared.evaluation_options import EvaluationOptions, load_models, make_session
from genscene.cli.shared.latents import SEEDS, ChosenScenes, choose_scenes
from genscene.cli.shared.options import parse, parse_size, print_line
from genscene.cli.shared.rendering import RenderingOptions
from genscene.contract import Generator, RenderOptions
from genscene.data.images.files import require_new_folder
from genscene.devices import pick_device, require_memory
from genscene.distributed import ProcessGroup
from genscene.errors import BadInput
from genscene.evaluation.image_sources import GeneratedImages, StoredImages
from genscene.evaluation.protocol import Preparation
from genscene.evaluation.session import EvaluatedModel, is_statistics
from genscene.experiment.validation import validate
from genscene.export.charts import SPECTRUM_AXES, save_chart, spectrum_series
from genscene.export.panels import Figure, save_figure
from genscene.geometry.cameras import Size
from genscene.io.atomic import atomic, atomic_folder
from genscene.metrics.spectrum import spectral_gap
from genscene.ranges import Range
from genscene.version import __version__

FEATURE_BYTES = 28  # of a feature of a pixel: twice in float32, and its components in float64
REAL = "real"
ABOUT = """Pictures of what a generator has learned: spectra, input features of pixels, the mean style.

others, each with options of its own (genscene analyse ray --help):
  ray         density, transmittance, samples and weights along the ray of a pixel
  slices      slices through the field of a scene
  truncation  scenes from the mean style to their own
  directions  principal directions of styles, and directions of labels, for genscene edit
  views       held-out photographs beside renderings of several fitted scenes"""
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Analyse:
    """All options of the verb."""

    generator: Positional[Path]  # a .safetensors file, or the folder of a run
    out: Path  # folder to write to; it must be new or empty
    data: str = ""  # real pictures: a folder, a zip or synthetic:NAME; default: the generator's training data
    count: Annotated[int, Range(2)] = 512  # generated pictures, and real ones at most, of a mean spectrum
    seeds: str = ""  # scenes, 0-7 (the default), that are shown with parts of the input zeroed
    against: Path | None = None  # another generator, whose spectrum and mean style are shown beside
    rendering: Annotated[RenderingOptions, arg(name="")] = RenderingOptions()

    def __post_init__(self) -> None:
        """Raise BadInput for numbers out of range."""
        validate(self)


def main(words: list[str]) -> None:
    """Run the verb."""
    if words and words[0] in KINDS:
        KINDS[words[0]](words[1:])
    else:
        analyse(words)


def analyse(words: list[str]) -> None:
    """Write all pictures of spectra, input features and mean styles, and their numbers."""
    options = parse(Analyse, words, "genscene analyse", description=ABOUT)
    how = options.rendering
    require_new_folder(options.out)
    if how.show != "image":
        raise BadInput(f"--show {how.show}: wanted image, the spectra are those of pictures")
    if how.window or how.outside is not None:
        raise BadInput("--window, --outside: wanted neither, the spectra are those of whole pictures")
    paths = [options.generator, *([options.against] if options.against else [])]
    models = load_models(paths, pick_device(how.device))
    found = [require_generator(model) for model in models]
    names = [f"{model.name} (generated)" if model.name == REAL else model.name for model in models]
    generators, first = dict(zip(names, found, strict=True)), found[0]
    size = parse_size(how.size) if how.size else models[0].size
    if size[0] != size[1] or size[0] < 2:
        wanted = "spectra want square ones of 2x2 or more (--size)"
        raise BadInput(f"{options.generator}: pictures of {size[0]}x{size[1]}, {wanted}")
    kinds = require_features(first, size)
    chosen = choose_scenes(first, options.generator, options.seeds, how.latents, SEEDS)
    shown = (len(kinds) + 1) * len(chosen) if kinds else 0
    how.require_memory(first, size, max(BATCH, shown), len(chosen))
    real = real_pictures(options, models, size)
    total = len(models) * (options.count + 1) + shown
    with atomic_folder(options.out) as folder:
        with how.render_options(total, size, "--size, --count") as render_options:
            numbers = show_spectra(folder, options, real, generators, size, render_options)
            show_mean_styles(folder, generators, size, render_options)
            if kinds:
                numbers["features"] = show_features(folder, first, size)
                show_zeroed(folder, chosen.styles(first, how.psi), chosen, first, kinds, size, render_options)
        with atomic(folder / "numbers.json") as partial:
            partial.write_text(json.dumps(numbers, indent=2, allow_nan=False) + "\n", encoding="utf-8")
        written = sorted(path.name for path in folder.iterdir())
    if not kinds:
        print_line(f"left out: the pictures of input features, {options.generator} has not two kinds of them")
    for name, each in numbers["generators"].items():
        print_line(f"{name}: spectral gap {each['spectral_gap_db']:.2f} dB")
    print_line("\n".join(str(options.out / name) for name in written))


def require_generator(model: EvaluatedModel) -> Generator:
    """The generator of a model; BadInput where it is images, or has a single scene."""
    if model.generator is None or not model.generator.latent_dim:
        what = "are images" if model.generator is None else "holds a single scene"
        raise BadInput(f"{model.path} {what}: wanted a generator of many scenes")
    return model.generator


def require_features(generator: Generator, size: Size) -> list[str]:
    """The kinds of a generator's input features, none where they are fewer than two to be compared.

    Raises BadInput where those of a picture take more memory than there is.
    """
    found = input_features(generator, (1, 1))
    if len(found) < 2:
        return []
    channels, pixels = sum(map(len, found.values())), size[0] * size[1]
    what = f"{channels} input features of {size[0]}x{size[1]} pixels"
    require_memory(FEATURE_BYTES * channels * pixels, what, "lower --size")
    return list(found)


def real_pictures(options: Analyse, models: list[EvaluatedModel], size: Size) -> StoredImages:
    """The real pictures: those of --data, or of the training of the first generator."""
    chosen = EvaluationOptions(options.data, metrics="spectrum", size=f"{size[0]}x{size[1]}", batch=BATCH)
    session = make_session(models, chosen, ProcessGroup())
    if is_statistics(Path(session.data)):
        raise BadInput(f"{session.data} holds statistics or weights: --data wants real pictures")
    limit = min(session.images.limit or options.count, options.count)
    try:
        real = replace(session, images=replace(session.images, limit=limit)).real()
    except BadInput as error:
        other = "" if options.data else f"{options.generator}, its training data: "
        raise BadInput(
            f"{other}{error}{'; --data PATH names other real pictures' if other else ''}"
        ) from None
    assert isinstance(real, StoredImages)
    return real


def show_spectra(
    folder: Path,
    options: Analyse,
    real: StoredImages,
    generators: Mapping[str, Generator],
    size: Size,
    render_options: RenderOptions,
) -> Numbers:
    """Write the spectra of real and generated pictures -> their numbers."""
    spectra, psi = {REAL: picture_spectrum(real)}, options.rendering.psi
    for name, generator in generators.items():
        pictures = GeneratedImages(
            generator, Preparation(options.count), size, psi=psi, options=render_options
        )
        spectra[name] = picture_spectrum(pictures)
    title = f"mean magnitude at every frequency: {len(real)} real pictures, {options.count} generated"
    save_figure(folder / "spectra.png", spectra_figure(title, spectra))
    gaps = {name: spectral_gap(each.profile, spectra[REAL].profile) for name, each in spectra.items()}
    profiles = {name: each.profile.tolist() for name, each in spectra.items()}
    labels = {name: name if name == REAL else f"{name}: {gaps[name]:.2f} dB" for name in profiles}
    series = spectrum_series({labels[name]: each for name, each in profiles.items()})
    axes = replace(SPECTRUM_AXES, title="azimuthal spectra of pictures, mean gap to the real one")
    save_chart(folder / "profiles.png", series, axes)
    stored = {"source": real.source, "pictures": len(real), "profile_db": profiles.pop(REAL)}
    return {
        "genscene": __version__,
        "size": size[0],
        "psi": psi,
        "real": stored | {"enlarged": sum(i < len(real) for i in real.images.enlarged)},
        "generators": {
            name: {"pictures": options.count, "spectral_gap_db": gaps[name], "profile_db": profile}
            for name, profile in profiles.items()
        },
    }


def show_mean_styles(
    folder: Path, generators: Mapping[str, Generator], size: Size, render_options: RenderOptions
) -> None:
    """Write the pictures of the mean styles."""
    pictures = [mean_style_picture(generator, size, render_options) for generator in generators.values()]
    figure = Figure(
        "pictures of the mean style", "psi 0", torch.stack(pictures)[None], columns=list(generators)
    )
    save_figure(folder / "mean_style.png", figure)


def show_features(folder: Path, generator: Generator, size: Size) -> Numbers:
    """Write the spectra and principal components of a generator's input features -> their numbers."""
    features, numbers, pictures = input_features(generator, size), Numbers(), []
    spectra = {kind: feature_spectrum(each) for kind, each in features.items()}
    title = "mean magnitude of all channels at every frequency"
    save_figure(folder / "feature_spectra.png", spectra_figure(title, spectra))
    profiles = {kind: each.profile.tolist() for kind, each in spectra.items()}
    axes = replace(SPECTRUM_AXES, title="azimuthal spectra of input features, mean of the channels")
    save_chart(folder / "feature_profiles.png", spectrum_series(profiles), axes)
    for kind, each in features.items():
        components, shares = principal_components(each)
        pictures.append(components_picture(components))
        found = {"channels": len(each), "variance_shares": shares.tolist(), "profile_db": profiles[kind]}
        numbers[kind] = found
    columns = [f"{kind}: {sum(each['variance_shares']):.0%} of variance" for kind, each in numbers.items()]
    title, note = "first three principal components", "as red, green and blue, each over its own range"
    figure = Figure(title, note, torch.stack(pictures)[None], columns=columns)
    save_figure(folder / "feature_components.png", figure)
    return numbers


def show_zeroed(
    folder: Path,
    w: Any,
    chosen: ChosenScenes,
    generator: Generator,
    kinds: list[str],
    size: Size,
    render_options: RenderOptions,
) -> None:
    """Write the pictures of the chosen scenes, whole and with each kind of input features zeroed."""
    pictures = pictures_without(generator, w, kinds, size, render_options)
    rows = ["whole", *(f"no {kind}" for kind in kinds)]
    columns = [chosen.describe(i) for i in range(len(chosen))]
    figure = Figure("pictures without some input features", "these are set to 0", pictures, rows, columns)
    save_figure(folder / "zeroed_features.png", figure)
