"""Which observed files are known files that have moved: finds the claims that rule 3 allows.

Pure. A claim is proved by `processing.evidence`; here it is asked whether the row's file has left its path,
and whether another file could lay the same claim.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping

from file_watcher.model import GONE, Evidence, FileRecord, FileStat, Fingerprint, Observation
from file_watcher.processing.decision import Look
from file_watcher.processing.evidence import Claim, name_of, prove_by_inode
from file_watcher.processing.view import CatalogView

Content = tuple[int, Fingerprint | None]
Rivals = Mapping[Content, Counter[bytes]]
"""The names of the files without a row that were seen, by size and hashes."""


class ClaimFinder:
    """Finds claims of what was seen on rows whose files are no longer at their paths."""

    def __init__(self, view: CatalogView, look: Look, is_owed: Callable[[bytes], bool]) -> None:
        """`is_owed(path)`: whether the file that is gone from there was still to be read."""
        self._view = view
        self._look = look
        self._is_owed = is_owed

    def find(self, seen: Iterable[tuple[Observation, FileStat]]) -> dict[bytes, Claim]:
        """At most one claim for each observed path, and at most one on each row; the stronger ones win."""
        if self._view.is_empty:
            return {}
        seen = list(seen)
        rivals: defaultdict[Content, Counter[bytes]] = defaultdict(Counter)
        for each, stat in seen:
            if self._view.at(each.path) is None:
                rivals[stat.size, each.fingerprint][name_of(each.path)] += 1
        claims = [claim for each, stat in seen for claim in self._possible(each, stat, rivals)]
        found: dict[bytes, Claim] = {}
        claimed: set[str] = set()
        for claim in sorted(claims, key=lambda each: (each.strength, each.observation.path)):
            if claim.observation.path not in found and claim.row.file_id not in claimed:
                found[claim.observation.path] = claim
                claimed.add(claim.row.file_id)
        return found

    def _possible(self, seen: Observation, stat: FileStat, rivals: Rivals) -> list[Claim]:
        own = self._view.at(seen.path)
        if own is not None and own.stat.same_file(stat):
            return []
        same_inode = [row for row in self._view.with_inode(stat) if self._has_left(row)]
        claims = [
            claim
            for row in same_inode
            if (claim := prove_by_inode(seen, stat, row, owed=self._is_owed(row.path)))
        ]
        if claims or own is not None or seen.fingerprint is None or stat.size == 0:
            return claims
        return self._by_content(seen, stat, seen.fingerprint, rivals[stat.size, seen.fingerprint])

    def _by_content(
        self, seen: Observation, stat: FileStat, fingerprint: Fingerprint, rivals: Counter[bytes]
    ) -> list[Claim]:
        """The one row and the one file that fit each other; of several, those that alone have their name."""
        rows = [
            row
            for row in self._view.with_content(stat.size, fingerprint)
            if self._look(row.path, row.library_id) is GONE
        ]
        if len(rows) != 1 or rivals.total() != 1:
            name = name_of(seen.path)
            rows = [row for row in rows if name_of(row.path) == name and rivals[name] == 1]
        if len(rows) != 1:
            return []
        return [Claim(seen, stat, rows[0], Evidence.CONTENT, carried=False, content_changed=False)]

    def _has_left(self, row: FileRecord) -> bool:
        """Whether the row's file is no longer at its path. An unknown path shields its row."""
        now = self._look(row.path, row.library_id)
        return now is GONE or (isinstance(now, FileStat) and not now.same_file(row.stat))
