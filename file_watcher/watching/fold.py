"""Which folders stand for their dirty files when there are too many of them. Pure.

The fullest folders first, since a scan of them costs least for each path that it stands for; then their
parents, and at last the libraries' roots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator

from file_watcher.watching.entry import Entry


def folders_up_to(root: bytes, path: bytes) -> Iterator[bytes]:
    """Every folder above the path, nearest first, the last one being `root`; none for the root itself."""
    least = len(root.rstrip(b"/"))
    end = path.rfind(b"/")
    while end > least:
        yield path[:end]
        end = path.rfind(b"/", 0, end)
    if path != root:
        yield root


def choose_folders(entries: Collection[Entry], too_many: int, distance: int) -> frozenset[bytes]:
    """Folders, `distance` levels above the entries, that stand for `too_many` of them, or as many as they can.

    Empty where no two entries have such a folder in common.
    """
    crowds: Counter[bytes] = Counter()
    for entry in entries:
        if (folder := _ancestor(entry, distance)) is not None:
            crowds[folder] += 1
    chosen: set[bytes] = set()
    for folder, count in crowds.most_common():
        if count < 2 or too_many <= 0:
            break
        chosen.add(folder)
        too_many -= count - 1
    return frozenset(chosen)


def _ancestor(entry: Entry, distance: int) -> bytes | None:
    """The folder so many levels up, at most the root; None for the root itself."""
    found = None
    for level, folder in enumerate(folders_up_to(entry.library.root, entry.path), start=1):
        found = folder
        if level == distance:
            break
    return found
