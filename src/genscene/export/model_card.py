"""Model cards: what a published generator is, its licence, data and numbers, for people and for the hub."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from genscene.geometry.cameras import Size
from genscene.hub import GENERATOR
from genscene.version import __version__

SYSTEMS = {  # folder of a system -> its name, and its paper
    "pigan": ("pi-GAN", "Chan et al. 2021"),
    "graf": ("GRAF", "Schwarz et al. 2020"),
    "giraffe": ("GIRAFFE", "Niemeyer and Geiger 2021"),
    "cips": ("CIPS", "Anokhin et al. 2021"),
    "cgsgan": ("CGS-GAN", "Barthel et al. 2025"),
    "nerf": ("NeRF", "Mildenhall et al. 2020"),
    "voxels": ("a field over voxels", "after NeRF, Mildenhall et al. 2020"),
    "splats": ("Gaussian splatting", "Kerbl et al. 2023"),
    "distilled": ("Gaussians distilled from a field", "Kerbl et al. 2023"),
    "image": ("a picture as a function", "Sitzmann et al. 2020"),
    "sdf": ("a solid as a function", "Sitzmann et al. 2020"),
}
# identifiers of licences that the hub knows; others are "other" there, with their name
LICENCES = (
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0"),
    *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"),
    *("cc-by-nd-4.0", "cc-by-3.0", "cc-by-nc-2.0", "openrail", "openrail++", "unlicense", "unknown"),
)
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")  # words that YAML reads as they are
RESERVED = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


@dataclass(frozen=True)
class CardScore:
    """One measured number."""

    key: str
    title: str
    value: float
    better: str = ""  # low, or high
    unit: str = ""
    extractor: str = ""

    @property
    def text(self) -> str:
        """The value with its unit, to four digits."""
        return f"{self.value:.4g} {self.unit}".strip()


@dataclass(frozen=True)
class Card:
    """What a card says of a generator."""

    title: str
    system: str  # folder of its system
    many: bool  # scenes of latent codes, not a single one
    adversarial: bool
    in_space: bool  # scenes with cameras, not pictures
    parameters: int
    steps: int  # of training; 0: not known
    size: Size  # of the pictures that it was trained on
    data: str = ""
    licence: str = ""
    datasets: Sequence[str] = ()  # names on the hub
    scores: Sequence[CardScore] = ()
    protocol: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()  # limits of what the scores mean
    pictures: str = ""  # name of the file of its pictures
    source: str = GENERATOR  # what to load: a file, or an address on the hub
    file: str = GENERATOR
    version: str = __version__

    @property
    def protocol_line(self) -> str:
        """What was measured, and how."""
        return "; ".join(f"{name}: {value}" for name, value in self.protocol.items())

    @property
    def sentence(self) -> str:
        """What it is."""
        name, paper = SYSTEMS.get(self.system, (self.system, ""))
        what = f"{name}{f' ({paper})' if paper else ''}"
        if self.many:
            return f"A generator of {self.scenes}: {what}, in the format of the Python library genscene."
        return f"One {self.scenes.removeprefix('one ')}: {what}, in the format of the library genscene."

    @property
    def scenes(self) -> str:
        """What its scenes are."""
        kind = ("scenes in space" if self.many else "scene in space") if self.in_space else "pictures"
        return kind if self.many else f"one {kind.removesuffix('s')}"

    def front_matter(self) -> dict[str, Any]:
        """What the hub reads of a card: library, licence, tags, kind of task, data, results."""
        licence = self.licence.lower()
        found: dict[str, Any] = {"library_name": "genscene"}
        if licence in LICENCES:
            found["license"] = licence
        elif self.licence:
            found |= {"license": "other", "license_name": re.sub("[^a-z0-9.]+", "-", licence).strip("-")}
        found["tags"] = ["genscene", self.system, *["gan"] * self.adversarial, *["3d"] * self.in_space]
        if self.many:
            found["pipeline_tag"] = "unconditional-image-generation"
        elif self.in_space:
            found["pipeline_tag"] = "image-to-3d"
        if self.datasets:
            found["datasets"] = list(self.datasets)
        if self.scores:
            found["metrics"] = [score.key for score in self.scores]
            found["model-index"] = [{"name": self.title, "results": [self._results(found)]}]
        return found

    def _results(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The measured numbers as the hub's index has them."""
        data = self.datasets[0] if self.datasets else self.data or "not stated"
        metrics = [{"type": s.key, "name": s.title, "value": round(s.value, 6)} for s in self.scores]
        task = {"type": found.get("pipeline_tag", "other")}
        return {"task": task, "dataset": {"type": data, "name": self.data or data}, "metrics": metrics}


def render_card(card: Card) -> str:
    """The text of README.md."""
    environment = Environment(
        loader=PackageLoader("genscene.export", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,  # and no escapes: the text is no HTML
    )
    template = environment.get_template("model_card.md")
    text = template.render(card=card, front="\n".join(yaml_lines(card.front_matter())))
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def yaml_lines(value: Mapping[str, Any]) -> Iterator[str]:
    """A mapping of words, numbers, lists and mappings -> the lines of YAML."""
    for key, each in value.items():
        if isinstance(each, Mapping):
            yield f"{yaml_scalar(key)}:"
            yield from (f"  {line}" for line in yaml_lines(each))
        elif isinstance(each, list):
            yield f"{yaml_scalar(key)}:"
            for item in each:
                lines = [*yaml_lines(item)] if isinstance(item, Mapping) else [yaml_scalar(item)]
                yield f"- {lines[0]}"
                yield from (f"  {line}" for line in lines[1:])
        else:
            yield f"{yaml_scalar(key)}: {yaml_scalar(each)}"


def yaml_scalar(value: object) -> str:
    """A word or number as YAML has it; words that could be read as something else in quotes."""
    text = str(value)
    if isinstance(value, str) and PLAIN.fullmatch(text) and text.lower() not in RESERVED:
        return text
    return json.dumps(value)
