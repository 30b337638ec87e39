"""A report: scores of one or several generators, images, charts, and the protocol behind them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from genscene.errors import BadInput

Better = Literal["low", "high"]
Mark = Literal["", "best", "level"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    def contains(self, value: float) -> bool:
        """Whether a value is in the closed interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Score:
    """One measured number of one generator."""

    key: str  # in JSON, e.g. kernel_x100
    title: str  # in tables, e.g. kernel distance x 100
    value: float
    better: Better
    unit: str = ""
    extractor: str = ""  # that computed the features
    deviation: float | None = None  # standard deviation over subsets of the images
    detail: bool = False  # explains another score: in tables of a single generator only
    digits: int = 0  # after the point; 0: two, or three where the value is below 1 and has no unit
    settings: Mapping[str, object] = field(default_factory=dict)  # what it depends on beyond the protocol
    interval: Interval | None = None  # 95 %
    level: bool = False  # the interval of the paired difference from the best score contains 0

    def __post_init__(self) -> None:
        ends = (self.interval.low, self.interval.high) if self.interval else ()
        numbers = [x for x in (self.value, *ends, self.deviation) if x is not None]
        if not all(map(math.isfinite, numbers)):
            got = ", ".join(f"{number:g}" for number in numbers)
            raise BadInput(f"{self.title} is {got}: wanted finite numbers")

    def of_images(self, how: str, **settings: str) -> "Score":
        """The same score of images that were rendered in another way, which its title and settings say."""
        return replace(self, title=f"{self.title}, {how}", settings={**self.settings, **settings})


@dataclass(frozen=True)
class Row:
    """The scores of one generator, by their keys."""

    name: str
    scores: Mapping[str, Score]
    note: str = ""  # e.g. the system and its number of parameters
    reference: bool = False  # for comparison, e.g. real images against real images; never marked
    alike: bool = False  # its images are all alike, so that scores of single images mislead; never marked


@dataclass(frozen=True)
class Report:
    """Everything that is printed, written as JSON, or put on the page."""

    title: str
    summary: str  # which images are compared, and how many
    rows: Sequence[Row]
    protocol: Mapping[str, object] = field(default_factory=dict)
    notes: Sequence[str] = ()  # e.g. what the intervals mean, and warnings
    strips: Sequence[tuple[str, Tensor]] = ()  # named images [N, 3, H, W] in [0, 1], below each other
    charts: Mapping[str, str] = field(default_factory=dict)  # SVG by name
    views: Mapping[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)  # of scenes
    runs: Sequence[Mapping[str, object]] = ()  # of which rows are means, in JSON

    @property
    def columns(self) -> dict[str, Score]:
        """The first score of every key that is in the table."""
        found: dict[str, Score] = {}
        for row in sorted(self.rows, key=lambda row: row.reference):
            for key, score in row.scores.items():
                if len(self.rows) == 1 or not score.detail:
                    found.setdefault(key, score)
        return found

    def marks(self, key: str) -> list[Mark]:
        """Whether each row's score is the best, or not distinguishable from it; "" where all are equal."""
        rows = {i: row for i, row in enumerate(self.rows) if not (row.reference or row.alike)}
        scores = {i: row.scores[key] for i, row in rows.items() if key in row.scores and key in self.columns}
        values = [score.value for score in scores.values()]
        marks: list[Mark] = ["" for _ in self.rows]
        if len(set(values)) > 1:
            best = min(values) if self.columns[key].better == "low" else max(values)
            for i, score in scores.items():
                marks[i] = "best" if score.value == best else "level" if score.level else ""
        return marks

    def text(self, key: str, value: float) -> str:
        """A value with the digits of its column."""
        first = self.columns[key]
        return f"{value:.{first.digits or (2 if abs(first.value) >= 1 or first.unit else 3)}f}"

    def interval_text(self, key: str, score: Score) -> str:
        """The interval of a score, e.g. [11.9, 12.8], or its deviation over subsets, or ""."""
        if score.interval is not None:
            return f"[{self.text(key, score.interval.low)}, {self.text(key, score.interval.high)}]"
        return "" if score.deviation is None else f"+- {score.deviation:.2g}"
