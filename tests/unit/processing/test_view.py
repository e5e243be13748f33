from __future__ import annotations

from dataclasses import replace

from file_watcher.model import FileRecord, FileStat
from file_watcher.processing.view import CatalogView, RowChanges
from tests.support.world import LIBRARY, fingerprint_of

STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)
ONE = fingerprint_of(b"one")


def row(path: bytes, file_id: str = "1", **fields: object) -> FileRecord:
    values: dict[str, object] = {"version": 1, "stat": STAT, "fingerprint": ONE, "row_id": int(file_id)}
    return FileRecord(path, LIBRARY.id, file_id, **(values | fields))  # type: ignore[arg-type]


A, B, C = row(b"/lib/a", "1"), row(b"/lib/b", "2"), row(b"/lib/c", "3")


def test_an_untouched_view_changes_nothing() -> None:
    assert CatalogView([A, B]).changes() == RowChanges()


def test_rows_are_found_by_path_inode_and_content() -> None:
    view = CatalogView([A, replace(B, stat=STAT._replace(inode=5, size=9))])
    assert view.at(b"/lib/a") is A
    assert view.at(b"/lib/c") is None
    assert view.with_inode(STAT) == [A]
    assert view.with_content(3, ONE) == [A]
    assert view.with_content(3, fingerprint_of(b"two")) == []


def test_the_same_inode_of_another_device_is_another_file() -> None:
    assert CatalogView([A]).with_inode(STAT._replace(device=8)) == []


def test_a_row_without_hashes_has_no_content() -> None:
    assert CatalogView([replace(A, fingerprint=None)]).with_content(3, ONE) == []


def test_a_row_that_was_changed_or_taken_away_can_no_longer_be_claimed() -> None:
    view = CatalogView([A, B, C])
    view.put(replace(A, version=2))
    view.put(replace(B, path=b"/lib/x"))
    view.remove(C)
    assert view.with_inode(STAT) == []
    assert view.with_content(3, ONE) == []


def test_a_moved_row_leaves_its_place_free() -> None:
    view = CatalogView([A])
    moved = replace(A, path=b"/lib/b")
    view.put(moved)
    assert view.at(b"/lib/a") is None
    assert view.at(b"/lib/b") is moved
    assert view.changes() == RowChanges(updates=[moved])


def test_a_row_that_moves_twice_is_updated_once() -> None:
    view = CatalogView([A])
    view.put(replace(A, path=b"/lib/b"))
    last = replace(A, path=b"/lib/c")
    view.put(last)
    assert view.at(b"/lib/b") is None
    assert view.changes() == RowChanges(updates=[last])


def test_a_row_that_ends_as_it_began_is_left_out() -> None:
    view = CatalogView([A])
    view.put(replace(A, version=2))
    view.put(A)
    assert view.changes() == RowChanges()


def test_a_new_row_is_inserted_as_it_ended() -> None:
    view = CatalogView([])
    new = row(b"/lib/a", "9", row_id=None)
    view.put(new)
    last = replace(new, version=2)
    view.put(last)
    assert view.changes() == RowChanges(inserts=[last])


def test_a_new_row_that_is_taken_away_again_never_was() -> None:
    view = CatalogView([])
    new = row(b"/lib/a", "9", row_id=None)
    view.put(new)
    view.remove(new)
    assert view.at(b"/lib/a") is None
    assert view.changes() == RowChanges()


def test_a_row_that_was_changed_and_taken_away_is_deleted_as_it_was_stored() -> None:
    view = CatalogView([A])
    moved = replace(A, path=b"/lib/b")
    view.put(moved)
    view.remove(moved)
    assert view.at(b"/lib/b") is None
    assert view.changes() == RowChanges(deletes=[A])


def test_a_place_taken_over_is_not_freed_by_the_row_that_left_it() -> None:
    view = CatalogView([A, B])
    moved_b = replace(B, path=b"/lib/c")
    view.put(moved_b)
    moved_a = replace(A, path=b"/lib/b")
    view.put(moved_a)
    view.put(replace(moved_b, version=2))
    assert view.at(b"/lib/b") is moved_a


def test_a_row_that_leaves_late_does_not_take_its_successor_along() -> None:
    view = CatalogView([A, B])
    moved_a = replace(A, path=b"/lib/b")
    view.put(moved_a)
    view.put(replace(B, path=b"/lib/c"))
    assert view.at(b"/lib/b") is moved_a


def test_updates_come_in_the_order_in_which_places_were_taken() -> None:
    view = CatalogView([A, B, C])
    for new in (replace(C, path=b"/lib/d"), replace(B, path=b"/lib/c"), replace(A, path=b"/lib/b")):
        view.put(new)
    assert [each.file_id for each in view.changes().updates] == ["3", "2", "1"]


def test_a_change_in_place_keeps_the_order_of_places() -> None:
    view = CatalogView([A, B])
    moved_b = replace(B, path=b"/lib/c")
    view.put(moved_b)
    view.put(replace(A, path=b"/lib/b"))
    view.put(replace(moved_b, version=2))
    assert [each.file_id for each in view.changes().updates] == ["2", "1"]


def test_a_second_change_of_place_comes_after_those_it_waited_for() -> None:
    view = CatalogView([A, B])
    view.put(replace(A, path=b"/lib/x"))
    view.put(replace(B, path=b"/lib/y"))
    view.put(replace(A, path=b"/lib/b"))
    assert [each.path for each in view.changes().updates] == [b"/lib/y", b"/lib/b"]


def test_rows_below_a_folder_are_counted_while_they_stand() -> None:
    x, y = row(b"/lib/d/x", "1"), row(b"/lib/d/e/y", "2")
    view = CatalogView([x, y, row(b"/lib/dd", "3")])
    assert view.count_below(b"/lib/d") == 2
    assert view.count_below(b"/lib/d/x") == 0
    view.put(replace(x, version=2, path=b"/lib/x"))
    assert view.count_below(b"/lib/d") == 1
    view.remove(y)
    assert view.count_below(b"/lib/d") == 0


def test_a_row_that_only_passed_through_a_folder_was_never_counted_there() -> None:
    view = CatalogView([A, row(b"/lib/d/x", "2")])
    view.put(replace(A, path=b"/lib/d/y"))
    view.put(replace(A, path=b"/lib/z"))
    assert view.count_below(b"/lib/d") == 1
