"""Stories: what may happen to a disk and to the service that watches it, one step after the other.

A step is (what, first, second). A `Story` does the steps that a filesystem would allow, and knows what must
be true whatever they were. The tests tell stories that Hypothesis or a seeded generator invents.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import NamedTuple

from file_watcher.model import EventType, FileEvent, Fingerprint, Hint
from file_watcher.watching.dirty import DebounceBounds
from tests.support.pipeline import UNKNOWN_PAUSE, Pipeline
from tests.support.world import World

NAMES = [b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/a/x", b"/lib/a/y", b"/lib/d/x", b"/lib/d/y", b"/lib/d/e/z"]
FOLDERS = [b"/lib/a", b"/lib/d", b"/lib/d/e", b"/lib/f"]
CONTENTS = [b"", b"one", b"two", b"other"]
SPARE = b"/lib/.spare"

Step = tuple[str, object, object]


class Kind(NamedTuple):
    """One kind of step: how often it happens, and what its arguments may be."""

    weight: int
    first: Sequence[object]
    second: Sequence[object] = (None,)


KINDS = {
    "write": Kind(10, NAMES, CONTENTS),
    "replace": Kind(4, NAMES, CONTENTS),
    "write_and_restore_mtime": Kind(2, NAMES, CONTENTS),
    "delete": Kind(4, NAMES),
    "touch": Kind(2, NAMES),
    "chmod": Kind(1, NAMES),
    "rename": Kind(10, NAMES, NAMES),
    "link": Kind(2, NAMES, NAMES),
    "rename_folder": Kind(6, FOLDERS, FOLDERS),
    "swap": Kind(3, NAMES, NAMES),
    "open": Kind(2, NAMES),
    "append": Kind(2, NAMES, [b"more"]),
    "close": Kind(2, NAMES),
    "forbid": Kind(1, NAMES, [errno.EACCES, errno.EIO]),
    "allow": Kind(1, NAMES),
    "examine": Kind(8, [1, 2, 3]),
    "decide": Kind(8, [1, 2, 3]),
    "work": Kind(8, [0.3, 1.1, 2.5], [1, 3, 9]),
    "wait": Kind(3, [0.3, 1.1, 2.5, 31.0]),
    "run": Kind(3, [1.0, 3.0, 31.0]),
    "lose_hints": Kind(1, [True, False]),
    "restart": Kind(1, [None]),
    "fail_commit": Kind(3, ["undone", "unknown"]),
    "database": Kind(2, ["away", "back", "back"]),
    "hide": Kind(2, [*NAMES, b"/lib/d"]),
    "reveal": Kind(2, [None]),
    "suspend": Kind(1, [None]),
    "resume": Kind(2, [None]),
    "read_at_once": Kind(1, [True, False]),
    "children_read": Kind(2, [True, True, False]),
}

_UNTOLD = frozenset({"link", "forbid", "allow"})
"""What the kernel does not tell of all names that it changes, under our narrow mask."""


class Story:
    """A disk, the pipeline that watches it, and what has happened so far."""

    def __init__(self, bounds: DebounceBounds | None = None) -> None:
        """`bounds` of what may be dirty; as in the service where none are given."""
        self.world = World()
        self.pipeline = Pipeline(self.world, bounds=bounds)
        self.is_all_told = True
        """Whether the kernel's hints told of every change."""
        self._loses_hints = False
        self._restores_mtime = False
        self._history: set[tuple[bytes, Fingerprint]] = set()

    def tell(self, steps: Sequence[Step]) -> None:
        """Do every step that is possible when its turn comes."""
        for what, first, second in steps:
            if is_possible(self.world, what, first, second):
                self._change(what, first, second)
            elif what not in _CHANGES:
                self._go_on(what, first, second)

    def end(self) -> None:
        """Mend what is broken, let everything come to rest, and check all that must be true then."""
        self._mend()
        if self.is_all_told:
            self.pipeline.run(UNKNOWN_PAUSE + 5.0, every=5.0)
            self.pipeline.settle()
            assert self.pipeline.mirror.files == self.world.contents(), "before the last scan"
        self.pipeline.hint_everything()
        self.pipeline.settle()
        assert self.pipeline.mirror.files == self.world.contents()
        rows = self.pipeline.ledger.rows
        assert {path: row.fingerprint for path, row in rows.items()} == self.world.contents()
        assert not any(row.growing or row.racy for row in rows.values())
        assert {path: row.stat for path, row in rows.items()} == {
            path: self.world.look(path) for path in self.world.files
        }
        self._check_that_nothing_was_invented()
        self._check_that_a_scan_is_silent()

    def _change(self, what: str, first: object, second: object) -> None:
        assert isinstance(first, bytes)
        self.is_all_told &= what not in _UNTOLD and not self._loses_hints
        self._restores_mtime |= what == "write_and_restore_mtime"
        for name, *arguments in _parts(what, first, second):
            hints: list[Hint] = getattr(self.world, str(name))(*arguments)
            self._history |= self.world.contents().items()
            if not self._loses_hints:
                self.pipeline.hint(hints)

    def _go_on(self, what: str, first: object, second: object) -> None:
        match what, first:
            case "examine", int(count):
                self.pipeline.examine(count)
            case "decide", int(count):
                self.pipeline.decide(count)
            case "work", float(seconds):
                assert isinstance(second, int)
                self.pipeline.now += seconds
                self.pipeline.examine(second)
                self.pipeline.decide(second)
            case "wait", float(seconds):
                self.pipeline.now += seconds
            case "run", float(seconds):
                self.pipeline.run(seconds, every=1.0)
            case "lose_hints", bool(loses):
                self._loses_hints = loses
            case _:
                self._befall(what, first)

    def _befall(self, what: str, first: object) -> None:
        """What happens to the service rather than to the disk."""
        match what:
            case "restart":
                self.pipeline.restart()
            case "fail_commit":
                self.pipeline.ledger.next_commit = getattr(self.pipeline.ledger, str(first))
            case "database":
                self.pipeline.ledger.is_away = first == "away"
            case "hide":
                assert isinstance(first, bytes)
                self.world.hidden.add(first)
            case "reveal":
                self.world.hidden.clear()
            case "suspend":
                self.world.verified = False
            case "resume":
                self._resume()
            case "read_at_once":
                self.world.read_lag_ns = 0 if first else World.read_lag_ns
            case "children_read":
                self.world.children_read = bool(first)
            case _:
                raise AssertionError(what)

    def _resume(self) -> None:
        """A library that is back is scanned."""
        if not self.world.verified:
            self.world.verified = True
            self.pipeline.hint_everything()

    def _mend(self) -> None:
        self.pipeline.ledger.is_away = False
        self.pipeline.ledger.next_commit = None
        self.world.hidden.clear()
        for path, inode in self.world.files.items():
            inode.refusal = None
            if inode.is_open:
                self.pipeline.hint(self.world.close(path))
        self._resume()
        self.pipeline.settle()

    def _check_that_nothing_was_invented(self) -> None:
        """What was told as the content of a path was once its content.

        A move carries hashes that may be out of date; where the mtime was set back, only the second
        reading tells.
        """
        told: list[FileEvent] = self.pipeline.ledger.events
        if self._restores_mtime:
            return
        for event in told:
            if event.event_type in (EventType.CREATED, EventType.MODIFIED) and event.fingerprint:
                assert (event.path, event.fingerprint) in self._history, f"{event} was invented"

    def _check_that_a_scan_is_silent(self) -> None:
        reads = self.world.reads
        self.pipeline.hint_everything()
        assert self.pipeline.settle() == [], "a scan of what did not change tells nothing"
        assert self.world.reads == reads, "and reads nothing"


_CHANGES = frozenset({what for what, kind in KINDS.items() if kind.first is NAMES or kind.first is FOLDERS})


def is_possible(world: World, what: str, first: object, second: object) -> bool:
    """Whether the step changes the disk and a filesystem would allow it."""
    if what not in _CHANGES:
        return False
    assert isinstance(first, bytes)
    match what:
        case "write" | "replace" | "open":
            return world.fits(first)
        case "append" | "close":
            return first in world.files and world.files[first].is_open
        case "rename_folder":
            assert isinstance(second, bytes)
            return _may_rename_folder(world, first, second)
        case "rename" | "swap" | "link":
            assert isinstance(second, bytes)
            return first in world.files and first != second and _may_take(world, what, first, second)
    return first in world.files


def _may_rename_folder(world: World, first: bytes, second: bytes) -> bool:
    below = any(path.startswith(first + b"/") for path in world.files)
    taken = second in world.files or any(path.startswith(second + b"/") for path in world.files)
    nested = (second + b"/").startswith(first + b"/") or (first + b"/").startswith(second + b"/")
    return below and not taken and not nested and world.fits(second)


def _may_take(world: World, what: str, first: bytes, second: bytes) -> bool:
    if what == "swap":
        return second in world.files
    if what == "link":
        return world.fits(second) and second not in world.files
    return World(files={path: inode for path, inode in world.files.items() if path != first}).fits(second)


def _parts(what: str, first: bytes, second: object) -> list[tuple[object, ...]]:
    """The step as calls of the world."""
    if what == "swap":
        return [("rename", first, SPARE), ("rename", second, first), ("rename", SPARE, second)]
    return [(what, first) if second is None else (what, first, second)]
