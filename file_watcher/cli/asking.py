"""`sync`, `scan` and `approve`: ask the running service through its catalog, and wait for the answer.

Everything runs on the caller's thread; the display of a wait has a thread of rich's own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.folding import folded
from file_watcher.cli.options import Given
from file_watcher.cli.progress import showing_wait
from file_watcher.cli.waiting import Explanation
from file_watcher.errors import FileWatcherError, RetryableError, UsageError
from file_watcher.ops.sanitize import escape_in_json
from file_watcher.settings import Settings

if TYPE_CHECKING:
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.requests import Request
    from file_watcher.cli.catalogs import Running

_LOOK_SECONDS: Final = 1.0
"""How often a wait looks whether the service still runs, and how much is left to send."""
_APPROVE_SECONDS: Final = 30.0
_A_DAY: Final = 86_400.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of words.")]


class TooSlow(RetryableError):
    """The service did not answer within the time that was given; it goes on nevertheless."""


def sync(
    given: Given,
    *,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait.")] = 60.0,
    as_json: AsJson = False,
) -> int:
    """Wait until all that has happened so far is published and confirmed.

    A barrier for scripts: what was done in a library before the call has reached the broker after it. Exit
    code 1 where that cannot be said of a library, since it is suspended.
    """
    settings = given.load().settings
    result = ask(settings, "sync", {}, timeout, "waiting until everything is confirmed")
    suspended = result.get("suspended") or {}
    if as_json:
        print_json({"confirmed": not suspended, **result})
    else:
        where = " in all other libraries" if suspended else ""
        typer.echo(f"All that happened before{where} is confirmed ({in_seconds(result.get('seconds'))}).")
    for name, reason in suspended.items():
        complain(f"library {name} is suspended, so what happened there is not told yet: {reason}")
    return WRONG if suspended else FINE


def scan(
    given: Given,
    *,
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait.")] = _A_DAY,
    as_json: AsJson = False,
) -> int:
    """Compare disk and catalog now, and wait for the result.

    Differences are looked at and told like any other change; `sync` waits for that.
    """
    settings = given.load().settings
    result = ask(settings, "scan", {}, timeout, "comparing disk and catalog")
    if as_json:
        print_json(result)
    else:
        typer.echo(_scanned(result))
    return WRONG if _complain_of_rest(result) else FINE


def approve(
    given: Given,
    library: Annotated[str, typer.Argument(metavar="LIBRARY", help="Its name, as `status` shows it.")],
    *,
    as_json: AsJson = False,
) -> int:
    """Let a suspended library go on: what is missing from it was meant to be deleted."""
    settings = given.load().settings
    try:
        ask(settings, "approve", {"library": library}, _APPROVE_SECONDS, "asking the service")
    except Refused as exc:
        raise UsageError(f"{exc}; `status` lists the libraries") from exc
    if as_json:
        print_json({"approved": library})
        return FINE
    words = f"Library {library} is approved: it goes on, and what is gone from it is told as deleted."
    typer.echo(folded(words, sys.stdout, indent=2))
    return FINE


class Refused(FileWatcherError):
    """The service answered that it cannot do it; `misuse` says that asking again would not help."""

    def __init__(self, reason: str, *, misuse: bool) -> None:
        super().__init__(f"The service answered: {reason}")
        self.reason = reason
        self.misuse = misuse


def ask(
    settings: Settings, kind: str, arguments: Mapping[str, Any], timeout: float, doing: str
) -> Mapping[str, Any]:
    """The service's answer. Raises NoService, TooSlow, Refused or what the catalog raises."""
    from file_watcher.catalog.requests import Requests
    from file_watcher.cli.catalogs import find_running, open_catalog

    with open_catalog(settings) as database:
        running = find_running(database, settings)
        requests = Requests(database, running.instance_id)
        number = requests.ask(kind, arguments)
        with showing_wait(doing) as show:
            tell = _explaining(show, kind, running) if kind == "sync" else show
            request = _wait(database, settings, running, lambda s: requests.wait(number, s), timeout, tell)
        if not request.is_finished:
            raise TooSlow(_too_slow(database, running, kind, timeout))
    result = request.result or {}
    if request.state == "failed":
        raise Refused(str(result.get("error", "it failed")), misuse=bool(result.get("misuse")))
    return result


def _explaining(show: Callable[[int], None], kind: str, running: Running) -> Callable[[int], None]:
    """Shows the same, and says once what holds up a long wait; for what waits for the broker too."""
    explanation = Explanation(kind, running.instance)

    def tell(waiting: int) -> None:
        show(waiting)
        explanation.look()

    return tell


def _wait(
    database: Database,
    settings: Settings,
    running: Running,
    wait: Callable[[float], Request],
    timeout: float,
    show: Callable[[int], None],
) -> Request:
    from file_watcher.catalog.overview import waiting
    from file_watcher.cli.catalogs import NoService, is_running

    deadline = time.monotonic() + timeout
    while True:
        request = wait(min(_LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
        if request.is_finished or time.monotonic() >= deadline:
            return request
        if not is_running(database, settings, running):
            raise NoService(
                f"The service ({running.name}) ended before it answered; start it again, then ask again"
            )
        show(waiting(database))


def _too_slow(database: Database, running: Running, kind: str, timeout: float) -> str:
    """What is still waited for, as far as catalog and service tell."""
    from file_watcher.catalog.overview import waiting
    from file_watcher.cli.pages import reasons_against

    held_up = [f"{waiting(database)} messages wait to be confirmed", *reasons_against(running.instance)]
    return f"{kind} was not done after {timeout:g} s, and goes on: {'; '.join(held_up)}"


def _scanned(result: Mapping[str, Any]) -> str:
    differences = [f"{result.get(key, 0)} {key}" for key in ("new", "changed", "missing")]
    libraries = result.get("libraries", 0)
    return (
        f"{result.get('files', 0)} files in {libraries} {'library' if libraries == 1 else 'libraries'}: "
        f"{', '.join(differences)} ({in_seconds(result.get('seconds'))})."
    )


def _complain_of_rest(result: Mapping[str, Any]) -> bool:
    """Say what was not compared; whether there is any of it."""
    unlisted, suspended = result.get("unlisted"), result.get("suspended") or {}
    if unlisted:
        complain(
            f"{unlisted} folders could not be listed: nothing below them was compared (the log names them)"
        )
    for name, reason in suspended.items():
        complain(f"library {name} is suspended, so it was not compared: {reason}")
    return bool(unlisted or suspended)


def in_seconds(value: object) -> str:
    """How long the service says that it took."""
    return f"{value:.1f} s" if isinstance(value, int | float) else "done"


def print_json(document: Mapping[str, Any]) -> None:
    """One line on standard output."""
    typer.echo(escape_in_json(json.dumps(document, ensure_ascii=False)))
