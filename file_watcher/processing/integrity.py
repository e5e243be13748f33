r"""Judges whether a file still holds the bytes whose hashes the catalog has. Pure; owns no thread.

What a stat can say of a file whose content is another one than was told:

- size, mtime or inode differ: somebody wrote or replaced it. That is a change, which the service tells.
- only ctime differs: somebody touched it (chmod, a rename, or a write whose mtime was put back, which no
  program can do to ctime). If the content is another one, this is no decay of the disk but an edit that hides,
  or damage done through the filesystem: `altered`.
- nothing differs: nobody wrote through the filesystem, and yet the bytes are others: `corrupt`.
"""

from __future__ import annotations

from enum import StrEnum

from file_watcher.model import FileRecord, FileStat, Fingerprint


class Verdict(StrEnum):
    """What became of a file since its hashes were told."""

    INTACT = "intact"
    """The hashes are those of the catalog."""
    CORRUPT = "corrupt"
    """Other bytes behind the same stat."""
    ALTERED = "altered"
    """Other bytes behind the same size and mtime, but ctime says that something was done to the file."""
    UNREADABLE = "unreadable"
    """The system refuses the content: rights, or a failing disk."""
    CHANGED = "changed"
    """Written or replaced since, or just being written: not told yet."""
    MISSING = "missing"
    """Not there any more: not told yet."""
    UNHASHED = "unhashed"
    """The catalog has no hashes to compare with: it was still growing, or could not be read."""


DAMAGE = frozenset({Verdict.CORRUPT, Verdict.ALTERED, Verdict.UNREADABLE})
"""What is wrong with a file; all else is fine, or the service's ordinary work."""


def was_written(row: FileRecord, stat: FileStat) -> bool:
    """Whether the stat alone tells another state than the row's.

    Devices are left out, since their numbers change when disks are mounted anew.
    """
    known = row.stat
    return (known.size, known.mtime_ns, known.inode) != (stat.size, stat.mtime_ns, stat.inode)


def judge(row: FileRecord, stat: FileStat, found: Fingerprint) -> Verdict:
    """What it means that the file with this stat has these hashes."""
    if was_written(row, stat):
        return Verdict.CHANGED
    if found == row.fingerprint:
        return Verdict.INTACT
    if row.racy:  # a write in the same instant could hide behind these times: the service reads it once more
        return Verdict.CHANGED
    return Verdict.CORRUPT if stat.ctime_ns == row.stat.ctime_ns else Verdict.ALTERED
