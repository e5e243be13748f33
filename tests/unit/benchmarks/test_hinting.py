from __future__ import annotations

import pytest

from file_watcher.model import Hint, HintKind
from tests.benchmarks import hinting
from tests.benchmarks.trust import Untrue


def test_every_hint_of_the_benchmark_goes_through_filter_and_debounce() -> None:
    hints = [Hint(path, HintKind.CLOSED) for path in hinting._paths()]

    assert len(hints) == 1_000
    assert hinting._milliseconds(hints) > 0


def test_hints_that_the_filter_drops_make_the_figure_untrue() -> None:
    with pytest.raises(Untrue, match="only 0 of 1 hints came out"):
        hinting._milliseconds([Hint(b"/srv/music/a.part", HintKind.CLOSED)])
