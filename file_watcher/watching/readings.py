"""Files whose reading is under way and takes long: what they can only turn out to be. Pure."""

from __future__ import annotations

from file_watcher.model import FileStat
from file_watcher.watching.dirty import DirtyPaths
from file_watcher.watching.entry import Entry


class LongReadings:
    """Dirty entries whose files had settled when somebody began to read them, or had to wait for that."""

    def __init__(self) -> None:
        self._entries: dict[bytes, Entry] = {}

    def begin(self, entry: Entry, stat: FileStat) -> None:
        """Its reading begins; this is what it is."""
        entry.under_way = stat
        self._entries[entry.path] = entry

    def end(self, entry: Entry) -> None:
        """What it is now is no longer known."""
        if entry.under_way is not None:
            entry.under_way = None
            self._entries.pop(entry.path, None)

    def known(self, dirty: DirtyPaths) -> tuple[tuple[float, FileStat], ...]:
        """When each of those was noticed that nobody has hinted at since, and what it is."""
        # Those that a folder stands for meanwhile are not dirty themselves any more.
        self._entries = {path: entry for path, entry in self._entries.items() if dirty.get(path) is entry}
        return tuple(
            (entry.noticed, entry.under_way)
            for entry in self._entries.values()
            if entry.under_way is not None and entry.is_known_now
        )
