"""How the service's log looks and where it goes; the libraries' logging takes the same way.

`configure` is called once, by the command that runs. Lines are written on the thread that logs; nothing
here owns a thread.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from file_watcher.errors import UsageError
from file_watcher.ops.lines import LineWriter
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json, plain, redact
from file_watcher.ops.terminal import columns_of, fold_line

LogFormat = Literal["console", "json", "auto"]

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

CONTINUED: Final = 9
"""Columns before what goes on from the line above: nothing there can pass for the time of another line."""

OWN_LOGGERS: Final = "file_watcher"
"""What the names of our own loggers begin with."""

_SELF_REPORTED: Final = ("pika", "psycopg")
"""Libraries that log every failed attempt with a traceback, of which our own code tells once in plain words."""

_FIRST_KEYS: Final = ("timestamp", "level", "event", "instance_id", "logger")

_LEVEL_COLORS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
"""SGR parameters (ECMA-48, section 8.3.117)."""


def configure(
    level: str, log_format: LogFormat, instance_id: str, stream: TextIO | None = None
) -> Literal["console", "json"]:
    """Send every log line of the process to `stream` (standard error) and say in which format.

    `auto` is console on a terminal and JSON elsewhere. Our own loggers log from `level`, those of
    libraries from WARNING. A stream that breaks later costs lines, never an exception; how many is told
    when it works again. Raises UsageError for a level that does not exist.
    """
    if level.upper() not in LEVELS:
        raise UsageError(f"LOG_LEVEL: {level!r} is no level; use one of {', '.join(LEVELS)}")
    target = sys.stderr if stream is None else stream
    chosen: Literal["console", "json"] = "json"
    if log_format == "console" or (log_format == "auto" and is_terminal(target)):
        chosen = "console"
    renderers = _json_chain(instance_id) if chosen == "json" else _console_chain(target)
    handler = _LineHandler(LineWriter(target))
    handler.setFormatter(_formatter(renderers))
    # Our loggers may be heard from a lower level on (see `listening`): the stream still begins at its own.
    handler.addFilter(_from_level(logging.getLevelNamesMapping()[level.upper()]))
    _route_standard_logging(level.upper(), handler)
    _route_structlog()
    return chosen


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at the stream. A closed stream is no terminal."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def wants_color(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Whether to colour: on a terminal that can, unless NO_COLOR is set (https://no-color.org).

    NO_COLOR and TERM are conventions of the terminal, no settings of ours; hence they are read here.
    """
    variables = os.environ if environ is None else environ
    return is_terminal(stream) and not variables.get("NO_COLOR") and variables.get("TERM") != "dumb"


def _route_standard_logging(level: str, handler: logging.Handler) -> None:
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _LineHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger(OWN_LOGGERS).setLevel(level)
    for name in _SELF_REPORTED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)


def _from_level(level: int) -> Callable[[logging.LogRecord], bool]:
    """Whether the stream gets a record: of ours from this level on, of libraries whatever comes."""
    return lambda record: record.levelno >= level or not record.name.startswith(OWN_LOGGERS)


def _route_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def _formatter(renderers: list[Processor]) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level],
        processors=[ProcessorFormatter.remove_processors_meta, *renderers],
    )


def _json_chain(instance_id: str) -> list[Processor]:
    def identify(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
        fields["instance_id"] = instance_id
        return fields

    return [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        identify,
        # Local variables may hold secrets and gigabytes.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
        redact_fields,
        _render_json,
    ]


def _console_chain(stream: TextIO) -> list[Processor]:
    return [structlog.processors.ExceptionRenderer(traceback_text), redact_fields, _ConsoleRenderer(stream)]


def redact_fields(_logger: WrappedLogger, _method: str, fields: EventDict) -> EventDict:
    """A structlog processor: what JSON can hold, without passwords (see `sanitize`)."""
    return {str(key): redact(plain(value), str(key)) for key, value in fields.items()}


def _render_json(_logger: WrappedLogger, _method: str, fields: EventDict) -> str:
    ordered = {key: fields.pop(key) for key in _FIRST_KEYS if key in fields} | dict(fields)
    return escape_in_json(json.dumps(ordered, ensure_ascii=False, allow_nan=False))


def traceback_text(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
) -> str:
    """The traceback as Python shows it, without local variables."""
    return "".join(traceback.format_exception(*exc_info))


class _ConsoleRenderer:
    """`12:00:00 warning  broker_unreachable  host=localhost port=5672`, then the traceback, indented.

    On a terminal a line that is too long goes on in the next one, indented, and broken between words.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._color = wants_color(stream)

    def __call__(self, _logger: WrappedLogger, _method: str, fields: EventDict) -> str:
        level = str(fields.pop("level", ""))
        event = escape_for_terminal(str(fields.pop("event", "")))
        logger = str(fields.pop("logger", ""))
        blocks = [fields.pop(name, None) for name in ("stack_info", "exception")]
        parts = [f"{time.strftime('%H:%M:%S')} {self._paint(level.ljust(8), _LEVEL_COLORS.get(level))}"]
        if not logger.startswith(OWN_LOGGERS):
            parts.append(f"[{escape_for_terminal(logger)}]")
        parts.append(f" {event}")
        if fields:
            parts.append(" " + " ".join(self._pair(key, value) for key, value in fields.items()))
        line = fold_line(" ".join(parts), columns_of(self._stream), CONTINUED)
        return line + "".join(indented(str(block)) for block in blocks if block)

    def _pair(self, key: str, value: Any) -> str:
        return self._paint(f"{escape_for_terminal(key)}=", "2") + console_value(value)

    def _paint(self, text: str, parameters: str | None) -> str:
        return f"\x1b[{parameters}m{text}\x1b[0m" if self._color and parameters else text


def console_value(value: Any) -> str:
    """Bare where nothing in it could be taken for the next key, else as JSON has it."""
    if isinstance(value, str) and value and not set(value) & set(" =\"'"):
        return escape_for_terminal(value)
    return escape_in_json(json.dumps(value, ensure_ascii=False))


def indented(block: str) -> str:
    """Every line set off, so that no text in a traceback can pass for a line of the log."""
    return "".join(f"\n    {escape_for_terminal(line)}" for line in block.rstrip("\n").split("\n"))


class _LineHandler(logging.Handler):
    """Writes formatted records, counts those that got lost and tells their number afterwards."""

    def __init__(self, writer: LineWriter) -> None:
        super().__init__()
        self._writer = writer
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        if self._lost and self._writer.write(self._own_line("log_lines_lost", count=self._lost)):
            self._lost = 0
        if not self._writer.write(self._line(record)):
            self._lost += 1

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as exc:
            # One record that cannot be shown (arguments that do not fit their format) is told as such.
            return self._own_line("log_line_unreadable", source=record.name, error=type(exc).__name__)

    def _own_line(self, event: str, **values: Any) -> str:
        fields = {"event": event, "level": "warning", "logger": __name__, **values}
        record = logging.makeLogRecord({"name": __name__, "levelno": logging.WARNING, "msg": fields})
        record.__dict__.update(_logger=None, _name="warning")  # the marks of a record made by structlog
        return self.format(record)
