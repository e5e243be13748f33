"""The little statistics that the benchmarks need. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TypeVar

from tests.benchmarks.trust import require

T = TypeVar("T")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least so many percent of them do not exceed (nearest rank)."""
    require(bool(values), "there is nothing to take a percentile of")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def lower_median(values: Sequence[T], key: Callable[[T], float]) -> T:
    """The one in the middle, so one that was measured; of two in the middle the lower one."""
    require(bool(values), "nothing was measured")
    return sorted(values, key=key)[(len(values) - 1) // 2]


def spread(values: Sequence[float]) -> float:
    """How far they lie apart, as a part of their mean; 0 where all are 0."""
    mean = fmean(values)
    return (max(values) - min(values)) / abs(mean) if mean else 0.0


def fairness(shares: Sequence[float]) -> float:
    """Jain's index: 1 where all have the same, 1/n where one has all."""
    require(bool(shares) and any(shares), "nobody has a share of anything")
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def growth_exponent(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the last two points on paper with two logarithmic axes: 1 is linear, 2 is quadratic."""
    (x1, y1), (x2, y2) = sorted(points)[-2:]
    return math.log(y2 / y1) / math.log(x2 / x1)
