"""Lets what mutagen knew of a file before it came to a damaged place be kept. Used by most readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO


def parse_partly(kind: type[Any], file: BinaryIO, take: Callable[[Any], None]) -> None:
    """Parse the file as one of mutagen's kinds, and let `take` have the object even where that fails.

    What was not come to is missing from it, or None. Raises whatever the parser lets escape.
    """
    # Its constructor would parse, too, and give nothing back.
    parsed: Any = object.__new__(kind)
    try:
        parsed.load(file)
    except MemoryError:
        raise
    except Exception:
        take(parsed)
        raise
    take(parsed)
