"""When a figure may be believed: a benchmark that measured nothing fails, and prints no number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Final

from tests.support.service import ServiceProcess

_BAD: Final = frozenset({"warning", "error", "critical"})
"""Levels at which the service says that something was not as it should be, and so not as it is measured."""


class Untrue(Exception):
    """What was measured is not what the row's name says."""


def require(holds: bool, otherwise: str) -> None:
    """Raise `Untrue` unless the condition holds; unlike assert, also with `python -O`."""
    if not holds:
        raise Untrue(otherwise)


def require_alive(service: ServiceProcess) -> bool:
    """True while the service runs; raises `Untrue` with the end of its log once it has ended by itself."""
    require(not has_ended(service), f"the service ended by itself:\n{service.tail()}")
    return True


def has_ended(service: ServiceProcess) -> bool:
    """Whether the process ended by itself."""
    return service.process is not None and service.process.poll() is not None


def require_clean_log(service: ServiceProcess) -> None:
    """Raise `Untrue` with the first complaints, where the service logged any."""
    complaints = list(_complaints(service.log.read_text(errors="replace").splitlines()))
    told = "\n".join(complaints[:5])
    require(not complaints, f"the service complained {len(complaints)} times while it was measured:\n{told}")


def _complaints(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a warning or worse, and lines that are no log at all: a traceback, a warning of Python's."""
    for line in lines:
        try:
            level = json.loads(line)["level"]
        except (ValueError, KeyError, TypeError):
            level = "error"
        if level in _BAD:
            yield line
