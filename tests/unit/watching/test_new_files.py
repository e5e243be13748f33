"""Files without a row, gathered so that the catalog is asked once for many."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pytest

from file_watcher.errors import CatalogUnavailable
from file_watcher.watching.new_files import NewFiles


class Around:
    """A catalog that has rows of inodes below ten, and a scheduler with so much room that remembers what it was told."""

    def __init__(self) -> None:
        self.room = 1000
        self.recorded = set(range(10))
        self.asked: list[list[int]] = []
        self.hints: list[list[tuple[bytes, bool]]] = []
        self.is_away = False
        self.new = NewFiles(self.wait_for_room, self._recorded, self._hint)

    def wait_for_room(self) -> int:
        return self.room

    def _recorded(self, inodes: Collection[int]) -> Collection[int]:
        if self.is_away:
            raise CatalogUnavailable("away")
        self.asked.append(list(inodes))
        return self.recorded.intersection(inodes)

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


def test_the_catalog_is_asked_once_there_is_room_since_others_may_have_told_of_a_file_meanwhile() -> None:
    class Full(Around):
        def wait_for_room(self) -> int:
            self.recorded.add(50 + len(self.hints))
            return 1

    at = Full()
    for number in range(3):
        at.new.add(b"/%d" % number, 50 + number)
    at.new.flush()
    assert at.hints == [[(b"/0", False)], [(b"/1", False)], [(b"/2", False)]]


def test_an_outage_is_the_scans_and_nothing_is_hinted_at() -> None:
    at = Around()
    at.new.add(b"/a", 50)
    at.is_away = True
    with pytest.raises(CatalogUnavailable):
        at.new.flush()
    assert at.hints == []
