"""What was on the disk at any time, so that a test can ask of every message what caused it.

A `Chronicle` looks at the libraries whenever it is told that something happened (`record`), and reads what
changed. Only what the default patterns want counts: watched suffixes, no hidden names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.consumer import Message, path_of

WATCHED = (b".mp3", b".flac", b".wav", b".ogg")
"""The watched suffixes that people use in these tests."""

_Look = tuple[int, int, int, int]
"""Inode, size, mtime and ctime: where they are equal, the file is not read again."""


class Chronicle:
    """The history of some libraries. Not for several threads."""

    def __init__(self, libraries: Sequence[Path]) -> None:
        self._libraries = [os.fsencode(library) for library in libraries]
        self._now: dict[bytes, tuple[_Look, str]] = {}
        self._numbers = 0
        self.story: list[tuple[int, str, bytes, str | None]] = []
        """(number of the act, what it was, path, SHA-256 from then on or None where it is gone)."""
        self.states: set[tuple[bytes, str]] = set()
        self.ended: set[bytes] = set()
        """Paths where a file was and then, at least for a moment, was not, or was another one."""

    def record(self, what: str) -> None:
        """Look at the libraries that are there, and note what changed. One that is away keeps its state."""
        self._numbers += 1
        for library in self._libraries:
            if os.path.isdir(library):
                self._compare(library + b"/", what)

    def of_path(self, path: bytes) -> list[str]:
        """What happened at the path, one line each."""
        return [
            f"act {number:4d} {what}: {'gone' if content is None else content[:8]}"
            for number, what, at, content in self.story
            if at == path
        ]

    def causeless(self, messages: Iterable[Message]) -> list[str]:
        """The messages that nothing on the disk caused; each event once, in the order of delivery."""
        contents = {content for _, content in self.states}
        paths = {path for path, _ in self.states}
        seen: set[str] = set()
        found: list[str] = []
        for message in messages:
            body = message.body
            if body["event_id"] in seen:
                continue
            seen.add(body["event_id"])
            path, old, content = path_of(body, "file_path"), path_of(body, "old_path"), body["sha256_hash"]
            assert path is not None
            if old is not None:
                caused = old in self.ended and path in paths and content in contents | {None}
            elif body["operation"] == "delete":
                caused = path in self.ended
            else:
                caused = (path, content) in self.states or (content is None and path in paths)
            if not caused or not is_wanted(path):
                found.append(f"{message.kind} {old!r} {path!r} {content and content[:8]}")
        return found

    def _compare(self, library: bytes, what: str) -> None:
        found = dict(_walk(library))
        for path in [path for path in self._now if path.startswith(library) and path not in found]:
            del self._now[path]
            self._note(what, path, None)
        for path, look in found.items():
            before = self._now.get(path)
            if before is not None and before[0] == look:
                continue
            if before is not None and before[0][0] != look[0]:
                self.ended.add(path)
            content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            self._now[path] = look, content
            if before is None or before[1] != content:
                self._note(what, path, content)

    def _note(self, what: str, path: bytes, content: str | None) -> None:
        self.story.append((self._numbers, what, path, content))
        if content is None:
            self.ended.add(path)
        else:
            self.states.add((path, content))


def is_wanted(path: bytes) -> bool:
    """Whether the default patterns want this name."""
    return path.lower().endswith(WATCHED) and b"/." not in path


def _walk(folder: bytes) -> Iterator[tuple[bytes, _Look]]:
    """Every wanted file below the folder (which ends with a slash)."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(b"."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path + b"/")
            elif is_wanted(entry.path):
                stat = entry.stat(follow_symlinks=False)
                yield entry.path, (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def contradictions(messages: Iterable[Message]) -> list[str]:
    """What messages say of the time before them, where earlier messages said something else; and what came
    twice, but not as the same."""
    known: dict[bytes | None, str | None] = {}
    bodies: dict[str, dict[str, Any]] = {}
    found: list[str] = []
    for message in messages:
        body = message.body
        if bodies.setdefault(body["event_id"], body) is not body:
            if bodies[body["event_id"]] != body:
                found.append(f"not the same when it came again: {bodies[body['event_id']]} {body}")
            continue
        path, old = path_of(body, "file_path"), path_of(body, "old_path")
        source = path if old is None else old
        if body["operation"] == "delete" and known.get(source) != body["sha256_hash"]:
            found.append(f"deleted {source!r} with another hash than it was told with")
        if body["previous"] is not None and known.get(source) != body["previous"]["sha256_hash"]:
            found.append(f"{message.kind} {path!r}: before it was not what `previous` says")
        known.pop(source, None)
        if body["operation"] == "put":
            known[path] = body["sha256_hash"]
    return found
