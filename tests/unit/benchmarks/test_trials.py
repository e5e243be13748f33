from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.figure import Trial
from tests.benchmarks.trials import alone, in_turn


def one_after_the_other(log: list[str], name: str, values: list[float]) -> Callable[[], float]:
    def measure() -> float:
        log.append(name)
        return values.pop(0)

    return measure


def test_every_run_stands_between_two_ideals_and_is_held_against_their_mean() -> None:
    log: list[str] = []
    measured = one_after_the_other(log, "measured", [5.0, 6.0])
    ideal = one_after_the_other(log, "ideal", [10.0, 20.0, 40.0])

    assert in_turn(measured, ideal, 2) == (Trial(5.0, 15.0), Trial(6.0, 30.0))
    assert log == ["ideal", "measured", "ideal", "measured", "ideal"]


def test_what_has_an_absolute_limit_has_no_ideal() -> None:
    assert alone(one_after_the_other([], "", [1.0, 2.0]), 2) == (Trial(1.0), Trial(2.0))
