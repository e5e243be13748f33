"""Files without a row, gathered so that the catalog is asked once for many."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from file_watcher.errors import CatalogUnavailable
from file_watcher.watching.new_files import NewFiles


class Around:
    """A catalog that has rows of inodes below ten, and a scheduler that remembers what it was told."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.hints: list[list[tuple[bytes, bool]]] = []
        self.is_away = False
        self.new = NewFiles(self._recorded, self._hint)

    def _recorded(self, inodes: Collection[int]) -> Collection[int]:
        if self.is_away:
            raise CatalogUnavailable("away")
        self.asked.append(list(inodes))
        return {inode for inode in inodes if inode < 10}

    def _hint(self, files: Sequence[tuple[bytes, bool]]) -> None:
        self.hints.append(list(files))


def test_files_whose_inode_has_a_row_may_have_moved_and_all_others_are_unrecorded() -> None:
    at = Around()
    at.new.add(b"/a", 5)
    at.new.add(b"/b", 50)
    assert at.hints == [], "more may come"
    at.new.flush()
    assert at.asked == [[5, 50]]
    assert at.hints == [[(b"/a", False), (b"/b", True)]]
    at.new.flush()
    assert len(at.hints) == 1, "nothing is left"


def test_many_are_hinted_at_without_waiting_for_more() -> None:
    at = Around()
    for number in range(600):
        at.new.add(b"/%d" % number, 100 + number)
    assert [len(hints) for hints in at.hints] == [256, 256]
    at.new.flush()
    assert [path for hints in at.hints for path, _ in hints] == [b"/%d" % number for number in range(600)]


def test_an_outage_is_the_scans_and_nothing_is_hinted_at() -> None:
    at = Around()
    at.new.add(b"/a", 50)
    at.is_away = True
    with pytest.raises(CatalogUnavailable):
        at.new.flush()
    assert at.hints == []
