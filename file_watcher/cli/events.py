"""`events`: what was recorded, and what became of it, out of the catalog alone.

Everything runs on the caller's thread but the signals (see `signals`). No service needs to run.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE, complain
from file_watcher.cli.library_choice import completed
from file_watcher.cli.narrowing import (
    Below,
    Newest,
    Since,
    chosen_libraries,
    how_many,
    intervals_of,
    since_ns,
    ways_to,
)
from file_watcher.cli.options import Given
from file_watcher.cli.signals import Signals
from file_watcher.errors import CatalogUnavailable, UsageError
from file_watcher.model import EventType

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.history import History, Told, Wanted

_LOOK_SECONDS: Final = 0.5
"""Between two looks at what is new; each is one question that an index answers."""
_NOTICES: Final = (
    *("library.suspended", "library.resumed", "library.scanned", "library.unwatched"),
    *("snapshot.begin", "snapshot.end"),
)
_TYPES: Final = (*(str(kind) for kind in EventType), *_NOTICES, "job")
_NOTHING: Final = "No event was found: none was recorded yet, or none is as the options ask for."
_STATES: Final = ("sent", "waiting", "unrouted")

_Library = Annotated[
    str | None,
    typer.Option(
        "--library",
        metavar="NAME",
        help="Only of this library, as `status` names it.",
        autocompletion=completed,
    ),
]
_Text = Annotated[
    str | None,
    typer.Option("--text", metavar="TEXT", help="Only where the path, or the old one, holds this text."),
]
_Types = Annotated[
    list[str] | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Only of this type, such as created; more than one with commas, or given again.",
        show_default=False,
        autocompletion=lambda incomplete: [word for word in _TYPES if word.startswith(incomplete)],
    ),
]
_State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="WORD",
        help="Only what was sent (the broker confirmed it), is waiting, or is unrouted (no queue wanted it).",
        autocompletion=lambda incomplete: [word for word in _STATES if word.startswith(incomplete)],
    ),
]
_Follow = Annotated[
    bool, typer.Option("--follow", "-f", help="Go on with what is recorded from now on, until Ctrl-C.")
]


def events(
    given: Given,
    *,
    library: _Library = None,
    types: _Types = None,
    path: Below = None,
    text: _Text = None,
    since: Since = None,
    state: _State = None,
    newest: Newest = None,
    follow: _Follow = False,
    as_json: AsJson = False,
) -> int:
    """Show what was told, and what still waits to be sent.

    Oldest first, one event a line. With --json each line holds the whole message, too.
    """
    from file_watcher.catalog.history import History
    from file_watcher.cli.catalogs import read_catalog
    from file_watcher.cli.event_lines import EventTable, as_json_line

    settings = given.load().settings
    within = intervals_of(ways_to(path)) if path is not None else ()
    since_when = None if since is None else since_ns(since, time.time())
    kinds, wanted_state = _types(types), _state(state)
    with read_catalog(settings) as database:
        wanted = replace(
            _wanted(database, library, kinds, within, since_when, wanted_state), text=text or None
        )
        history = History(database, wanted, with_bodies=as_json)
        count = how_many(newest, since)
        table = EventTable(sys.stdout)
        show: Callable[[Told], str] = as_json_line if as_json else table.line
        if not as_json:
            _write(table.heading())
        found = _show(history, count, show, follow=follow)
    if not (found or follow or as_json):
        typer.echo(_NOTHING, err=True)
    return FINE


def _wanted(
    database: Database,
    library: str | None,
    types: tuple[str, ...],
    within: tuple[tuple[bytes, bytes], ...],
    since: int | None,
    state: str | None,
) -> Wanted:
    from file_watcher.catalog.history import Wanted

    known = None if library is None else chosen_libraries(database, library)[0].library.id
    return Wanted(known, types, within, since, state)  # type: ignore[arg-type]  # one of the words, see `_state`


def _show(history: History, count: int, show: Callable[[Told], str], *, follow: bool) -> bool:
    """Whether there was anything to show."""
    last = history.last()
    start = history.start_of_newest(count, last) if count else history.start(last)
    found = _print(history.between(start, last), show)
    if follow:
        _follow(history, last, show)
    return found


def _follow(history: History, last: int, show: Callable[[Told], str]) -> None:
    stop = threading.Event()
    following, is_away = Following(history, last), False
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


class Following:
    """Finds what is recorded after a sequence.

    What waits still is held back for one look, and all behind it: mostly it is confirmed a moment later, and each
    event is shown but once.
    """

    def __init__(self, history: History, after: int) -> None:
        self._history = history
        self._after = after
        self._seen = after

    def new(self) -> list[Told]:
        """What is to be shown now. Raises CatalogUnavailable or CatalogError, after which nothing is lost."""
        last, after = self._history.last(), self._after
        ready: list[Told] = []
        for told in self._history.between(after, last):
            if told.state == "waiting" and told.sequence > self._seen:
                break
            ready.append(told)
            after = told.sequence
            if len(ready) == _MOST_AT_ONCE:
                break
        else:
            after = max(last, after)
        self._seen, self._after = last, after
        return ready


_MOST_AT_ONCE: Final = 1_000
"""Shown after one look; the others follow with the next one."""


def _print(found: Iterable[Told], show: Callable[[Told], str]) -> bool:
    any_found = False
    for told in found:
        _write(show(told))
        any_found = True
    sys.stdout.flush()
    return any_found


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _types(given: list[str] | None) -> tuple[str, ...]:
    """The types out of lists with commas; a routing key is understood, too."""
    words = [word.strip().removeprefix("file.") for text in given or () for word in text.split(",")]
    wrong = [word for word in words if word not in _TYPES]
    if wrong:
        raise UsageError(
            *(f"--type {word!r} is no type of event; there are: {', '.join(_TYPES)}" for word in wrong)
        )
    return tuple(dict.fromkeys(words))


def _state(given: str | None) -> str | None:
    if given is not None and given not in _STATES:
        raise UsageError(f"--state {given!r} is no state of an event; there are: {', '.join(_STATES)}")
    return given
