"""The dirty paths, and the folders that stand for them when there are too many. Pure; a part of the debouncer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from file_watcher.model import Hint, HintKind, Library
from file_watcher.watching.entry import Entry, stronger
from file_watcher.watching.fold import choose_folders, folders_up_to
from file_watcher.watching.oldest import OldestFirst
from file_watcher.watching.path_bits import PathBits

_MOST_WAITING: Final = 50_000
_BUFFERS_WAITING: Final = 16
"""Far beyond what scans make dirty by themselves, which is four times the buffer's size."""


@dataclass(frozen=True, slots=True)
class DebounceTiming:
    """Of one library, in seconds. `window`: how long a path must have been quiet; `longest`: after so long it is
    looked at although hints keep coming."""

    window: float = 1.0
    longest: float = 30.0


TimingOf = Callable[[Library], DebounceTiming]
"""Asked for every hint: it must answer at once."""


@dataclass(frozen=True, slots=True)
class DebounceBounds:
    """How many paths are kept, at about 0.7 kB each: 50,000 take 35 MB.

    `waiting` dirty paths, beyond which they are folded (half as many more where that hardly helps); `background` paths that rest; `folders` that are
    handed out together, since one thread scans them and the others would only wait in its queue.
    """

    waiting: int = _MOST_WAITING
    background: int = 50_000
    folders: int = 64

    @classmethod
    def beside(cls, buffer_size: int) -> DebounceBounds:
        """Bounds that suit a queue of so many files between scheduler and workers."""
        return cls(waiting=max(_MOST_WAITING, _BUFFERS_WAITING * buffer_size))


class DirtyPaths:
    """Entries by path: waiting, or in flight."""

    def __init__(self, bounds: DebounceBounds, timing_of: TimingOf) -> None:
        self._bounds = bounds
        self._timing_of = timing_of
        self._entries: dict[bytes, Entry] = {}
        self._noticed = OldestFirst()
        self._folders: set[bytes] = set()
        """Those that are folders, waiting or in flight."""
        self._folded: set[bytes] = set()
        """Those of the folders that stand for dirty paths below them."""
        self._told: set[bytes] = set()
        """Those of the folders that the kernel itself hinted at."""
        self._owed = PathBits()
        """Folded paths that are owed a reading, whatever their stat says."""
        self._hinted = PathBits()
        """All that were folded: files, and folders that were hinted at."""
        self._fold_at = bounds.waiting
        self.in_flight = 0
        """How many of them a worker, a scan or the decider has."""
        self.folded = 0
        """Dirty paths that were folded into their folder, since the start."""

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, path: bytes) -> Entry | None:
        """The entry of a dirty path."""
        return self._entries.get(path)

    def files(self) -> int:
        """How many are no folders."""
        return len(self._entries) - len(self._folders)

    def resize(self, bounds: DebounceBounds) -> None:
        """Keep so many from now on; what is too much is folded with the next hint."""
        self._bounds = bounds
        self._fold_at = bounds.waiting

    def is_crowded(self) -> bool:
        """Whether so many wait that they are to be folded."""
        return len(self._entries) - self.in_flight > self._fold_at

    def add(self, entry: Entry) -> None:
        """The path is dirty from now on."""
        self._entries[entry.path] = entry
        self._noticed.add(entry, self._entries)

    def pop(self, path: bytes) -> Entry:
        """The path is not dirty any more, unless it is added again."""
        return self._entries.pop(path)

    def mark_folder(self, entry: Entry) -> None:
        """The entry is, or may be, a folder."""
        entry.is_folder = True
        self._folders.add(entry.path)
        self._told.add(entry.path)

    def date_back(self, entry: Entry, noticed: float) -> None:
        """A hint from that time stands for the entry too."""
        before = entry.noticed
        entry.date_back(noticed)
        if entry.noticed != before:
            self._noticed.add(entry, self._entries)

    def oldest(self, since: float) -> float | None:
        """When the oldest was noticed, leaving out files that keep us waiting since before that time."""
        return self._noticed.oldest(self._entries, lambda entry: entry.keeps_waiting(since))

    def oldest_unknown(self, since: float) -> float | None:
        """The same, leaving out also those whose long reading is under way."""
        return self._noticed.oldest(
            self._entries, lambda entry: entry.is_known_now or entry.keeps_waiting(since)
        )

    def is_folded(self, folder: bytes) -> bool:
        """Whether the dirty folder stands for paths below it."""
        return folder in self._folded

    def may_owe_reading(self, path: bytes) -> bool:
        """Whether a hint that wants the path read may have been folded."""
        return self._owed.may_hold(path)

    def folder_of(self, path: bytes, library: Library) -> Entry | None:
        """The waiting folder that stands for the path already."""
        if not self._folded:
            return None
        for folder in folders_up_to(library.root, path):
            if folder in self._folded and not (entry := self._entries[folder]).in_flight:
                return entry
        return None

    def fold_hint(self, folder: Entry, hint: Hint, noticed: float, *, must_hash: bool) -> None:
        """The hint is the folder's from now on."""
        self.folded += 1
        self.date_back(folder, noticed)
        folder.source = stronger(folder.source, hint.source)
        self._hinted.add(hint.path)
        if hint.moved_from is not None:
            self._hinted.add(hint.moved_from)
        if must_hash or hint.kind is HintKind.CLOSED:
            self._owed.add(hint.path)

    def owes_reading(self, path: bytes) -> bool:
        """Whether the file that was at the path is still to be read."""
        origin = self._entries.get(path)
        return (origin is not None and origin.wants_reading) or self._owed.may_hold(path)

    def may_be_hinted(self, path: bytes, library: Library) -> bool:
        """Whether the path, or a folder above it, is dirty by a hint of its own or was folded."""
        if path in self._entries or self._hinted.may_hold(path):
            return True
        above = folders_up_to(library.root, path)
        return any(folder in self._told or self._hinted.may_hold(folder) for folder in above)

    def fold(self, now: float) -> list[Entry]:
        """Let folders stand for what waits, until half of the room is free; returns what waits then.

        It is long until the next time: folding costs little for each hint.
        """
        goal = self._bounds.waiting // 2
        # Files before folders that stand for others already, and those whose settling is watched at last.
        for are_folders_kept, are_watched_kept in ((True, True), (False, True), (False, False)):
            self._fold_down_to(
                goal, now, are_folders_kept=are_folders_kept, are_watched_kept=are_watched_kept
            )
            if len(self._entries) - self.in_flight <= self._bounds.waiting:
                break
        waiting = [entry for entry in self._entries.values() if not entry.in_flight]
        self._fold_at = max(self._bounds.waiting, len(waiting) + goal)
        return waiting

    def _fold_down_to(self, goal: int, now: float, *, are_folders_kept: bool, are_watched_kept: bool) -> None:
        distance, deepest = 0, 1
        while distance < deepest and (too_many := len(self._entries) - self.in_flight - goal) > 0:
            distance += 1
            waiting = [
                entry
                for entry in self._entries.values()
                if not entry.in_flight and not (are_watched_kept and entry.last_stat)
            ]
            crowd = [entry for entry in waiting if not (are_folders_kept and entry.is_folder)]
            deepest = max((entry.path.count(b"/") for entry in crowd), default=0)
            standing = {entry.path for entry in waiting if entry.is_folder}
            if folders := choose_folders(crowd, too_many, distance, standing):
                self._fold_into(folders, waiting, now)

    def _fold_into(self, folders: frozenset[bytes], waiting: list[Entry], now: float) -> None:
        for entry in waiting:
            if entry.path in folders:
                self._stand_in(entry.path, entry, now)
        for entry in waiting:
            above = folders_up_to(entry.library.root, entry.path)
            if (folder := next((each for each in above if each in folders), None)) is not None:
                self._stand_in(folder, entry, now)
                self._forget(entry)

    def _stand_in(self, folder: bytes, entry: Entry, now: float) -> None:
        """Have the folder wait in the entry's place."""
        if (own := self._entries.get(folder)) is None:
            own = Entry(
                folder,
                entry.library,
                entry.source,
                entry.noticed,
                entry.changed_ns,
                now,
                now,
                now + self._timing_of(entry.library).window,
            )
            self.add(own)
        elif own is not entry:
            self.date_back(own, entry.noticed)
            own.source = stronger(own.source, entry.source)
            own.changed_ns = min(own.changed_ns, entry.changed_ns)
        own.is_folder = True
        self._folders.add(folder)
        self._folded.add(folder)

    def _forget(self, entry: Entry) -> None:
        self.folded += 1
        if entry.wants_reading:
            self._owed.add(entry.path)
        if entry.path in self._told or entry.path not in self._folded:
            for path in (entry.path, *entry.moved_from):
                self._hinted.add(path)
        del self._entries[entry.path]
        self.leave(entry.path)

    def leave(self, path: bytes) -> None:
        """The path is no dirty folder any more.

        What was folded is forgotten once no folder stands for others, and none that is dirty may have been
        moved: its files are still known by the names that they had before.
        """
        self._folders.discard(path)
        self._told.discard(path)
        self._folded.discard(path)
        if (self._owed or self._hinted) and not self._folded and not self._told:
            self._owed.clear()
            self._hinted.clear()
