"""`replay`: let the running service tell again what it knows, to all consumers or into one queue.

Everything runs on the caller's thread; the display of a wait has a thread of rich's own.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from file_watcher.cli.asking import AsJson, Refused, TooSlow, ask, in_seconds, print_json
from file_watcher.cli.endings import FINE, WRONG, complain
from file_watcher.cli.figures import counted
from file_watcher.cli.narrowing import Below, LibraryName, since_ns, ways_to
from file_watcher.cli.options import Given
from file_watcher.cli.progress import showing_wait
from file_watcher.cli.waiting import Explanation
from file_watcher.errors import BrokerUnavailable, PermanentError, UsageError
from file_watcher.lifecycle import Deadline
from file_watcher.ops.sanitize import escape_for_terminal
from file_watcher.settings import Settings

if TYPE_CHECKING:
    from file_watcher.snapshots import Wish

_A_DAY: Final = 86_400.0
_LOOK_SECONDS: Final = 0.5
"""Between two looks at what is still to be confirmed; each counts it."""
_LONGEST_NAME: Final = 255
"""Bytes of a queue's name: a short string of AMQP 0-9-1."""

_Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME|DURATION",
        help="Only what was told of since then: `2026-01-31T12:00`, or `2h` ago. Nothing tells what has gone.",
    ),
]
_Queue = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only into this queue; without one, to the exchange."),
]
_Wait = Annotated[bool, typer.Option("--wait", help="Wait until the broker has confirmed all of it.")]
_Timeout = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait at most.")]


def replay(
    given: Given,
    library: LibraryName = None,
    *,
    path: Below = None,
    since: _Since = None,
    queue: _Queue = None,
    wait: _Wait = False,
    timeout: _Timeout = _A_DAY,
    as_json: AsJson = False,
) -> int:
    """Tell again what the catalog knows: a snapshot, between what was told before and what will be.

    For a consumer that starts late, or that has lost count: bind its queue first, then replay into it.
    """
    from file_watcher.snapshots import Wish

    settings = given.load().settings
    wish = Wish(library, ways_to(path), None if since is None else since_ns(since, time.time()), queue)
    if queue is not None:
        _look_for(queue, settings)
    deadline = Deadline(timeout)
    answer = _asked(settings, wish, timeout)
    if not as_json:
        _print(answer)
    unrouted = _confirmed(settings, answer["snapshots"], deadline, timeout) if wait else None
    if as_json:
        print_json({**answer, "confirmed": wait, "unrouted": unrouted})
    elif unrouted == 0:
        typer.echo("All of it is confirmed.")
    if unrouted:
        complain(f"{unrouted} of the messages reached no queue: {_why_unrouted(queue)}")
        return WRONG
    return FINE


def _asked(settings: Settings, wish: Wish, timeout: float) -> Mapping[str, Any]:
    """The service's answer; what it takes for a misuse is one of ours."""
    try:
        return ask(settings, "replay", wish.arguments(), timeout, "enqueuing")
    except Refused as exc:
        if exc.misuse:
            raise UsageError(exc.reason) from exc
        raise


def _look_for(queue: str, settings: Settings) -> None:
    """Nobody would get what is sent to a queue that is not there. Raises UsageError where that is so."""
    from file_watcher.part_configs import broker_config
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
        explanation = Explanation("replay", running.instance)
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
            explanation.look()
            pause(min(_LOOK_SECONDS, deadline.remaining()))
        return sum(part.unrouted() for part in parts)


def _print(answer: Mapping[str, Any]) -> None:
    for each in answer["snapshots"]:
        files = counted(each["files"], "file")
        library = escape_for_terminal(each["library"])
        typer.echo(f"Snapshot {each['snapshot']} of library {library}: {files} enqueued")
        if each["suspended"]:
            typer.echo(f"  ! The library is suspended: this is what it held before ({each['suspended']})")
    typer.echo(f"Enqueued in {in_seconds(answer.get('seconds'))}")


def _why_unrouted(queue: str | None) -> str:
    if queue is None:
        return "none is bound to the exchange for them; bind one, then replay again"
    return f"there is no queue {queue} any more; create it, then replay again"
