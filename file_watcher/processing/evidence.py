"""What proves that a file seen at one path is the file that a row knows from another path (rule 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from file_watcher.model import Evidence, FileRecord, FileStat, Observation


@dataclass(frozen=True, slots=True)
class Claim:
    """An observed file that is proved to be a row's file from another path."""

    observation: Observation
    stat: FileStat
    row: FileRecord
    evidence: Evidence
    carried: bool
    """The row's hashes are taken over without reading the file."""
    content_changed: bool

    @property
    def doubtful(self) -> bool:
        """Whether hashes are carried over a change of ctime: true, but to be read once more later."""
        has_hashes = self.row.fingerprint is not None
        return self.carried and has_hashes and (self.stat != self.row.stat or self.row.racy)

    @property
    def strength(self) -> int:
        """Order of claims on one row, strongest first: the kernel's word, a kept name, the rest."""
        if self.evidence is Evidence.COOKIE:
            return 0
        return 1 if name_of(self.row.path) == name_of(self.observation.path) else 2


def prove_by_inode(seen: Observation, stat: FileStat, row: FileRecord, *, owed: bool) -> Claim | None:
    """What proves that the row's file is the one seen, given that both have the same inode (rule 3).

    `owed`: the file was closed after writing at the row's path, and has not been read since.
    """
    cookie = row.path in seen.moved_from
    evidence = Evidence.COOKIE if cookie else Evidence.INODE
    undisturbed = row.stat == stat or (cookie and row.stat.same_bytes_likely(stat))
    is_unread = seen.fingerprint is None and not seen.growing
    # Where no hashes are wanted, a write that left size and mtime alone is none.
    is_known = not row.growing and (seen.unhashed or (row.fingerprint is not None and not owed))
    if undisturbed and is_unread and is_known:
        return Claim(seen, stat, row, evidence, carried=True, content_changed=False)
    same_content = seen.fingerprint is not None and seen.fingerprint == row.fingerprint
    same_size = stat.size == row.stat.size and (cookie or stat.size > 0)
    if same_content and (undisturbed or same_size):
        return Claim(seen, stat, row, evidence, carried=False, content_changed=False)
    was_examined = not is_unread or seen.error is not None or seen.unhashed
    if was_examined and (cookie or row.stat == stat):
        return Claim(seen, stat, row, evidence, carried=False, content_changed=True)
    return None


def may_be_the_file(row: FileRecord, stat: FileStat) -> bool:
    """Whether a file of this stat could be found to be the row's, whatever its content: rule 3 asks for the inode, or
    for the size."""
    return row.stat.inode == stat.inode or row.stat.size == stat.size


def may_stay_unread(row: FileRecord, stat: FileStat, moved_from: frozenset[bytes], path: bytes) -> bool:
    """Whether a row proves the content of the file seen at `path`, so that nobody needs to read it."""
    if row.fingerprint is None or row.growing:
        return False
    if row.path == path:
        return row.stat == stat and not row.racy
    return row.stat == stat or (
        row.path in moved_from and row.stat.same_file(stat) and row.stat.same_bytes_likely(stat)
    )


def is_as_told(row: FileRecord, stat: FileStat, path: bytes) -> bool:
    """Whether the file seen at `path` is the row's, as far as a stat can tell: good where no hashes are wanted."""
    return row.path == path and row.stat == stat and not row.growing


def only_attributes_changed(
    row: FileRecord, stat: FileStat, attributes: str | None, *, unhashed: bool = False
) -> bool:
    """Whether a change of mode or owner explains why the ctime is not the one of the row, with all else equal.

    Both must be known. A write that set the mtime back could hide behind it: good only where every write is
    heard of, or where (`unhashed`) what a stat says is all that is wanted.
    """
    is_trusted = (unhashed or (row.fingerprint is not None and not row.racy)) and not row.growing
    is_same = row.stat.same_file(stat) and row.stat.same_bytes_likely(stat)
    is_explained = attributes is not None and row.attributes is not None and attributes != row.attributes
    return is_trusted and is_same and is_explained


def folders_above(path: bytes) -> tuple[bytes, ...]:
    """Every folder above the path, nearest first, without the filesystem's root."""
    return _with_folders_above(path[: path.rfind(b"/")])


@lru_cache(maxsize=4096)
def _with_folders_above(folder: bytes) -> tuple[bytes, ...]:
    """Asked several times for each file, and the files of a batch mostly lie in few folders."""
    chain = []
    while folder:
        chain.append(folder)
        folder = folder[: folder.rfind(b"/")]
    return tuple(chain)


def folder_of(path: bytes) -> bytes:
    """The folder that holds the path."""
    return path[: path.rfind(b"/")]


def name_of(path: bytes) -> bytes:
    """The last component."""
    return path[path.rfind(b"/") + 1 :]
