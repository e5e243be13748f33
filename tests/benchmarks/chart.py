"""Charts as data: what was measured, with its axes, as it is written to JSON and drawn from there. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tests.benchmarks.arithmetic import lower_median
from tests.benchmarks.trust import require

Scale = Literal["bytes", "numbers", "counts"]
"""`bytes`: logarithmic to the base 2, ticks in KiB and MiB. `numbers`: logarithmic to the base 10.
`counts`: a few given numbers (threads, instances), evenly apart."""
Look = Literal["measured", "ideal"]


@dataclass(frozen=True, slots=True)
class Point:
    """`y` is the run in the middle, `low` and `high` the extremes of all runs."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a panel; an `ideal` is drawn dashed."""

    label: str
    points: tuple[Point, ...]
    look: Look = "measured"

    def __post_init__(self) -> None:
        require(bool(self.points), f"{self.label}: nothing was measured")
        bad = [point for point in self.points if not (math.isfinite(point.y) and point.y > 0)]
        require(not bad, f"{self.label}: no measurement: {bad}")


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. With `has_slope_one` a dotted line shows what linear growth looks like; with
    `from_zero` the y axis is linear and begins at 0, else it is logarithmic."""

    title: str
    x_label: str
    x_scale: Scale
    y_label: str
    curves: tuple[Curve, ...]
    from_zero: bool = False
    has_slope_one: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture. `name` is that of its file, `note` stands below it."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)


def point(x: float, runs: Sequence[float]) -> Point:
    """Several runs at one x."""
    return Point(x, lower_median(runs, lambda value: value), min(runs), max(runs))


def curve(label: str, runs: Mapping[float, Sequence[float]], look: Look = "measured") -> Curve:
    """Runs by x, in ascending order of x."""
    return Curve(label, tuple(point(x, runs[x]) for x in sorted(runs)), look)


def from_json(document: Mapping[str, Any]) -> Chart:
    """The chart that `as_json` gave."""
    panels = [
        Panel(**{**panel, "curves": tuple(_curve_from(each) for each in panel["curves"])})
        for panel in document["panels"]
    ]
    return Chart(document["name"], document["title"], tuple(panels), document["note"])


def _curve_from(document: Mapping[str, Any]) -> Curve:
    return Curve(document["label"], tuple(Point(**each) for each in document["points"]), document["look"])
