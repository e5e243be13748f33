"""Numbers and times as people read them. Pure; owns no thread."""

from __future__ import annotations

import datetime as dt


def size_text(size: float) -> str:
    """Bytes, a thousand of them a kB, as makers of disks count."""
    scaled = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if scaled < 1000:
            return f"{scaled:.0f} {unit}" if unit == "B" else f"{scaled:.1f} {unit}"
        scaled /= 1000
    return f"{scaled:.1f} TB"


def duration_text(seconds: float) -> str:
    """Roughly how long, in the one unit that fits."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def utc_text(nanoseconds: int) -> str:
    """Nanoseconds since the epoch as RFC 3339 in UTC, to the second."""
    moment = dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC)
    return moment.isoformat().replace("+00:00", "Z")


def counted(number: int, word: str, plural: str | None = None) -> str:
    """`1 file`, `1,200 files`."""
    return f"{number:,} {word if number == 1 else plural or word + 's'}"
