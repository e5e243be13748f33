from __future__ import annotations

import json
import math

import pytest

from tests.benchmarks.chart import Chart, Panel, Point, curve, from_json
from tests.benchmarks.trust import Untrue


def chart() -> Chart:
    measured = curve("import", {4096: [90.0, 110.0, 100.0], 1024: [50.0]})
    ideal = curve("ideal", {1024: [80.0], 4096: [200.0]}, "ideal")
    panel = Panel("files by size", "size", "bytes", "files/s", (measured, ideal), has_slope_one=True)
    return Chart("rates", "Import", (panel,), "a note")


def test_a_point_is_the_run_in_the_middle_between_the_extremes() -> None:
    first, second = chart().panels[0].curves[0].points

    assert first == Point(1024, 50.0, 50.0, 50.0)
    assert second == Point(4096, 100.0, 90.0, 110.0)


def test_a_chart_comes_out_of_json_as_it_went_in() -> None:
    assert from_json(json.loads(json.dumps(chart().as_json()))) == chart()


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_a_point_that_measures_nothing_is_refused(value: float) -> None:
    with pytest.raises(Untrue, match="import: no measurement"):
        curve("import", {1: [value]})


def test_a_curve_without_points_is_refused() -> None:
    with pytest.raises(Untrue, match="import: nothing was measured"):
        curve("import", {})
