from __future__ import annotations

import json
import math

import pytest

from tests.benchmarks.figure import Figure, Sense, Trial
from tests.benchmarks.trust import Untrue


def figure(
    *values: float, sense: Sense = "at least", limit: float = 0.5, ideal: float | None = 100.0
) -> Figure:
    trials = tuple(Trial(value, ideal) for value in values)
    return Figure("row", "something", "files/s", limit, sense, trials, "the ideal")


@pytest.mark.parametrize(
    ("value", "sense", "is_met"),
    [(50.0, "at least", True), (49.9, "at least", False), (50.0, "at most", True), (50.1, "at most", False)],
)
def test_a_limit_is_kept_from_its_own_side(value: float, sense: Sense, is_met: bool) -> None:
    assert figure(value, sense=sense).is_met is is_met


def test_without_an_ideal_the_limit_is_held_against_the_value_itself() -> None:
    absolute = figure(1.9, sense="at most", limit=2, ideal=None)

    assert absolute.is_met
    assert absolute.ratio is None
    assert not figure(2.1, sense="at most", limit=2, ideal=None).is_met


def test_of_several_runs_the_one_in_the_middle_stands_for_the_row() -> None:
    assert figure(30.0, 90.0, 60.0).ratio == pytest.approx(0.6)
    assert figure(30.0, 90.0, 60.0, 10.0).ratio == pytest.approx(0.3)


def test_the_middle_is_that_of_the_ratios_not_that_of_the_values() -> None:
    runs = (Trial(10.0, 100.0), Trial(20.0, 25.0), Trial(30.0, 100.0))

    assert Figure("row", "", "files/s", 0.2, "at least", runs).middle == Trial(30.0, 100.0)


def test_runs_that_differ_show_how_far_they_lie_apart() -> None:
    assert figure(50.0, 150.0).scatter == pytest.approx(1.0)
    assert figure(50.0).scatter == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_figure(value: float) -> None:
    with pytest.raises(Untrue, match="is no measurement"):
        figure(60.0, value)


@pytest.mark.parametrize("ideal", [0.0, -1.0, math.nan, math.inf])
def test_an_ideal_that_nothing_can_be_divided_by_is_no_figure(ideal: float) -> None:
    with pytest.raises(Untrue, match="is no ideal"):
        figure(60.0, ideal=ideal)


def test_a_row_without_a_run_is_no_figure() -> None:
    with pytest.raises(Untrue, match="nothing was measured"):
        figure()


def test_a_figure_in_json_carries_every_run_and_what_follows_from_them() -> None:
    document = json.loads(json.dumps(figure(40.0, 60.0, 20.0).as_json(), allow_nan=False))

    assert document["value"] == 40.0
    assert document["ideal"] == 100.0
    assert document["ratio"] == pytest.approx(0.4)
    assert document["limit"] == 0.5
    assert document["unit"] == "files/s"
    assert document["is_met"] is False
    assert document["against"] == "the ideal"
    assert [run["value"] for run in document["runs"]] == [40.0, 60.0, 20.0]
