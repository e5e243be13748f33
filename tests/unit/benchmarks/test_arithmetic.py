from __future__ import annotations

import pytest

from tests.benchmarks.arithmetic import fairness, growth_exponent, lower_median, percentile, spread
from tests.benchmarks.trust import Untrue


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(100, 0, -1)]

    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile(values, 100) == 100.0
    assert percentile([7.0], 99) == 7.0


def test_one_value_in_a_hundred_that_is_late_is_beyond_the_99th_percentile() -> None:
    assert percentile([1.0] * 99 + [500.0], 99) == 1.0
    assert percentile([1.0] * 98 + [500.0] * 2, 99) == 500.0


def test_of_two_in_the_middle_the_lower_one_counts() -> None:
    assert lower_median([4.0, 1.0, 3.0, 2.0], key=lambda value: value) == 2.0


@pytest.mark.parametrize(
    "empty", [lambda: percentile([], 50), lambda: lower_median([], key=float), lambda: fairness([])]
)
def test_of_nothing_there_is_no_statistic(empty: object) -> None:
    assert callable(empty)
    with pytest.raises(Untrue):
        empty()


def test_the_spread_is_a_part_of_the_mean() -> None:
    assert spread([90.0, 110.0]) == pytest.approx(0.2)
    assert spread([0.0, 0.0]) == 0.0
    assert spread([-90.0, -110.0]) == pytest.approx(0.2)


def test_fairness_is_one_where_all_have_the_same_and_one_nth_where_one_has_all() -> None:
    assert fairness([5.0] * 4) == pytest.approx(1.0)
    assert fairness([8.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_growth_is_that_between_the_two_largest_sizes(power: float) -> None:
    points = [(500_000.0, 500_000.0**power), (1_000.0, 1e9), (100_000.0, 100_000.0**power)]

    assert growth_exponent(points) == pytest.approx(power, abs=1e-9)
