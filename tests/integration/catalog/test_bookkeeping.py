"""The rows of a library in the order of their paths, as `verify` reads them, on both databases."""

from __future__ import annotations

import pytest

from file_watcher.catalog import bookkeeping
from file_watcher.catalog.batch import Batch
from file_watcher.catalog.bookkeeping import Amount, Books, KnownLibrary, root_of
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.snapshot import at_and_below
from file_watcher.catalog.store import CatalogStore
from tests.support.catalog import ROOT, music, record

EVERYWHERE = ((b"/", b"0"),)


@pytest.fixture
def books(database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch) -> Books:
    """Seven files, read three at a time."""
    monkeypatch.setattr(bookkeeping, "_PAGE", 3)
    names = ["a/1", "a/2", "a/3", "a/4", "a b", "a.mp3", "z\nz"]
    store.commit(Batch(inserts=[record(name, inode=n, size=10 + n) for n, name in enumerate(names)]))
    return Books(database)


def names(
    books: Books, *, within: tuple[tuple[bytes, bytes], ...] = EVERYWHERE, after: bytes = b""
) -> list[str]:
    return [row.path.removeprefix(ROOT + b"/").decode() for row in books.rows(1, within, after)]


def test_all_rows_come_once_in_the_order_of_their_bytes(books: Books) -> None:
    assert names(books) == ["a b", "a.mp3", "a/1", "a/2", "a/3", "a/4", "z\nz"]
    assert list(books.rows(2, EVERYWHERE)) == []


def test_what_lies_behind_a_path_follows(books: Books) -> None:
    assert names(books, after=ROOT + b"/a/2") == ["a/3", "a/4", "z\nz"]
    assert names(books, after=ROOT + b"/z\nz") == []


def test_a_folder_is_read_alone(books: Books) -> None:
    below = at_and_below(ROOT + b"/a")
    assert names(books, within=below) == ["a/1", "a/2", "a/3", "a/4"]
    assert names(books, within=below, after=ROOT + b"/a/3") == ["a/4"]
    assert names(books, within=at_and_below(ROOT + b"/a.mp3")) == ["a.mp3"]
    assert books.amount(1, below) == Amount(4, 10 + 11 + 12 + 13)


def test_one_row_is_asked_for_again(books: Books) -> None:
    row = books.row(1, ROOT + b"/a.mp3")
    assert row is not None
    assert (row.path, row.stat.size, row.library_id) == (ROOT + b"/a.mp3", 15, 1)
    assert row == next(iter(books.rows(1, at_and_below(row.path))))
    assert books.row(1, ROOT + b"/nothing") is None
    assert books.row(2, row.path) is None


def test_libraries_come_with_how_they_were_left(books: Books, database: Database) -> None:
    rows = Libraries(database)
    rows.ensure_library(ROOT)
    rows.ensure_library(b"/data/foreign")  # nobody watches it
    rows.save_library_state(LibraryState(1, "suspended", "the disk is away", 5, 2**64 - 1, "fs"))
    assert books.libraries() == [KnownLibrary(music(), "the disk is away", 2**64 - 1, "fs")]
    rows.save_library_state(LibraryState(1))
    assert books.libraries() == [KnownLibrary(music(), None, None, None)]


@pytest.mark.parametrize(
    "root", [b"/data/music", "/data/Müsik".encode(), b"/data/\xff\xfe", b"/data/\\x41", b"/data/a\\b"]
)
def test_a_root_is_what_it_was_whatever_its_bytes(database: Database, root: bytes) -> None:
    rows = Libraries(database)
    rows.save_library_state(LibraryState(rows.ensure_library(root).id))
    assert [known.library.root for known in Books(database).libraries()] == [root]
    assert root_of(root.decode("utf-8", "backslashreplace")) == root
