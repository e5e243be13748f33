"""`library remove`: forget a library, once no service works on it any more. Runs on the caller's thread."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from file_watcher.cli.asking import AsJson
from file_watcher.cli.endings import FINE
from file_watcher.cli.figures import counted
from file_watcher.cli.library_catalog import Steered, refuse_foreign_origin, steered, tell
from file_watcher.cli.library_choice import Choice
from file_watcher.cli.options import Given
from file_watcher.errors import RetryableError, UsageError

if TYPE_CHECKING:
    from file_watcher.catalog.library_admin import Removed
    from file_watcher.catalog.steering import LibraryRow

_LET_GO_SECONDS: Final = 30.0
"""How long it is waited until the service has let go of the library, and told so."""
_LOOK_SECONDS: Final = 0.2


def remove(
    given: Given,
    chosen: Choice,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Unwatch it first, where it is watched.")] = False,
    as_json: AsJson = False,
) -> int:
    """Forget a library with all that the catalog knows of it. The files on the disk stay as they are.

    Its row in a table `libraries` that belongs to another application stays.
    """
    with steered(given) as desk:
        row = desk.choose(chosen)
        refuse_foreign_origin(row)
        if row.is_watched and not yes:
            raise UsageError(
                f"library {row.name!r} is watched: `library unwatch` it first, or say --yes to do both"
            )
        desk.admin.set_watched(row.id, is_watched=False)
        _wait_until_let_go(desk, row)
        removed = desk.admin.remove(row.id)
    tell(row.name, row.id, _removed_words(removed), as_json=as_json)
    return FINE


def _wait_until_let_go(desk: Steered, row: LibraryRow) -> None:
    """Until no service works on the library any more, and all that it told is sent. Raises RetryableError."""
    from file_watcher.cli.catalogs import all_live

    deadline, pause = time.monotonic() + _LET_GO_SECONDS, threading.Event()
    while True:
        is_served = bool(all_live(desk.database))
        if (reason := _why_held(desk, row, is_served=is_served)) is None:
            return
        if not is_served or time.monotonic() >= deadline:
            raise RetryableError(f"library {row.name!r} is unwatched, but not removed yet: {reason}")
        pause.wait(_LOOK_SECONDS)


def _why_held(desk: Steered, row: LibraryRow, *, is_served: bool) -> str | None:
    from file_watcher.catalog.overview import overview

    if waiting := desk.admin.waiting(row.id):
        what = "one message" if waiting == 1 else f"{waiting:,} messages"
        who = "when all are sent" if is_served else "when a service ran and has sent all"
        return f"{what} about it must still be sent; remove it again {who}"
    seen = {each.id: each for each in overview(desk.database).libraries}.get(row.id)
    if seen is None or seen.state in {None, "unwatched"} or not is_served:
        return None
    return "the service that runs still works on it; the log says why"


def _removed_words(removed: Removed) -> str:
    words = f"is forgotten, with {counted(removed.files, 'file')} and {counted(removed.events, 'event')}"
    if removed.row_stays:
        words += "; its row stays, since the table libraries belongs to another application"
    return words
