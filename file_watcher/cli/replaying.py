"""`replay`: let the running service tell again what it knows, to all consumers or into one queue.

Everything runs on the caller's thread; the display of a wait has a thread of rich's own.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from file_watcher.cli.asking import AsJson, Refused, TooSlow, ask, in_seconds, print_json, showing_wait
from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.options import Given
from file_watcher.errors import BrokerUnavailable, PermanentError, UsageError
from file_watcher.lifecycle import Deadline
from file_watcher.settings import Settings
from file_watcher.settings.quantities import read_duration

_A_DAY: Final = 86_400.0
_LOOK_SECONDS: Final = 0.5
"""Between two looks at what is still to be confirmed; each counts it."""
_LONGEST_NAME: Final = 255
"""Bytes of a queue's name: a short string of AMQP 0-9-1."""


def replay(
    given: Given,
    library: Annotated[
        str | None,
        typer.Argument(
            metavar="LIBRARY", help="Its name, as `status` shows it; without one, all.", show_default=False
        ),
    ] = None,
    *,
    path: Annotated[
        str | None,
        typer.Option("--path", metavar="PREFIX", help="Only this file, or what lies below this folder."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|DURATION",
            help="Only what was told of since then: `2026-01-31T12:00`, or `2h` ago. Nothing tells what has gone.",
        ),
    ] = None,
    queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only into this queue; without one, to the exchange."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the broker has confirmed all of it.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait at most.")
    ] = _A_DAY,
    as_json: AsJson = False,
) -> int:
    """Tell again what the catalog knows: a snapshot, between what was told before and what will be.

    For a consumer that starts late, or that has lost count: bind its queue first, then replay into it.
    """
    from file_watcher.snapshots import Wish

    settings = given.load().settings
    wish = Wish(library, _ways_to(path), None if since is None else since_ns(since, time.time()), queue)
    if queue is not None:
        _look_for(queue, settings)
    deadline = Deadline(timeout)
    try:
        answer = ask(settings, "replay", wish.arguments(), timeout, "enqueuing")
    except Refused as exc:
        if exc.misuse:
            raise UsageError(exc.reason) from exc
        raise
    if not as_json:
        _print(answer)
    unrouted = _confirmed(settings, answer["snapshots"], deadline, timeout) if wait else 0
    if as_json:
        print_json({**answer, "confirmed": wait, "unrouted": unrouted if wait else None})
    elif wait and not unrouted:
        typer.echo("All of it is confirmed.")
    if unrouted:
        complain(f"{unrouted} of the messages reached no queue: {_why_unrouted(queue)}")
        return WRONG
    return FINE


def since_ns(text: str, now: float) -> int:
    """The moment in ns since the epoch; `now` in seconds since then. Raises UsageError.

    Without a zone it is the local one. A number needs a unit: 2026 is no number of seconds.
    """
    moment = _moment(text.strip(), now)
    if moment is None:
        raise UsageError(
            f"--since {text!r} is neither a time nor a duration; such as 2026-01-31, 2026-01-31T12:00Z, 90m or 7d"
        )
    if moment > now:
        raise UsageError(
            f"--since {text!r} lies in the future, so nothing has changed since; give a time before now"
        )
    return int(moment * 1e9)


def _moment(text: str, now: float) -> float | None:
    try:
        if text[-1:].isalpha() and text[-1:] != "Z":
            return now - read_duration(text)
        # The short form 20260131 would be taken for seconds by most who read it.
        return dt.datetime.fromisoformat(text).astimezone().timestamp() if "-" in text else None
    except (ValueError, OverflowError, OSError):  # beyond the years that the platform's clock can show
        return None


def _ways_to(path: str | None) -> tuple[bytes, ...]:
    """As it was written and as it really is: libraries have real paths, but links may lead on inside of them."""
    if path is None:
        return ()
    if not path or "\0" in path:
        raise UsageError(f"--path {path!r} is no path; give a file or a folder inside of a library")
    return os.fsencode(os.path.abspath(path)), os.fsencode(os.path.realpath(path))


def _look_for(queue: str, settings: Settings) -> None:
    """Nobody would get what is sent to a queue that is not there. Raises UsageError where that is so."""
    from file_watcher.assembly import broker_config
    from file_watcher.publishing.consume import has_queue

    if not 0 < len(os.fsencode(queue)) <= _LONGEST_NAME:
        raise UsageError(f"--queue takes a name of 1 to {_LONGEST_NAME} bytes")
    config = broker_config(settings)
    try:
        found = has_queue(config, queue)
    except (BrokerUnavailable, PermanentError) as exc:
        complain(f"Whether there is a queue {queue} could not be seen: {exc}")
        return
    if not found:
        raise UsageError(
            f"RabbitMQ at {config.endpoint} has no queue {queue!r}: create it first, and bind it to the exchange "
            "if it is to get what changes later"
        )


def _confirmed(
    settings: Settings, snapshots: list[Mapping[str, Any]], deadline: Deadline, timeout: float
) -> int:
    """Wait until the broker took charge of all of it; returns how many messages reached no queue."""
    from file_watcher.catalog.snapshot import Confirmation
    from file_watcher.cli.catalogs import NoService, find_running, is_running, open_catalog

    pause = threading.Event().wait
    with open_catalog(settings) as database, showing_wait("waiting until it is confirmed") as show:
        running = find_running(database, settings)
        parts = [Confirmation(database, each["first"], each["last"]) for each in snapshots]
        while waiting := sum(part.waiting() for part in parts):
            if not deadline.remaining():
                raise TooSlow(
                    f"{waiting} messages were not confirmed after {timeout:g} s; they stay enqueued"
                )
            if not is_running(database, settings, running):
                raise NoService(
                    f"The service ({running.name}) ended; {waiting} messages stay enqueued, and are sent when it "
                    "runs again"
                )
            show(waiting)
            pause(min(_LOOK_SECONDS, deadline.remaining()))
        return sum(part.unrouted() for part in parts)


def _print(answer: Mapping[str, Any]) -> None:
    for each in answer["snapshots"]:
        files = "1 file" if each["files"] == 1 else f"{each['files']:,} files"
        typer.echo(f"Snapshot {each['snapshot']} of library {each['library']}: {files} enqueued")
        if each["suspended"]:
            typer.echo(f"  ! The library is suspended: this is what it held before ({each['suspended']})")
    typer.echo(f"Enqueued in {in_seconds(answer.get('seconds'))}")


def _why_unrouted(queue: str | None) -> str:
    if queue is None:
        return "none is bound to the exchange for them; bind one, then replay again"
    return f"there is no queue {queue} any more; create it, then replay again"
