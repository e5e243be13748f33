from __future__ import annotations

import json

import pytest

from tests.benchmarks.figure import Figure, Sense, median, spread, table


def figure(value: float, sense: Sense = "at least", limit: float = 0.5) -> Figure:
    return Figure("row", value, 100.0, "files/s", limit, sense, "the ideal")


@pytest.mark.parametrize(
    ("value", "sense", "is_reached"),
    [(50.0, "at least", True), (49.9, "at least", False), (50.0, "at most", True), (50.1, "at most", False)],
)
def test_a_limit_is_kept_from_its_own_side(value: float, sense: Sense, is_reached: bool) -> None:
    assert figure(value, sense).is_reached is is_reached


def test_of_several_runs_the_one_in_the_middle_counts() -> None:
    runs = [figure(30.0), figure(90.0), figure(60.0), figure(10.0)]

    assert median(runs) == figure(30.0)
    assert median(runs[:3]) == figure(60.0)
    assert spread([figure(50.0), figure(150.0)]) == pytest.approx(1.0)


def test_the_table_says_what_was_measured_and_whether_it_will_do() -> None:
    heading, reached, missed = table([figure(1234.5, limit=0.75), figure(40.0)]).splitlines()

    assert heading.split() == ["row", "measured", "reference", "ratio", "limit", "reached", "against"]
    assert "1,234 files/s" in reached
    assert "≥ 0.75  yes" in reached
    assert "0.40   ≥ 0.5   NO" in missed


def test_a_figure_in_json_carries_what_follows_from_it() -> None:
    document = json.loads(json.dumps(figure(40.0).as_json()))

    assert document["ratio"] == pytest.approx(0.4)
    assert document["is_reached"] is False
    assert document["against"] == "the ideal"
