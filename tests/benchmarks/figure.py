"""What a benchmark gives: ratios to something that was measured in the same run on the same machine."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Sense = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row. `value` and `reference` have the same unit, so that their quotient means something.

    `facts` are the numbers behind it, for people who want to know more.
    """

    row: str
    value: float
    reference: float
    unit: str
    limit: float
    sense: Sense
    against: str
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """What the limit is held against."""
        return self.value / self.reference

    @property
    def is_reached(self) -> bool:
        """Whether the limit is kept."""
        return self.ratio >= self.limit if self.sense == "at least" else self.ratio <= self.limit

    def as_json(self) -> dict[str, Any]:
        """All of it, with what follows from it."""
        return {**asdict(self), "ratio": self.ratio, "is_reached": self.is_reached}


def median(figures: Sequence[Figure]) -> Figure:
    """The figure with the middle ratio of several runs of one row (the lower one of two)."""
    return sorted(figures, key=lambda figure: figure.ratio)[(len(figures) - 1) // 2]


def spread(figures: Sequence[Figure]) -> float:
    """How far the ratios of several runs lie apart, as a part of their mean."""
    ratios = [figure.ratio for figure in figures]
    return (max(ratios) - min(ratios)) / statistics.mean(ratios)


def table(figures: Sequence[Figure]) -> str:
    """The figures as lines of text."""
    lines = [("row", "measured", "reference", "ratio", "limit", "reached", "against")]
    lines += [
        (
            figure.row,
            f"{figure.value:,.4g} {figure.unit}",
            f"{figure.reference:,.4g} {figure.unit}",
            f"{figure.ratio:.2f}",
            f"{'≥' if figure.sense == 'at least' else '≤'} {figure.limit:g}",
            "yes" if figure.is_reached else "NO",
            figure.against,
        )
        for figure in figures
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
