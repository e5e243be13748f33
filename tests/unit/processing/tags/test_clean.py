from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.processing.tags import clean

ANY_TEXT = st.text(st.characters(exclude_categories=()))
NAMES = st.sampled_from(["title", "artist", "date", "track", "tracktotal", "disc", "disctotal", "bpm"])


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  Title \n", "Title"),
        ("Ti\0tle\0", "Title"),
        ("AC/DC", "AC/DC"),
        ("\ud800 lone", "\ufffd lone"),
        ("Überraschung 🎵", "Überraschung 🎵"),
        ("\0 \0", ""),
    ],
)
def test_text_is_trimmed_and_made_fit_for_utf_8_and_postgresql(raw: str, cleaned: str) -> None:
    assert clean.text(raw) == cleaned


@given(ANY_TEXT)
def test_any_text_becomes_valid_utf_8_without_nul(raw: str) -> None:
    cleaned = clean.text(raw)
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert "\0" not in cleaned
    assert cleaned == cleaned.strip()


@given(st.lists(st.tuples(NAMES, ANY_TEXT)))
def test_no_published_tag_is_empty_and_cleaning_again_changes_nothing(pairs: list[tuple[str, str]]) -> None:
    found, _ = clean.tags(pairs)
    assert all(found.values())
    assert clean.tags(found.items()) == (found, False)
    json.dumps(found).encode("utf-8")


def test_the_first_value_that_is_not_empty_counts() -> None:
    assert clean.tags([("artist", " "), ("artist", "First"), ("artist", "Second")]) == (
        {"artist": "First"},
        False,
    )


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([("track", "3/12")], {"track": "3", "tracktotal": "12"}),
        ([("disc", "1 / 2")], {"disc": "1", "disctotal": "2"}),
        ([("track", "3/12"), ("tracktotal", "15")], {"track": "3", "tracktotal": "15"}),
        ([("track", "3/")], {"track": "3"}),
        ([("track", "/12")], {"tracktotal": "12"}),
        ([("track", "3/0")], {"track": "3"}),
        ([("track", "0/12")], {"tracktotal": "12"}),
        ([("track", "A1")], {"track": "A1"}),
        ([("track", "3/side")], {"track": "3/side"}),
        ([("track", "0")], {}),
        ([("track", "0/0")], {}),
        ([("bpm", "0")], {}),
        ([("bpm", "120")], {"bpm": "120"}),
        ([("compilation", "0")], {"compilation": "0"}),
    ],
)
def test_numbers_are_split_from_their_totals_and_zero_is_unknown(
    pairs: list[tuple[str, str]], found: dict[str, str]
) -> None:
    assert clean.tags(pairs) == (found, False)


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("2021", True),
        ("2021-05-01T10:00", True),
        ("1999 (remaster)", True),
        ("May 2021", False),
        ("0000", False),
    ],
)
def test_a_date_is_kept_as_written_where_it_begins_with_a_year(raw: str, *, kept: bool) -> None:
    assert clean.tags([("date", raw)]) == ({"date": raw} if kept else {}, False)


def test_a_later_date_counts_where_the_first_is_none() -> None:
    assert clean.tags([("date", "unknown"), ("date", "1977")]) == ({"date": "1977"}, False)


def test_a_value_that_is_too_long_is_cut_and_marked() -> None:
    found, truncated = clean.tags([("title", "x" * (clean.MAX_VALUE_LENGTH + 1))])
    assert found == {"title": "x" * clean.MAX_VALUE_LENGTH}
    assert truncated


def test_values_that_are_too_much_together_are_cut_and_marked() -> None:
    pairs = [(f"name{number}", "x" * clean.MAX_VALUE_LENGTH) for number in range(40)]
    found, truncated = clean.tags(pairs)
    assert sum(map(len, found.values())) == clean.MAX_TOTAL_LENGTH
    assert truncated
    assert list(found) == [name for name, _ in pairs[: len(found)]]


@pytest.mark.parametrize(
    ("raw", "flag"), [("1", "1"), ("True", "1"), ("no", "0"), ("FALSE", "0"), ("maybe", "maybe")]
)
def test_a_flag_is_one_or_nought_whatever_the_format_writes(raw: str, flag: str) -> None:
    assert clean.tags([("compilation", raw), ("title", raw)]) == ({"compilation": flag, "title": raw}, False)


@pytest.mark.parametrize("unknown", [None, 0, 0.0, -1, math.nan, math.inf, 1e300, "44100", 0.0001])
def test_what_is_no_usable_number_is_unknown(unknown: object) -> None:
    assert clean.seconds(unknown) is None
    assert clean.whole(unknown) is None


def test_durations_are_rounded_to_milliseconds_and_rates_to_whole_numbers() -> None:
    assert clean.seconds(180.50049) == 180.5
    assert clean.whole(68983.7) == 68984
    assert isinstance(clean.whole(68983.7), int)
