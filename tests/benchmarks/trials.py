"""Measured and ideal in turn, so that what disturbs the machine meets both."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from tests.benchmarks.figure import Trial


def in_turn(measured: Callable[[], float], ideal: Callable[[], float], runs: int) -> tuple[Trial, ...]:
    """Ideal, measured, ideal, measured, …, ideal: each run beside the mean of the ideals around it."""
    before = ideal()
    trials = []
    for _ in range(runs):
        value = measured()
        after = ideal()
        trials.append(Trial(value, fmean((before, after))))
        before = after
    return tuple(trials)


def alone(measured: Callable[[], float], runs: int) -> tuple[Trial, ...]:
    """Several runs of what has an absolute limit."""
    return tuple(Trial(measured()) for _ in range(runs))
