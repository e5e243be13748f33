"""How a recorded event is shown: a line of a table for people, a line of JSON for programs. Owns no thread."""

from __future__ import annotations

import base64
import datetime as dt
import json
import shutil
from typing import Any, Final, TextIO

from file_watcher.catalog.history import Told
from file_watcher.cli.figures import utc_text
from file_watcher.model import display
from file_watcher.ops.log import is_terminal, wants_color
from file_watcher.ops.sanitize import escape_for_terminal, escape_in_json
from file_watcher.ops.terminal import cut_middle, display_width
from file_watcher.paths import inner

_COLORS: Final = {"waiting": "33", "unrouted": "31"}
"""SGR parameters (ECMA-48, section 8.3.117) of what was not sent."""
_UNCUT: Final = 100_000
"""Columns where no terminal limits them: a line for another program is whole."""
_LIBRARY_COLUMNS: Final = 10
_WHAT_COLUMNS: Final = 8 + 2 + _LIBRARY_COLUMNS
_ARROW: Final = " → "


class EventTable:
    """Lines of one width for a terminal, whole ones for anything else."""

    def __init__(self, stream: TextIO) -> None:
        self._is_terminal = is_terminal(stream)
        self._columns = shutil.get_terminal_size().columns if self._is_terminal else _UNCUT
        self._color = wants_color(stream)

    def heading(self) -> str:
        """The first line."""
        time = "TIME".ljust(len(self._time(0)))
        return f"{time}  {'STATE':<8}  {'EVENT':<8}  {'LIBRARY':<{_LIBRARY_COLUMNS}}  PATH"

    def line(self, told: Told) -> str:
        """One event. Control characters of names are shown, never obeyed."""
        state = told.state
        head = f"{self._time(told.created_ns)}  "
        library = escape_for_terminal(told.library or "")
        if self._is_terminal:
            library = cut_middle(library, _LIBRARY_COLUMNS)
        # The long names of notices take from the library's column, since theirs is mostly short.
        what = f"{told.event_type:<8}  {library}"
        tail = f"  {what}{' ' * (_WHAT_COLUMNS - display_width(what))}  "
        room = self._columns - display_width(head + tail) - 8
        painted = f"{state:<8}"
        if self._color and state in _COLORS:
            painted = f"\x1b[{_COLORS[state]}m{painted}\x1b[0m"
        return f"{head}{painted}{tail}{_subject(told, max(room, 8))}".rstrip()

    def _time(self, nanoseconds: int) -> str:
        """The local time; its year and zone only where there is room."""
        local = dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC).astimezone()
        return local.strftime("%m-%d %H:%M:%S") if self._is_terminal else local.isoformat()


def _subject(told: Told, room: int) -> str:
    root = None if told.root is None else display(inner(told.root.rstrip("/") + "/"))
    path = _below(root, told.path)
    note = "  (snapshot)" if told.snapshot is not None else ""
    room -= len(note)
    if told.old_path is None:
        return cut_middle(path, max(room, 1)) + note
    old = _below(root, told.old_path)
    if told.event_type == "renamed":
        path = path.rsplit(display(b"/"), 1)[-1]
    half = max((room - len(_ARROW)) // 2, 1)
    old = cut_middle(old, half + max(half - display_width(path), 0))
    return f"{old}{_ARROW}{cut_middle(path, max(room - len(_ARROW) - display_width(old), 1))}{note}"


def _below(root: str | None, path: bytes) -> str:
    text = display(path)
    if root is not None and len(text) > len(root):
        text = text.removeprefix(root)
    return escape_for_terminal(text)


def as_json_line(told: Told) -> str:
    """The event with all that is known of it, and the message as it goes over the wire (None where that is no JSON)."""
    document: dict[str, Any] = {
        "sequence": told.sequence,
        "state": told.state,
        "recorded": utc_text(told.created_ns),
        "confirmed": None if told.published_ns is None else utc_text(told.published_ns),
        "event_id": told.event_id,
        "event_type": told.event_type,
        "routing_key": told.routing_key,
        "library": told.library,
        "path": display(told.path),
        "old_path": None if told.old_path is None else display(told.old_path),
        "queue": told.queue,
        "snapshot": told.snapshot,
        "message": _message(told.body),
    }
    for key, path in (("path", told.path), ("old_path", told.old_path)):
        if path is not None and path != display(path).encode():
            document[f"{key}_base64"] = base64.b64encode(path).decode("ascii")
    return escape_in_json(json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def _message(body: bytes | None) -> Any:
    try:
        return None if body is None else json.loads(body)
    except (ValueError, RecursionError):
        return None
