"""What a benchmark gives: a row with its limit, and what was measured in each run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.benchmarks.arithmetic import lower_median, spread
from tests.benchmarks.trust import require

Sense = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One run. `ideal` was measured just before and after it, in the same unit; None: the limit is absolute."""

    value: float
    ideal: float | None = None

    @property
    def held(self) -> float:
        """What the limit is held against: the ratio, or the value itself."""
        return self.value if self.ideal is None else self.value / self.ideal


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table.

    `row` is its name, `what` says in a few words what was measured and `against` what the ideal is.
    `facts` are the numbers behind it, for people who want to know more. Raises `Untrue` where a number is
    none (infinite, not a number, no ideal to divide by) or where nothing was measured.
    """

    row: str
    what: str
    unit: str
    limit: float
    sense: Sense
    trials: tuple[Trial, ...]
    against: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(bool(self.trials), f"{self.row}: nothing was measured")
        for trial in self.trials:
            require(math.isfinite(trial.value), f"{self.row}: {trial.value} is no measurement")
            ideal_is_true = trial.ideal is None or (math.isfinite(trial.ideal) and trial.ideal > 0)
            require(ideal_is_true, f"{self.row}: {trial.ideal} is no ideal")

    @property
    def middle(self) -> Trial:
        """The run in the middle; it stands for the row."""
        return lower_median(self.trials, lambda trial: trial.held)

    @property
    def ratio(self) -> float | None:
        """Measured by ideal; None where the limit is absolute."""
        return None if self.middle.ideal is None else self.middle.held

    @property
    def is_met(self) -> bool:
        """Whether the limit is kept."""
        held = self.middle.held
        return held >= self.limit if self.sense == "at least" else held <= self.limit

    @property
    def scatter(self) -> float:
        """How far apart the runs lie, as a part of their mean."""
        return spread([trial.held for trial in self.trials])

    def as_json(self) -> dict[str, Any]:
        """All of it, with what follows from it."""
        middle = self.middle
        return {
            "row": self.row,
            "what": self.what,
            "unit": self.unit,
            "value": middle.value,
            "ideal": middle.ideal,
            "against": self.against or None,
            "ratio": self.ratio,
            "limit": self.limit,
            "sense": self.sense,
            "is_met": self.is_met,
            "runs": [{"value": each.value, "ideal": each.ideal, "held": each.held} for each in self.trials],
            "scatter": self.scatter,
            "facts": dict(self.facts),
        }
