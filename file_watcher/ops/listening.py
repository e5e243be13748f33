"""Hears the log beside the stream that it goes to: each line of ours, as values, for whoever keeps them.

Owns no thread. A line is made plain (no secrets, nothing that JSON cannot hold) on the thread that logs; what
hears it must return at once and must not raise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import structlog

from file_watcher.ops.log import OWN_LOGGERS, redact_fields, traceback_text
from file_watcher.ops.sanitize import Plain

_UNKNOWN_EVENT: Final = "log_line_unreadable"
_MARKS: Final = ("logger", "level", "timestamp")
"""What every line has, and is said otherwise here."""


@dataclass(frozen=True, slots=True)
class HeardLine:
    """One line. `level` is a word of structlog's such as `warning`; `fields` hold all that the line says else."""

    created_ns: int
    level: str
    event: str
    fields: Mapping[str, Plain]


class Listener:
    """Hears our loggers' lines from a level on, between `begin` and `end`.

    Lines below LOG_LEVEL are heard, too, and do not reach the stream. What the thread called `deaf_to` logs is
    not heard, so that whoever keeps lines does not keep what it says of itself for ever and ever.
    """

    def __init__(
        self,
        hear: Callable[[HeardLine], None],
        level: str,
        deaf_to: str,
        wants: Callable[[], bool] = lambda: True,
    ) -> None:
        """`level` is `warning` or another of logging's; `wants()` spares the work for lines nobody has room for."""
        self._handler = _Hearing(hear, wants, deaf_to)
        self._level = level
        self._before: int | None = None

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Hear lines from now on."""
        logger = logging.getLogger(OWN_LOGGERS)
        self._before = logger.level
        logger.addHandler(self._handler)
        self.listen_from(self._level)

    def listen_from(self, level: str) -> None:
        """Hear lines from another level on; changes nothing of what the stream gets."""
        self._level = level
        self._handler.setLevel(level.upper())
        if self._before is not None:
            # What nobody set (0) is the root's business: an own level would hide what that lets through.
            lowest = min(self._before, self._handler.level) if self._before else 0
            logging.getLogger(OWN_LOGGERS).setLevel(lowest)

    def end(self) -> None:
        """Hear nothing more. A second call does nothing."""
        logger = logging.getLogger(OWN_LOGGERS)
        logger.removeHandler(self._handler)
        if self._before is not None:
            logger.setLevel(self._before)
        self._before = None


class _Hearing(logging.Handler):
    def __init__(self, hear: Callable[[HeardLine], None], wants: Callable[[], bool], deaf_to: str) -> None:
        super().__init__()
        self._hear = hear
        self._wants = wants
        self._deaf_to = deaf_to

    def emit(self, record: logging.LogRecord) -> None:
        # The current thread, not the record's: a name that is asked for costs nothing where none is kept.
        if threading.current_thread().name != self._deaf_to and self._wants():
            self._hear(_line_of(record))


def _line_of(record: logging.LogRecord) -> HeardLine:
    created_ns = int(record.created * 1e9)
    try:
        fields = _fields_of(record)
    except Exception as exc:
        # A line that cannot be shown is told as such, as it is in the stream.
        return HeardLine(
            created_ns, "warning", _UNKNOWN_EVENT, {"source": record.name, "error": type(exc).__name__}
        )
    event = str(fields.pop("event", ""))
    return HeardLine(created_ns, record.levelname.lower(), event, fields)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    if isinstance(record.msg, Mapping):
        fields = {key: value for key, value in record.msg.items() if key not in _MARKS}
    else:  # not through structlog
        fields = {"event": record.getMessage(), "exc_info": record.exc_info}
    rendered = _RENDER_EXCEPTION(None, "", fields)
    return dict(redact_fields(None, "", rendered))


_RENDER_EXCEPTION: Final = structlog.processors.ExceptionRenderer(traceback_text)
