"""Which paths count: the patterns and ignore patterns of one library as one verdict per path.

Pure: no disk, no thread of its own; safe to use from several threads. Names are bytes and are matched
as text, with what is not UTF-8 kept apart by surrogates, so that any name can be judged.

A pattern knows `*`, `?` and `[…]` as in a shell, and never cares about case. Without a slash it is held
against one name. With one it is held against the whole path below the root, where `**` stands for any
number of folders: `**/ast/*.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Final

from file_watcher.errors import UsageError

_MAGIC: Final = re.compile(r"[*?\[]")
_REMEMBERED_FOLDERS: Final = 16_384
"""Verdicts kept; beyond it the least used are worked out again (a few microseconds each)."""


class PathFilter:
    """Judges absolute paths of one library.

    `root` is the library's real path. Ignore patterns hold for every component below it, so that an
    ignored folder hides all that it contains; `patterns` hold for files only. Raises UsageError, with
    one line for each, where patterns cannot be read.
    """

    def __init__(
        self,
        root: bytes,
        patterns: Iterable[str],
        ignore_patterns: Iterable[str],
        *,
        recursive: bool = True,
    ) -> None:
        wanted, ignored = tuple(patterns), tuple(ignore_patterns)
        if problems := [problem for pattern in wanted + ignored if (problem := pattern_problem(pattern))]:
            raise UsageError(*problems)
        self._root = root
        self._prefix = root.rstrip(b"/") + b"/"
        self._wanted = _Patterns(wanted)
        self._ignored = _Patterns(ignored)
        self._asks_for_paths = self._wanted.asks_for_paths or self._ignored.asks_for_paths
        self._recursive = recursive
        self._holds_folder = lru_cache(maxsize=_REMEMBERED_FOLDERS)(self._judge_folder)

    def wants_file(self, path: bytes) -> bool:
        """Whether a file at this path belongs to the library. The root itself and paths outside do not."""
        folder, _, last = path.rpartition(b"/")
        if not last or not self._holds_folder(folder):
            return False
        name = _text(last)
        relative = _text(path[len(self._prefix) :]) if self._asks_for_paths else name
        return self._wanted.match(name, relative) and not self._ignored.match(name, relative)

    def wants_folder(self, path: bytes) -> bool:
        """Whether to descend into this folder. The root: always; without `recursive`: nothing else."""
        return path == self._root or self._holds_folder(path)

    def _judge_folder(self, folder: bytes) -> bool:
        """Whether files may lie directly in it: it is the root, or below it and neither it nor one above is ignored."""
        if folder == self._prefix[:-1]:
            return True
        if not self._recursive or not folder.startswith(self._prefix):
            return False
        relative = _text(folder[len(self._prefix) :])
        names = relative.split("/")
        paths = accumulate(names, "{}/{}".format)
        return not any(self._ignored.match(name, path) for name, path in zip(names, paths, strict=True))


class _Patterns:
    """Several patterns as one question. `*.mp3` and `~$*`, as nearly all are, need no regex."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        lowered = [pattern.lower() for pattern in patterns]
        by_name = [pattern for pattern in lowered if "/" not in pattern]
        suffixes = {p[1:] for p in by_name if p.startswith("*") and not _MAGIC.search(p[1:])}
        prefixes = {p[:-1] for p in by_name if p.endswith("*") and not _MAGIC.search(p[:-1])}
        others = [p for p in by_name if p[1:] not in suffixes and p[:-1] not in prefixes]
        self._suffixes = tuple(suffixes)
        self._prefixes = tuple(prefixes)
        self._names = _compile(_name_regex(pattern) for pattern in others)
        self._paths = _compile(_path_regex(pattern) for pattern in lowered if "/" in pattern)

    @property
    def asks_for_paths(self) -> bool:
        """Whether a pattern is held against the path rather than the name."""
        return self._paths is not None

    def match(self, name: str, relative: str) -> bool:
        """Whether one of the patterns holds for this name or this path below the root (both in lower case)."""
        return (
            name.endswith(self._suffixes)
            or name.startswith(self._prefixes)
            or (self._names is not None and self._names.fullmatch(name) is not None)
            or (self._paths is not None and self._paths.fullmatch(relative) is not None)
        )


def pattern_problem(pattern: str) -> str | None:
    """One line that says why a pattern cannot be used, or None where it can."""
    if not pattern.strip("/"):
        return f"the pattern {pattern!r} is empty: write for example *.mp3"
    try:
        re.compile(_path_regex(pattern.lower()))
    except re.error as exc:
        return f"the pattern {pattern!r} cannot be read ({exc.msg}): write for example *.mp3 or [a-z]*.flac"
    return None


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape").lower()


def _compile(expressions: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(expressions)
    return re.compile(joined, re.DOTALL) if joined else None


def _path_regex(pattern: str) -> str:
    """The pattern as a regex over a path: `**` is any number of components, at the end at least one."""
    *parents, last = pattern.strip("/").split("/")
    above = ("(?:[^/]+/)*" if part == "**" else _name_regex(part) + "/" for part in parents)
    return "".join(above) + (".+" if last == "**" and parents else _name_regex(last))


def _name_regex(pattern: str) -> str:
    """The pattern as a regex over one component."""
    pieces, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        # A "]" right after "[" or "[!" is a member of the set, as in a shell.
        end = pattern.find("]", at + (3 if pattern[at + 1 : at + 2] == "!" else 2)) if letter == "[" else -1
        if letter == "*":
            pieces.append("[^/]*")
        elif letter == "?":
            pieces.append("[^/]")
        elif end > 0:
            pieces.append(_set_regex(pattern[at + 1 : end]))
            at = end
        else:
            pieces.append(re.escape(letter))
        at += 1
    return "".join(pieces)


def _set_regex(members: str) -> str:
    """`a-z` or `!a-z` between brackets, for one character that is no slash."""
    negated = members.startswith("!")
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", members[negated:])
    return f"(?!/)[{'^' * negated}{escaped}]"
