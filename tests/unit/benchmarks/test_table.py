from __future__ import annotations

import pytest

from tests.benchmarks.figure import Figure, Trial
from tests.benchmarks.table import COLUMNS, amount, table

REACHED = Figure(
    "import-songs",
    "2,000 tagged files of 0.7 MB, from the first to the last confirm",
    "files/s",
    0.5,
    "at least",
    (Trial(1234.5, 2000.0),),
    "(hash + tags of one thread) / 2 cores",
    {"seconds_to_first": 1.25},
)
MISSED = Figure("idle-memory", "100,000 files", "kB", 50, "at most", (Trial(71.0), Trial(70.0)))


def test_the_table_says_what_was_measured_and_whether_it_will_do() -> None:
    heading, _, reached, missed, *_ = table([REACHED, MISSED], {}).splitlines()

    assert heading.split() == ["row", "measured", "ideal", "ratio", "limit", "met"]
    assert reached.split() == [
        "import-songs",
        "1,234",
        "files/s",
        "2,000",
        "files/s",
        "0.62",
        "≥",
        "0.5",
        "yes",
    ]
    assert missed.split() == ["idle-memory", "70", "kB", "–", "–", "≤", "50", "kB", "NO"]


def test_the_notes_tell_what_each_row_means() -> None:
    notes = " ".join(table([REACHED, MISSED], {}).split())

    assert "import-songs: 2,000 tagged files" in notes
    assert "against (hash + tags of one thread) / 2 cores" in notes
    assert "seconds to first 1.25" in notes
    assert "idle-memory: 100,000 files; 2 runs, 1% apart" in notes


def test_everything_fits_on_a_terminal_of_80_columns() -> None:
    assert max(len(line) for line in table([REACHED, MISSED], {"publisher": "lost"}).splitlines()) <= COLUMNS


def test_what_failed_has_a_reason_and_no_number() -> None:
    text = table([], {"publisher": "20,000 messages were published and 0 arrived"})

    line = next(line for line in text.splitlines() if line.startswith("publisher "))
    assert line.split() == ["publisher", "FAILED", "NO"]
    assert text.endswith("publisher FAILED: 20,000 messages were published and 0 arrived")


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346 ms"), (100.4, "100 ms"), (99.94, "99.9 ms"), (0.01234, "0.0123 ms"), (-7.0, "-7 ms")],
)
def test_an_amount_has_three_digits_that_count(value: float, text: str) -> None:
    assert amount(value, "ms") == text
