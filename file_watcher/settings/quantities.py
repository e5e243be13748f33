"""Reads numbers with a meaning: durations, sizes, rates, shares, yes and no.

Every reader takes what a variable, a database row (text) or a TOML file (text, number, boolean) gives,
and its own result again, so that a model can be built from either. A reader raises ValueError; what would
be accepted is said by the kind (`kinds`), so a message here only says what is special. Ranges are the
kinds' business too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

TEN_YEARS: Final = 10 * 365.25 * 86_400.0
"""Seconds. Longer durations are taken for slips of the pen."""
DEFAULT_LOSS_FILES: Final = 100
"""Files that must be gone, besides the share, before the loss guard acts (where only a share is given)."""
DEFAULT_RETAINED_EVENTS: Final = 1_000_000
"""Published events that are kept at most (where only a duration is given)."""

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_BYTES: Final = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_MEASURE: Final = re.compile(r"(\d{1,18}(?:\.\d{0,9})?|\.\d{1,9})\s*([a-z]*)", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d(?:_?\d){0,17}", re.ASCII)
_SHARE: Final = re.compile(
    r"(\d{1,3}(?:\.\d{1,6})?)\s*%(?:\s*(?:,|and)\s*(\d{1,12})(?:\s*files)?)?", re.ASCII
)
_YES: Final = frozenset({"true", "1", "yes", "on"})
_NO: Final = frozenset({"false", "0", "no", "off"})


def read_boolean(value: object) -> bool:
    """True or false out of a boolean, 0, 1 or one of the words for them."""
    word = str(value).strip().casefold() if isinstance(value, bool | int | str) else ""
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise ValueError


def read_whole(value: object) -> int:
    """A whole number; 1_000_000 is read as a million. A boolean is no number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value.strip())
    raise ValueError


def read_number(value: object) -> float:
    """A finite number of zero or more, without a unit."""
    return _measure(value, {})


def read_duration(value: object) -> float:
    """Seconds out of `500ms`, `1s`, `5m`, `1h`, `7d`; a plain number is seconds already."""
    return _measure(value, _SECONDS)


def read_size(value: object) -> int:
    """Bytes out of `512MB` (a thousand each), `1GiB` (1024 each); a plain number is bytes already."""
    return round(_measure(value, _BYTES))


def or_off(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """The reader, with `off`, false and zero meaning None."""

    def read_or_off(value: object) -> T | None:
        return None if is_off(value) else read(value)

    return read_or_off


def or_never(read: Callable[[object], T]) -> Callable[[object], T | None]:
    """The reader, with `off` and false meaning None; a zero is read, as it may well have meant "at once"."""

    def read_or_never(value: object) -> T | None:
        is_zero = value is not False and str(value).strip() == "0"
        return None if is_off(value) and not is_zero else read(value)

    return read_or_never


def is_off(value: object) -> bool:
    """Whether the value says that a thing is not wanted."""
    if isinstance(value, str):
        return value.strip().casefold() in _NO
    return value is None or (isinstance(value, bool | int | float) and value == 0)


def read_loss_guard(value: object) -> tuple[float, int]:
    """(share 0..1, files) out of `50%`, `50%,100`, `50% and 100 files`; both must be exceeded."""
    if isinstance(value, tuple | list) and len(value) == 2:
        share = value[0] if isinstance(value[0], float) else read_loss_guard(value[0])[0]
        return share, read_whole(value[1])
    if isinstance(value, str) and (match := _SHARE.fullmatch(value.strip().casefold())):
        return float(match[1]) / 100, int(match[2] or DEFAULT_LOSS_FILES)
    if isinstance(value, float):
        return value, DEFAULT_LOSS_FILES
    raise ValueError


def read_retention(value: object) -> tuple[float, int]:
    """(seconds, events) out of `7d` or `7d,1000000`; an event goes when it exceeds either."""
    if isinstance(value, str):
        duration, _, events = value.partition(",")
        return read_duration(duration), read_whole(events) if events else DEFAULT_RETAINED_EVENTS
    if isinstance(value, tuple | list) and len(value) == 2:
        return read_duration(value[0]), read_whole(value[1])
    return read_duration(value), DEFAULT_RETAINED_EVENTS


def _measure(value: object, units: dict[str, float] | dict[str, int]) -> float:
    """A finite, non-negative number times its unit; without a unit it counts as it stands."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError("it is not a number of zero or more")
        return float(value)
    match = _MEASURE.fullmatch(value.strip().casefold()) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    number, unit = float(match[1]), match[2]
    if unit and unit not in units:
        raise ValueError(f"its unit is none of {', '.join(units)}" if units else "it takes no unit")
    return number * units[unit] if unit else number
