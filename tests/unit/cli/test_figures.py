"""How numbers are shown to people."""

from __future__ import annotations

import pytest

from file_watcher.cli.figures import counted, duration_text, size_text, utc_text


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2 * 10**9, "2.0 GB"), (10**15, "1000.0 TB")],
)
def test_sizes_are_for_people(size: int, words: str) -> None:
    assert size_text(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2.0 h"), (86_400, "1.0 d")]
)
def test_ages_are_for_people(seconds: float, words: str) -> None:
    assert duration_text(seconds) == words


def test_times_are_utc_to_the_second() -> None:
    assert utc_text(1_767_268_800_999_999_999) == "2026-01-01T12:00:00Z"


@pytest.mark.parametrize(("number", "words"), [(0, "0 files"), (1, "1 file"), (1200, "1,200 files")])
def test_what_is_counted_has_its_plural(number: int, words: str) -> None:
    assert counted(number, "file") == words
    assert counted(number, "copy", "copies").endswith("copy" if number == 1 else "copies")
