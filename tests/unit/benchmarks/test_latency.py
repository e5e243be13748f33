from __future__ import annotations

import pytest

from tests.benchmarks.latency import Change, _confirmed, _delays
from tests.benchmarks.trust import Untrue

SECOND = 1_000_000_000
WRITTEN: dict[Change, int] = {("/m/a.mp3", "created"): 5 * SECOND, ("/m/a.mp3", "modified"): 9 * SECOND}


def test_a_delay_counts_from_the_end_of_the_debounce_window() -> None:
    told = {change: at_ns + SECOND + 20_000_000 for change, at_ns in WRITTEN.items()}

    assert _delays(WRITTEN, told) == pytest.approx([20.0, 20.0])


def test_a_change_that_was_not_told_makes_the_figure_untrue() -> None:
    with pytest.raises(Untrue, match="2 changes, 1 told"):
        _delays(WRITTEN, {("/m/a.mp3", "created"): 7 * SECOND})


def test_a_change_that_was_told_before_its_window_was_over_makes_the_figure_untrue() -> None:
    with pytest.raises(Untrue, match=r"told 500\.0 ms before its window was over"):
        _delays(WRITTEN, {change: at_ns + SECOND // 2 for change, at_ns in WRITTEN.items()})


def test_a_change_that_was_told_twice_makes_the_figure_untrue() -> None:
    with pytest.raises(Untrue, match="told twice"):
        _confirmed([("/m/a.mp3", "created", 1), ("/m/a.mp3", "created", 2)])
