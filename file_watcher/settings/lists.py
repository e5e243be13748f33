"""Reads lists, patterns and paths out of text, JSON or TOML arrays.

Like all readers they raise ValueError with what is special about the value, and take their own result
again. None of them looks at the disk (`checks` does), but a relative path is completed with the
current folder, and `~` with the user's home, since a service is seldom started where its settings were
written.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from file_watcher.patterns import only_takes_back, problems_of

_JSON_LIST: Final = re.compile(r"\[\s*(?:\"|\]\s*$)")
"""What begins a JSON array of texts. A lone bracket may begin a pattern: `[ab]*.mp3`."""


def read_list(value: object) -> tuple[str, ...]:
    """Texts out of an array, a JSON array or comma-separated text, each without outer blanks."""
    if isinstance(value, str):
        items: Sequence[object] = _parse_json_list(value) if _is_json_list(value) else value.split(",")
        return tuple(_text(item).strip() for item in items)
    if isinstance(value, list | tuple):
        return tuple(_text(item) for item in value)
    raise ValueError


def read_patterns(value: object) -> tuple[str, ...]:
    """Patterns that can be used; see `file_watcher.patterns`."""
    patterns = read_list(value)
    if problems := problems_of(patterns):
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ValueError(f"{problems[0]}{more}")
    return patterns


def read_wanted_patterns(value: object) -> tuple[str, ...]:
    """The same for those that say what is wanted; nothing but `!…` can mean no file at all."""
    patterns = read_patterns(value)
    if only_takes_back(patterns):
        raise ValueError("all patterns begin with !, which takes back: name first what is wanted, such as *")
    return patterns


def read_paths(value: object) -> tuple[Path, ...]:
    """Absolute paths out of an array, a JSON array or comma-separated text."""
    if isinstance(value, list | tuple):
        return tuple(read_path(item) for item in value)
    return tuple(read_path(item) for item in read_list(value))


def read_roots(value: object) -> tuple[Path, ...]:
    """One absolute path or more, separated as in PATH (`os.pathsep`), or an array of them.

    Empty parts are passed over, as a trailing separator is easily left behind.
    """
    if isinstance(value, str) and not _is_json_list(value):
        value = [part for part in value.split(os.pathsep) if part.strip()]
    roots = read_paths(value)
    if not roots:
        raise ValueError("it names no folder")
    return roots


def read_path(value: object) -> Path:
    """One absolute path. Blanks at its ends belong to the name."""
    if not isinstance(value, str | Path):
        raise ValueError  # noqa: TRY004  (pydantic turns ValueError into a problem, TypeError into a crash)
    text = str(value)
    if not text.strip():
        raise ValueError("a path is empty")
    if "\0" in text:
        raise ValueError("a path cannot hold a NUL character")
    try:
        return Path(text).expanduser().absolute()
    except (OSError, RuntimeError) as exc:
        raise ValueError("it cannot be completed to an absolute path; write it in full") from exc


def _is_json_list(text: str) -> bool:
    return _JSON_LIST.match(text.lstrip()) is not None


def _parse_json_list(text: str) -> list[object]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ValueError("it begins like a JSON array but is none") from exc
    assert isinstance(parsed, list)  # nothing else begins with a bracket
    return parsed


def _text(item: object) -> str:
    if not isinstance(item, str):
        raise ValueError("every item must be text")  # noqa: TRY004  (see read_path)
    return item
