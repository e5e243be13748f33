"""One readable line on the terminal per published message.

The printer reads the message itself, so that the person sees what consumers get. It is called on the
publisher's thread and owns none.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Final, TextIO

from file_watcher.model import display
from file_watcher.ops.lines import LineWriter
from file_watcher.ops.sanitize import escape_for_terminal

DEFAULT_COLUMNS: Final = 80
"""Where the width cannot be known: the width of a terminal since the VT100."""

_COLORS: Final = {
    "created": "32",
    "modified": "33",
    "deleted": "31",
    "moved": "36",
    "renamed": "36",
    "idle": "2",
}
"""SGR parameters (ECMA-48, section 8.3.117) of the event's type."""

_GAP: Final = "  "
_SGR: Final = re.compile(r"\x1b\[[0-9;]*m")
_CLASS_NAME: Final = re.compile(r" \([A-Za-z_][A-Za-z0-9_.]*\)(?=\.$)")
"""At the end of a sentence about a medium, as `processing.tags` writes it."""
_LEAST_COLUMNS: Final = 40
"""Below which breaking between words helps nobody any more."""
_LEAST_PATH: Final = 8
"""Columns that are left for the path of a job: for whom it is, and for how many events, tells more."""
_ENDLESS: Final = 1 << 30
_SIZE_UNITS: Final = ("kB", "MB", "GB", "TB", "PB", "EB")


class EventPrinter:
    """Prints `12:00:00 created   music  Artist/Album/01 Song.flac  5.1 MB  3:42  "Title" – Artist`.

    Times are in the local zone. What does not fit into the terminal's width (`columns`, else asked of the terminal
    for every line) loses its middle. `event` never raises.
    """

    def __init__(self, stream: TextIO, color: bool, columns: int | None = None) -> None:
        self._writer = LineWriter(stream)
        self._color = color
        self._prefix = ""
        self._columns = columns

    def event(self, body: bytes, root: bytes | None = None) -> None:
        """Print one line for the body of a message, of a file's event, a notice or a job.

        With the `root` of its library paths are shown as they are below it, else whole. Called by one thread.
        """
        self._prefix = "" if root is None else display(root.rstrip(b"/") + b"/")
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors
            message = None
        if not isinstance(message, dict):
            self._writer.write(f"a message of {len(body)} bytes that is no JSON object")
            return
        self._writer.write(self._line(message))

    def _line(self, message: Mapping[str, Any]) -> str:
        kind = escape_for_terminal(_text(message.get("event_type")) or _text(message.get("type")) or "?")
        library = escape_for_terminal(_text(_mapping(message.get("library")).get("name")))
        before = f"{_local_time(message.get('timestamp'))} "
        after = f"{' ' * max(1, 10 - display_width(kind))}{library}"
        room = self._width() - display_width(before + kind + after) - 2
        shown = self._subject_and_details(message, room)
        parameters = _COLORS.get(kind) if self._color else None
        painted = f"\x1b[{parameters}m{kind}\x1b[0m" if parameters else kind
        return f"{before}{painted}{after}  {shown}".rstrip()

    def _subject_and_details(self, message: Mapping[str, Any], room: int) -> str:
        """Of the details those that find room beside the path: half of the room (of a job's nearly all), or all that
        the path leaves.

        Only the first one is ever cut; a half detail would say something else.
        """
        whole = display_width(self._subject(message, _ENDLESS))
        share = room - _LEAST_PATH - len(_GAP) if "job_id" in message else room // 2
        left = max(share, room - whole - len(_GAP))
        shown: list[str] = []
        for detail in map(escape_for_terminal, _details(message)):
            if shown and display_width(detail) > left:
                break
            shown.append(cut_middle(detail, max(left, 1)))
            left -= display_width(shown[-1]) + len(_GAP)
        details = "".join(_GAP + detail for detail in shown)
        subject = self._subject(message, max(room - display_width(details), 1))
        return f"{subject}{details}" if subject else details.removeprefix(_GAP)

    def _subject(self, message: Mapping[str, Any], room: int) -> str:
        path = self._shortened(_text(message.get("file_path")) or _text(message.get("path")))
        old_path = self._shortened(_text(message.get("old_path")))
        if not old_path:
            return cut_middle(path, room)
        if message.get("event_type") == "renamed":
            path = path.rsplit(display(b"/"), 1)[-1]
        arrow = " → "
        half = max((room - len(arrow)) // 2, 1)
        spare = max(half - display_width(path), 0)
        old_shown = cut_middle(old_path, half + spare)
        left = room - display_width(old_shown) - len(arrow)
        return f"{old_shown}{arrow}{cut_middle(path, max(left, 1))}"

    def _shortened(self, path: str) -> str:
        return escape_for_terminal(path.removeprefix(self._prefix))

    def _width(self) -> int:
        if self._columns is not None:
            return self._columns
        return columns_of(self._writer.stream) or DEFAULT_COLUMNS


def _details(message: Mapping[str, Any]) -> list[str]:
    metadata = _mapping(message.get("metadata"))
    is_gone = message.get("event_type") == "deleted"
    is_replayed = message.get("snapshot") is not None and "file_path" in message
    found = [
        "(snapshot)" if is_replayed else "",
        "still growing" if message.get("growing") is True else "",
        _reason(message),
        "" if is_gone else _unreadable(metadata.get("error")),
        f"for {_text(message['queue'])}" if message.get("queue") else "",
        _events_of_job(message),
        "" if is_gone else _size(message.get("size")),
        _duration(metadata.get("duration")),
        _title(_mapping(metadata.get("tags"))),
    ]
    return [detail for detail in found if detail]


def _reason(message: Mapping[str, Any]) -> str:
    """What a library suffers from, or suffered from until now."""
    reason = _text(message.get("reason"))
    return f"was: {reason}" if reason and message.get("event_type") == "library.resumed" else reason


def _unreadable(error: object) -> str:
    """Why a medium's metadata are not whole, without the name that programmers have for it."""
    return f"unreadable: {_CLASS_NAME.sub('', _text(error)).removesuffix('.')}" if error else ""


def _events_of_job(message: Mapping[str, Any]) -> str:
    """`12 created, 3 moved`."""
    return ", ".join(
        f"{count} {kind}"
        for kind, count in _mapping(message.get("events")).items()
        if isinstance(kind, str) and isinstance(count, int) and 0 < count < 10**18
    )


def _title(tags: Mapping[str, Any]) -> str:
    title, artist = _text(tags.get("title")), _text(tags.get("artist"))
    return " – ".join(part for part in (f'"{title}"' if title else "", artist) if part)


def _size(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 10**18:
        return ""
    if value < 1000:
        return f"{value} B"
    # 999,950 B would be shown as "1000.0 kB" if the limit were 1000.
    scaled = ((value / 1000**power, unit) for power, unit in enumerate(_SIZE_UNITS, start=1))
    return next(f"{number:.1f} {unit}" for number, unit in scaled if number < 999.95)


def _duration(value: object) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e9:
        return ""
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _local_time(timestamp: object) -> str:
    try:
        return dt.datetime.fromisoformat(_text(timestamp)).astimezone().strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):  # no time, or none that this platform's clock can show
        return "--:--:--"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def columns_of(stream: TextIO) -> int:
    """The width of the terminal that the stream leads to; 0 where there is none, or it does not say."""
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or nothing with a descriptor
        return 0


def fold_line(line: str, columns: int, indent: int) -> str:
    """The line, broken at spaces where it is wider than `columns`, all but the first part indented.

    No word is ever broken, and nothing where a terminal is narrower than helps. Colours take no columns.
    """
    if columns < _LEAST_COLUMNS or display_width(_SGR.sub("", line)) <= columns:
        return line
    lines: list[str] = []
    current, used = "", 0
    for place, word in enumerate(line.split(" ")):
        width = display_width(_SGR.sub("", word))
        if place and used + 1 + width > columns and current.strip():
            lines.append(current.rstrip(" "))
            current, used = " " * indent + word, indent + width
        else:
            current, used = (f"{current} {word}", used + 1 + width) if place else (word, width)
    return "\n".join([*lines, current])


def display_width(text: str) -> int:
    """Columns that the text takes on a terminal (Unicode Standard Annex 11; combining marks take none)."""
    return len(text) if text.isascii() else sum(_width_of(character) for character in text)


def cut_middle(text: str, columns: int) -> str:
    """The text, or its beginning and end with "…" between them, in at most `columns` (at least 1) columns."""
    if display_width(text) <= columns:
        return text
    head_columns = (columns - 1) // 2
    tail_columns = columns - 1 - head_columns
    head = _take(text, head_columns)
    tail = _take(reversed(text), tail_columns)[::-1]
    # A mark at the beginning of the tail belongs to a letter that is gone.
    return f"{head}…{tail.lstrip(''.join(mark for mark in tail if not _width_of(mark)))}"


def _take(characters: Iterable[str], columns: int) -> str:
    taken: list[str] = []
    for character in characters:
        columns -= _width_of(character)
        if columns < 0:
            break
        taken.append(character)
    return "".join(taken)


def _width_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
