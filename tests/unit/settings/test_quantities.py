"""Durations, sizes, rates, shares and switches, as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.settings.quantities import (
    TEN_YEARS,
    is_off,
    or_off,
    read_boolean,
    read_duration,
    read_loss_guard,
    read_number,
    read_retention,
    read_size,
    read_whole,
)

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("1s", 1),
        ("5m", 300),
        ("1h", 3_600),
        ("7d", 604_800),
        (" 2 S ", 2),
        ("1.5", 1.5),
        (".5h", 1_800),
    ],
)
def test_a_duration_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == pytest.approx(seconds)


@given(number=st.integers(0, 10**6), unit=st.sampled_from(sorted(SECONDS)))
def test_every_number_with_every_unit_is_a_duration(number: int, unit: str) -> None:
    assert read_duration(f"{number}{unit}") == pytest.approx(number * SECONDS[unit])


@given(st.floats(0, TEN_YEARS))
def test_what_was_read_once_is_read_again_the_same(seconds: float) -> None:
    assert read_duration(seconds) == seconds


@given(st.text(max_size=12))
def test_any_text_is_a_duration_of_finite_seconds_or_refused(text: str) -> None:
    try:
        seconds = read_duration(text)
    except ValueError:
        return
    assert math.isfinite(seconds)
    assert seconds >= 0


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s",
        "-1s",
        "1x",
        "1h30m",
        "nan",
        "inf",
        "1e3",
        "1,5s",
        "٣s",
        True,
        None,
        -1,
        math.nan,
        math.inf,
        [1],
    ],
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_duration(value)


def test_a_unit_that_is_not_known_is_answered_with_those_that_are() -> None:
    with pytest.raises(ValueError, match="ms, s, m, h, d"):
        read_duration("5 fortnights")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512_000_000),
        ("1GiB", 2**30),
        ("1.5kb", 1_500),
        ("64mib", 2**26),
        ("10", 10),
        (7, 7),
        ("3 B", 3),
    ],
)
def test_a_size_is_read_in_thousands_or_in_1024s(text: object, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("value", ["512M", "MB", "-1MB", "1s", True, None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_size(value)


@pytest.mark.parametrize("value", [True, 1, "1", "true", "YES", " on "])
def test_a_yes_is_read(value: object) -> None:
    assert read_boolean(value) is True


@pytest.mark.parametrize("value", [False, 0, "0", "False", "no", "OFF"])
def test_a_no_is_read(value: object) -> None:
    assert read_boolean(value) is False


@pytest.mark.parametrize("value", ["", "maybe", "2", 2, 1.0, None, "ja"])
def test_what_is_neither_yes_nor_no_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_boolean(value)


@pytest.mark.parametrize(("value", "number"), [("12", 12), (" -3 ", -3), ("1_000_000", 10**6), (5, 5)])
def test_a_whole_number_is_read(value: object, number: int) -> None:
    assert read_whole(value) == number


@pytest.mark.parametrize("value", ["", "1.5", 1.0, True, "1__0", "9" * 5_000, "1 0", "0x10", None])
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_whole(value)


def test_a_number_takes_no_unit() -> None:
    assert read_number("12.5") == 12.5
    with pytest.raises(ValueError, match="no unit"):
        read_number("12MB")


@pytest.mark.parametrize("value", ["off", "OFF", "0", "no", "false", 0, 0.0, False, None])
def test_off_has_several_spellings(value: object) -> None:
    assert is_off(value)
    assert or_off(read_duration)(value) is None


def test_what_is_not_off_is_read() -> None:
    assert or_off(read_duration)("10m") == 600


@pytest.mark.parametrize(
    ("value", "guard"),
    [
        ("50%", (0.5, 100)),
        ("12.5 %,20", (0.125, 20)),
        ("50% and 100 files", (0.5, 100)),
        (["25%", 7], (0.25, 7)),
        (0.3, (0.3, 100)),
        ((0.5, 100), (0.5, 100)),
    ],
)
def test_a_loss_guard_is_a_share_and_a_number_of_files(value: object, guard: tuple[float, int]) -> None:
    assert read_loss_guard(value) == pytest.approx(guard)


@pytest.mark.parametrize("value", ["50", "%", "50%,", "50%,x", "-5%", 50, ["50%"], [1, 2, 3]])
def test_what_is_no_loss_guard_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_loss_guard(value)


@pytest.mark.parametrize(
    ("value", "retention"),
    [("7d", (604_800, 10**6)), ("1h, 500", (3_600, 500)), (["2d", 9], (172_800, 9)), (60, (60, 10**6))],
)
def test_a_retention_is_a_duration_and_a_number_of_events(
    value: object, retention: tuple[float, int]
) -> None:
    assert read_retention(value) == retention
