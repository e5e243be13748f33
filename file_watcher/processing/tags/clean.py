"""Makes what files claim fit to be published: text that every consumer can read, numbers that exist.

Pure functions. Unknown is None (for a number) or absent (for a tag), never 0 and never empty.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

MAX_VALUE_LENGTH: Final = 4096
"""Characters of one tag value; more is cut and marked. How many tags there are is bounded by `names`."""

MAX_TOTAL_LENGTH: Final = 1 << 16
"""Characters of all values together: at most 384 KiB as JSON, so that any file's message stays below 1 MiB
with its tags (`publishing.message`)."""

_LARGEST_EXACT: Final = 2.0**53
"""Above this a JSON number is no exact integer to most readers (RFC 8259, section 6)."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_NUMBERS: Final = frozenset({"track", "tracktotal", "disc", "disctotal", "bpm"})
_FLAGS: Final = {"true": "1", "yes": "1", "false": "0", "no": "0"}
_TOTALS: Final = (("track", "tracktotal"), ("disc", "disctotal"))


def seconds(value: object) -> float | None:
    """A duration rounded to milliseconds."""
    number = _finite(value)
    return None if number is None else round(number, 3) or None


def whole(value: object) -> int | None:
    """A rate or a count as a whole number."""
    number = _finite(value)
    return None if number is None else round(number) or None


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or not 0 < value < _LARGEST_EXACT or not math.isfinite(value):
        return None
    return float(value)


def text(value: str) -> str:
    """Without NUL (PostgreSQL refuses it) and lone surrogates (no valid UTF-8), trimmed."""
    if "\0" in value:
        value = value.replace("\0", "")
    if not value.isascii():
        value = _SURROGATES.sub("\ufffd", value)
    return value.strip()


def tags(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, str], bool]:
    """The first usable value of each name, and whether one had to be cut.

    `3/12` is split into `track` and `tracktotal` (likewise for discs); a date must begin with its year.
    """
    found: dict[str, str] = {}
    truncated = False
    room = MAX_TOTAL_LENGTH
    for name, raw in pairs:
        if name in found:
            continue
        value = _canonical(name, text(raw))
        if not value or not _is_plausible(name, value):
            continue
        if len(value) > (most := min(MAX_VALUE_LENGTH, room)):
            value = value[:most].rstrip()
            truncated = True
        if value:
            found[name] = value
            room -= len(value)
    for number, total in _TOTALS:
        _split_total(found, number, total)
    return found, truncated


def _canonical(name: str, value: str) -> str:
    """Flags are 1 and 0, whatever the format writes for them."""
    return _FLAGS.get(value.lower(), value) if name == "compilation" else value


def _is_plausible(name: str, value: str) -> bool:
    if name == "date":
        year = value[:4]
        return len(year) == 4 and year.isascii() and year.isdigit() and year != "0000"
    return name not in _NUMBERS or value.strip("0/ ") != ""


def _split_total(found: dict[str, str], number: str, total: str) -> None:
    left, slash, right = (part.strip() for part in found.get(number, "").partition("/"))
    if not slash or not (right.isdecimal() or not right):
        return
    found.pop(number)
    if left.strip("0"):
        found[number] = left
    if right.strip("0"):
        found.setdefault(total, right)
