"""Reads single values of a rule: durations, rates, words out of a list. Pure; problems are gathered, not raised."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)?", re.ASCII)
_RATE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*/\s*(s|m|h|d)", re.ASCII)
_LONGEST_SHOWN: Final = 60


class Problems:
    """Lines that say what is wrong, each with where it stands. `found` holds what was added here and within."""

    def __init__(self, where: str = "", *outer: list[str]) -> None:
        self._where = where
        self._outer = outer
        self.found: list[str] = []

    def within(self, where: str) -> Problems:
        """The same for a part, whose lines are found here, too."""
        return Problems(f"{self._where}{where}: ", self.found, *self._outer)

    def add(self, problem: str) -> None:
        """Note a problem, and what would be accepted."""
        for found in (self.found, *self._outer):
            found.append(f"{self._where}{problem}")


def shown(value: Any) -> str:
    """The value as it was written, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def one_of(value: Any, which: str, words: Sequence[str], problems: Problems) -> str:
    """One of the words; the first where it is none of them."""
    if isinstance(value, str) and value in words:
        return value
    problems.add(f"{which} is {shown(value)}; accepted is {', '.join(words[:-1])} or {words[-1]}")
    return words[0]


def read_seconds(value: Any, which: str, most: float, problems: Problems) -> float:
    """Seconds out of `500ms`, `5s`, `1m`, `1h`, or a plain number; at most `most`."""
    seconds = _measure(value, _DURATION, 1.0)
    if seconds is not None and seconds <= most:
        return seconds
    problems.add(
        f"{which} is {shown(value)}; accepted is a duration such as 500ms, 5s or 1m, up to {most:g} s"
    )
    return 0.0


def read_rate(value: Any, problems: Problems) -> float | None:
    """Jobs a second out of a number or `10/m`; None for null."""
    if value is None or value == "off":
        return None
    rate = _number(value)
    if rate is None and isinstance(value, str) and (found := _RATE.fullmatch(value.strip())):
        rate = float(found[1]) / _SECONDS[found[2]]
    if rate:
        return rate
    problems.add(f"rate_limit is {shown(value)}; accepted are jobs a second, or such as 1/s, 10/m, 60/h")
    return None


def whole(value: Any) -> int | None:
    """A whole number above zero; None where it is none. A boolean is no number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _measure(value: Any, form: re.Pattern[str], unit: float) -> float | None:
    if (number := _number(value)) is not None:
        return number * unit
    found = form.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if found is None else float(found[1]) * _SECONDS[found[2] or "s"]


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and value >= 0 else None
