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


def choose_folders(
    entries: Collection[Entry], too_many: int, distance: int, waiting: Collection[bytes] = ()
) -> frozenset[bytes]:
    """Folders, `distance` levels above the entries, that stand for `too_many` of them, or as many as they can.

    Empty where no two entries have such a folder in common, and none lies below a folder that is `waiting` itself.
    """
    crowds: Counter[bytes] = Counter()
    for entry in entries:
        if (folder := _ancestor(entry, distance)) is not None:
            crowds[folder] += 1
    chosen: set[bytes] = set()
    for folder, count in crowds.most_common():
        spared = count if folder in waiting else count - 1
        if too_many <= 0:
            break
        if spared:
            chosen.add(folder)
            too_many -= spared
    return frozenset(chosen)


def _ancestor(entry: Entry, distance: int) -> bytes | None:
    """The folder so many levels up, at most the root; None for the root itself."""
    found = None
    for level, folder in enumerate(folders_up_to(entry.library.root, entry.path), start=1):
        found = folder
        if level == distance:
            break
    return found
