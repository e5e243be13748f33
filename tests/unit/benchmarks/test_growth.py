from __future__ import annotations

import pytest

from tests.benchmarks.growth import Cost, chart, exponents


def cost(files: int) -> Cost:
    """Time grows with the files, memory does not."""
    return Cost(files, files / 1_500, files / 300_000, files / 100_000, 100.0, 120.0, 90.0)


COSTS = [cost(files) for files in (1_000, 100_000, 500_000)]


def test_the_exponents_tell_linear_growth_from_none() -> None:
    assert exponents(COSTS) == pytest.approx(
        {
            "import_seconds": 1.0,
            "rescan_seconds": 1.0,
            "start_seconds": 1.0,
            "imported_mb": 0.0,
            "peak_mb": 0.0,
            "started_mb": 0.0,
        }
    )


def test_one_size_grows_in_no_way() -> None:
    assert exponents(COSTS[:1]) == {}


def test_the_chart_has_a_point_for_every_size() -> None:
    for panel in chart(COSTS, 2).panels:
        for curve in panel.curves:
            assert [point.x for point in curve.points] == [1_000, 100_000, 500_000]
