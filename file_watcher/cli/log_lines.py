"""`log`: what the services logged into the database. Owns no thread but that of `signals` while it follows."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, complain
from file_watcher.cli.figures import utc_text
from file_watcher.cli.library_choice import completed
from file_watcher.cli.narrowing import Newest, Since, how_many, since_ns
from file_watcher.cli.options import Given
from file_watcher.cli.signals import Signals
from file_watcher.errors import CatalogUnavailable, UsageError
from file_watcher.ops.log import CONTINUED, console_value, indented, wants_color
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json
from file_watcher.ops.terminal import columns_of, fold_line

if TYPE_CHECKING:
    from file_watcher.catalog.journal import LinesWanted, LogLine, LogLines

_ALL: Final = 1_000_000
_LOOK_SECONDS: Final = 0.5
_NOTHING: Final = "Nothing was found: nothing went wrong yet, or nothing is as the options ask for."
_WORDS: Final = ("info", "warning", "error", "critical")
_COLORS: Final = {"warning": "33", "error": "31", "critical": "1;31"}
"""SGR parameters (ECMA-48, section 8.3.117)."""
_BLOCKS: Final = ("stack_info", "exception")
"""Fields of several lines."""

_Level = Annotated[
    str | None,
    typer.Option(
        metavar="WORD",
        help="Only lines of this level, and worse ones: info, warning, error or critical.",
        autocompletion=lambda incomplete: [word for word in _WORDS if word.startswith(incomplete)],
    ),
]
_Event = Annotated[
    str | None, typer.Option("--event", metavar="TEXT", help="Only where the event's name holds this.")
]
_Library = Annotated[
    str | None,
    typer.Option("--library", metavar="NAME", help="Only about this library.", autocompletion=completed),
]
_Instance = Annotated[str | None, typer.Option("--of", metavar="INSTANCE", help="Only of this instance.")]
_Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on, until Ctrl-C.")
]


def log(
    given: Given,
    *,
    level: _Level = None,
    event: _Event = None,
    library: _Library = None,
    instance: _Instance = None,
    since: Since = None,
    newest: Newest = None,
    follow: _Follow = False,
    as_json: AsJson = False,
) -> int:
    """Show what the services logged: warnings and errors of all instances, oldest first.

    With `file_watch.log_to_database` set to info, all the rest as well.
    """
    from file_watcher.catalog.journal import LinesWanted, LogLines
    from file_watcher.cli.catalogs import read_catalog

    settings = given.load().settings
    since_when = None if since is None else since_ns(since, time.time())
    wanted = LinesWanted(_level(level), event, library, instance, since_when)
    show = _as_json if as_json else LineForPeople(wants_color(sys.stdout), columns_of(sys.stdout))
    with read_catalog(settings) as database:
        lines = LogLines(database)
        following = Following(lines, wanted)
        count = how_many(newest, since)
        found = lines.newest(wanted, count or _ALL)
        _print(found, show)
        if follow:
            following.skip(found)
            _follow(following, show)
        elif not (found or as_json):
            typer.echo(_NOTHING, err=True)
    return FINE


class Following:
    """Finds what is written from now on, each line once.

    A line may be seen after one with a higher number, where several instances write: so a few numbers are looked
    at again.
    """

    def __init__(self, lines: LogLines, wanted: LinesWanted) -> None:
        self._lines = lines
        self._wanted = wanted
        self._first = self._last = lines.last()
        self._seen: set[int] = set()

    def skip(self, shown: Iterable[LogLine]) -> None:
        """These need not be found."""
        self._seen.update(line.id for line in shown)

    def new(self) -> Iterator[LogLine]:
        """What was written since the last look. Raises CatalogUnavailable or CatalogError; nothing is lost then."""
        for line in self._lines.after(max(self._first, self._last - _OVERLAP), self._wanted):
            if line.id not in self._seen:
                self._seen.add(line.id)
                self._last = max(self._last, line.id)
                yield line
        self._seen = {number for number in self._seen if number > self._last - _OVERLAP}


_OVERLAP: Final = 2_000
"""Numbers: what some instances write in a moment."""


def _follow(following: Following, show: Callable[[LogLine], str]) -> None:
    stop = threading.Event()
    is_away = False
    with Signals(stop.set):
        while not stop.wait(_LOOK_SECONDS):
            try:
                _print(following.new(), show)
            except CatalogUnavailable as exc:
                if not is_away:
                    complain(f"{exc} It is tried again until it answers; Ctrl-C stops.")
                is_away = True
            else:
                is_away = False


class LineForPeople:
    """`01-31 12:00:00 warning  host-1  broker_unreachable  host=localhost`, then tracebacks, indented.

    Nothing in a line is obeyed by a terminal, or can pass for another line.
    """

    def __init__(self, color: bool, columns: int = 0) -> None:
        """`columns` of the terminal, beyond which a line goes on in the next one; 0: never."""
        self._color = color
        self._columns = columns

    def __call__(self, line: LogLine) -> str:
        moment = dt.datetime.fromtimestamp(line.created_ns // 10**9, dt.UTC).astimezone()
        level = self._painted(f"{escape_for_terminal(line.level):<8}", _COLORS.get(line.level))
        fields = dict(line.fields)
        blocks = [fields.pop(name, None) for name in _BLOCKS]
        pairs = " ".join(
            f"{escape_for_terminal(key)}={console_value(value)}" for key, value in fields.items()
        )
        head = f"{moment:%m-%d %H:%M:%S} {level} {escape_for_terminal(line.instance_id)}"
        told = f"{head}  {escape_for_terminal(line.event)}  {pairs}".rstrip()
        return fold_line(told, self._columns, CONTINUED) + "".join(
            indented(str(block)) for block in blocks if block
        )

    def _painted(self, text: str, parameters: str | None) -> str:
        return f"\x1b[{parameters}m{text}\x1b[0m" if self._color and parameters else text


def _as_json(line: LogLine) -> str:
    return escape_in_json(json.dumps(document(line), ensure_ascii=False, separators=(",", ":")))


def document(line: LogLine) -> Mapping[str, Any]:
    """A line for programs."""
    return {
        "id": line.id,
        "time": utc_text(line.created_ns),
        "level": line.level,
        "event": line.event,
        "instance_id": line.instance_id,
        "library": line.library,
        "fields": dict(line.fields),
    }


def _print(lines: Iterable[LogLine], show: Callable[[LogLine], str]) -> None:
    for line in lines:
        sys.stdout.write(f"{show(line)}\n")
    sys.stdout.flush()


def _level(given: str | None) -> str | None:
    word = None if given is None else given.strip().lower()
    if word is not None and word not in _WORDS:
        raise UsageError(f"--level {given!r} is no level; there are: {', '.join(_WORDS)}")
    return word
