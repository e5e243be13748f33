"""What must happen to a value before it leaves in a log line, on a terminal or in a health page.

File names are chosen by whoever can write into a library. They may hold line breaks that forge a second
log line, escape sequences that drive a terminal, or bidirectional marks that make one name look like
another. Messages of libraries may hold the password of a connection address. Everything here is pure and
owns no thread.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import PurePath
from typing import Final

from file_watcher.model import display

Plain = None | bool | int | float | str | list["Plain"] | dict[str, "Plain"]
"""What JSON can hold."""

HIDDEN: Final = "***"
"""Stands where a secret was."""

MAX_TEXT_CHARACTERS: Final = 10_000
"""A longer text loses its middle: a log line is for reading, the message itself is in the outbox."""

_MAX_DEPTH: Final = 8

_UNSAFE: Final = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: line breaks, and what starts an escape sequence
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks that reorder what the eye sees
    "\u2028\u2029"  # line and paragraph separator: some viewers break the line there
    "\ud800-\udfff"  # lone surrogates, which no encoding can write
    "]"
)
_SHORT_ESCAPES: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}

_SECRET_KEY: Final = re.compile(
    r"passw|passphrase|secret|credential|authorization|api_?key|private_?key|(?:^|_)(?:pass|pwd|token)s?$",
    re.IGNORECASE,
)
# The password of an address ends at the last "@": a raw "@" or "/" in it is a common mistake. The bound
# keeps the search linear for texts made to be slow.
_ADDRESS_PASSWORD: Final = re.compile(r"(://[^\s/?#@:]{0,256}:)\S{0,512}@")
_PARAMETER_PASSWORD: Final = re.compile(
    r"((?:password|passwd|passphrase|secret|token|pass)=)[^&\s'\",;]+", re.IGNORECASE
)


def escape_for_terminal(text: str) -> str:
    r"""The text on one line, with control and reordering characters shown as `\n`, `\x1b`, `\u202e`."""
    return _UNSAFE.sub(_terminal_escape, text)


def escape_in_json(document: str) -> str:
    r"""A JSON document whose strings hold no such character either, but its `\uXXXX`.

    json.dumps escapes C0 alone when it keeps other alphabets readable (`ensure_ascii=False`). What is
    replaced here occurs only inside strings, so the document stays the same document. Line feeds, which
    stand only between the lines of one that is indented, stay.
    """
    return _UNSAFE.sub(_json_escape, document)


def scrub(text: str) -> str:
    """The text without passwords: those of addresses (`amqp://user:***@host`) and of `password=` parameters."""
    if "@" in text:
        text = _ADDRESS_PASSWORD.sub(rf"\1{HIDDEN}@", text)
    if "=" in text:
        text = _PARAMETER_PASSWORD.sub(rf"\1{HIDDEN}", text)
    return text


def redact(value: Plain, key: str = "") -> Plain:
    """The value without secrets: whole where its key names one, else scrubbed text by text."""
    if isinstance(value, dict):
        return {name: redact(item, name) for name, item in value.items()}
    if value is None or isinstance(value, bool):
        return value
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, list):
        return [redact(item) for item in value]
    return scrub(value) if isinstance(value, str) else value


def plain(value: object, depth: int = _MAX_DEPTH) -> Plain:
    """The value as JSON can hold it; never raises.

    Bytes are taken for paths. Numbers that are not finite, and objects that JSON does not know, become
    text. Long texts lose their middle, what is nested too deeply its inside.
    """
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _plain_container(value, depth - 1) if depth else "…"
    return _shortened(_text(value))


def _plain_container(
    value: Mapping[object, object] | list[object] | tuple[object, ...] | set[object] | frozenset[object],
    depth: int,
) -> Plain:
    if isinstance(value, Mapping):
        return {_shortened(_text(key)): plain(item, depth) for key, item in value.items()}
    return [plain(item, depth) for item in value]


def _text(value: object) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes | bytearray):
        return display(bytes(value))
    if isinstance(value, PurePath):
        return display(os.fsencode(value))
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else repr(value)
    except Exception as exc:
        # A foreign __repr__ must not cost the line that would have told what is wrong.
        return f"<{type(value).__name__} that cannot be shown: {type(exc).__name__}>"


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    half = MAX_TEXT_CHARACTERS // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"


def _json_escape(match: re.Match[str]) -> str:
    return "\n" if match[0] == "\n" else f"\\u{ord(match[0]):04x}"


def _terminal_escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
