"""The catalog as one decision sees it: the loaded rows, with the changes that the decision made so far.

Pure; the decider loads the rows and commits the net effect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from file_watcher.model import FileRecord, FileStat, Fingerprint
from file_watcher.processing.evidence import folders_above


@dataclass(slots=True)
class RowChanges:
    """Net effect on rows. Apply deletes, updates (in this order), inserts in one commit."""

    deletes: list[FileRecord] = field(default_factory=list)
    updates: list[FileRecord] = field(default_factory=list)
    inserts: list[FileRecord] = field(default_factory=list)


class CatalogView:
    """The rows that a round may need, with the changes that the round made so far."""

    def __init__(self, records: Iterable[FileRecord]) -> None:
        self._by_path: dict[bytes, FileRecord] = {}
        self._by_inode: dict[int, list[FileRecord]] = {}
        self._by_content: dict[tuple[int, Fingerprint], list[FileRecord]] = {}
        self._below: Counter[bytes] = Counter()
        self._original: dict[str, FileRecord] = {}
        self._final: dict[str, FileRecord | None] = {}
        for record in records:
            self._original[record.file_id] = record
            self._index(record)

    @property
    def is_empty(self) -> bool:
        """Whether no row was loaded, so that nothing that is seen can be a known file."""
        return not self._original

    def at(self, path: bytes) -> FileRecord | None:
        """The row at the path, as this round has left it."""
        return self._by_path.get(path)

    def with_inode(self, stat: FileStat) -> list[FileRecord]:
        """Rows of the same device and inode, as they were before the round and still stand."""
        return [
            row
            for row in self._by_inode.get(stat.inode, ())
            if row.stat.same_file(stat) and self._stands(row)
        ]

    def with_content(self, size: int, fingerprint: Fingerprint) -> list[FileRecord]:
        """Rows of equal size and hashes that still stand as they were."""
        return [row for row in self._by_content.get((size, fingerprint), ()) if self._stands(row)]

    def count_below(self, path: bytes) -> int:
        """How many of the loaded rows still stand below the path."""
        return self._below[path]

    def put(self, record: FileRecord) -> None:
        """Insert or change a row; the row's former place becomes free."""
        former = self._final.get(record.file_id) or self._original.get(record.file_id)
        if former is not None:
            self._leave(former)
        self._by_path[record.path] = record
        # Re-inserted at the end, so that updates are applied in the order of the last change of place.
        if former is None or former.path != record.path:
            self._final.pop(record.file_id, None)
        self._final[record.file_id] = record

    def remove(self, record: FileRecord) -> None:
        """Take the row away."""
        self._leave(record)
        self._final[record.file_id] = None

    def changes(self) -> RowChanges:
        """The round's net effect on rows; a row that ended as it began is left out."""
        changes = RowChanges()
        for file_id, final in self._final.items():
            original = self._original.get(file_id)
            if original is None:
                if final is not None:
                    changes.inserts.append(final)
            elif final is None:
                changes.deletes.append(original)
            elif final != original:
                changes.updates.append(final)
        return changes

    def _index(self, record: FileRecord) -> None:
        self._by_path[record.path] = record
        self._below.update(folders_above(record.path))
        self._by_inode.setdefault(record.stat.inode, []).append(record)
        if record.fingerprint is not None:
            self._by_content.setdefault((record.stat.size, record.fingerprint), []).append(record)

    def _leave(self, record: FileRecord) -> None:
        if self._by_path.get(record.path) is record:
            del self._by_path[record.path]
            if self._original.get(record.file_id) is record:
                self._below.subtract(folders_above(record.path))

    def _stands(self, row: FileRecord) -> bool:
        return self._by_path.get(row.path) is row
