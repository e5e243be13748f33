"""`consume`: subscribe to the events, or to the jobs, and print them.

Everything runs on the caller's thread but the signals (see `signals`). Other than the service's own lines,
what is printed here waits for a reader that is slow, and ends quietly when the reader is gone.
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from file_watcher.cli.endings import FINE
from file_watcher.cli.options import Given
from file_watcher.cli.signals import Signals
from file_watcher.errors import BrokerUnavailable, PermanentError, UsageError
from file_watcher.ops.log import is_terminal, wants_color
from file_watcher.ops.sanitize import escape_in_json
from file_watcher.settings import Settings

if TYPE_CHECKING:
    from file_watcher.publishing.consume import Properties

_UNCUT: Final = 100_000
"""Columns where no terminal limits them: a line for another program is whole."""


_Keys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ROUTING_KEY]...",
        help="Such as file.created or file.*, or of jobs maintenance.#; without one, all.",
        show_default=False,
    ),
]
_Queue = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Take messages out of this queue, instead of copies of new ones."),
]
_Jobs = Annotated[bool, typer.Option("--jobs", help="Subscribe to jobs instead of events.")]
_Count = Annotated[int | None, typer.Option(min=1, metavar="N", help="End after so many messages.")]
_Lines = Annotated[bool, typer.Option("--json", help="Print each message as one line of JSON.")]


def consume(
    given: Given,
    routing_keys: _Keys = None,
    *,
    jobs: _Jobs = False,
    queue: _Queue = None,
    count: _Count = None,
    as_json: _Lines = False,
) -> int:
    """Subscribe to events, or jobs, and print them, until Ctrl-C."""
    from file_watcher.part_configs import broker_config
    from file_watcher.publishing.consume import consume as subscribe

    if queue is not None and routing_keys:
        raise UsageError("A named queue is read as it is bound: leave out the routing keys, or --queue")
    if queue is not None and jobs:
        raise UsageError(
            "A named queue is read whatever is in it, jobs as well: leave out --jobs, or --queue"
        )
    settings = given.load().settings
    config = broker_config(settings)
    stop = threading.Event()
    show = _as_json if as_json else _as_line
    keys = routing_keys or ["#"]

    def on_message(_key: str, body: bytes, _properties: Properties) -> None:
        sys.stdout.write(show(body))
        sys.stdout.flush()

    with Signals(stop.set), _hinting(settings):
        source = (
            f"queue {queue}" if queue is not None else f"{'jobs' if jobs else 'events'} {', '.join(keys)}"
        )
        said = _said(source, config.endpoint)
        subscribe(config, keys, queue, on_message, stop, count, jobs=jobs, on_subscribed=said)
    return FINE


@contextmanager
def _hinting(settings: Settings) -> Iterator[None]:
    """Adds to what is wrong with the broker that a running service uses another one, where it does."""
    from file_watcher.cli.in_use import hint_of_other_broker

    try:
        yield
    except (BrokerUnavailable, PermanentError) as exc:
        hint = hint_of_other_broker(settings)
        if hint is None:
            raise
        raise type(exc)(f"{exc}; {hint}") from exc


def _said(source: str, where: object) -> Callable[[], None]:
    """Tells a person on a terminal that the wait for messages has begun."""

    def say() -> None:
        if is_terminal(sys.stderr):
            typer.echo(f"Waiting for {source} at {where}; Ctrl-C stops", err=True)

    return say


def _as_json(body: bytes) -> str:
    """The message on one line; what is no JSON is told as such."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = {"error": f"a message of {len(body)} bytes that is no JSON"}
    return escape_in_json(json.dumps(document, ensure_ascii=False, separators=(",", ":"))) + "\n"


def _as_line(body: bytes) -> str:
    from file_watcher.ops.terminal import EventPrinter

    columns = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else _UNCUT
    line = io.StringIO()
    EventPrinter(line, wants_color(sys.stdout), columns=columns).event(body)
    return line.getvalue()
