"""Files of the same content, as the catalog knows them, on both databases."""

from __future__ import annotations

import pytest

from file_watcher.catalog import duplicates
from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.duplicates import Duplicates, Group
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import FileRecord, Fingerprint, Library
from tests.support.catalog import DEVICE, ROOT, music, record

OTHER = Library(2, "other", "production", b"/data/other")


@pytest.fixture
def store(database: Database) -> CatalogStore:
    """A store that owns two libraries, whose roots lie on one device."""
    store = CatalogStore(database)
    rows = Libraries(database)
    for library in (music(), OTHER):
        assert rows.ensure_library(library.root).id == library.id
        rows.save_library_state(LibraryState(library.id, root_device=DEVICE))
    store.own([music(), OTHER])
    for library in (music(), OTHER):
        store.set_root_device(library.id, DEVICE)
    return store


def hashed(name: str, content: bytes, inode: int, size: int = 1000, **changes: object) -> FileRecord:
    fingerprint = Fingerprint(content * 32, content * 16)
    return record(name, inode=inode, size=size, fingerprint=fingerprint, **changes)


def commit(store: CatalogStore, *records: FileRecord) -> None:
    store.commit(Batch(inserts=records))


def paths(found: Duplicates, group: Group) -> list[bytes]:
    return [member.path for member in found.members(group)]


def test_files_of_one_content_are_a_group_and_largest_come_first(
    database: Database, store: CatalogStore
) -> None:
    commit(
        store,
        *(hashed(f"a{n}", b"a", n) for n in range(3)),
        *(hashed(f"b{n}", b"b", 10 + n, size=5000) for n in range(2)),
        hashed("lonely", b"c", 20),
        hashed("other size", b"a", 21, size=1001),
    )
    found = Duplicates(database)
    assert list(found.groups()) == [Group(5000, b"b" * 32, 2, 2), Group(1000, b"a" * 32, 3, 3)]
    assert [group.wasted for group in found.groups()] == [5000, 2000]
    assert [paths(found, group) for group in found.groups()] == [
        [ROOT + b"/b0", ROOT + b"/b1"],
        [ROOT + b"/a0", ROOT + b"/a1", ROOT + b"/a2"],
    ]


def test_hard_links_waste_nothing_also_across_libraries(database: Database, store: CatalogStore) -> None:
    linked = hashed("x", b"a", 7, library_id=2, path=b"/data/other/x")
    commit(store, hashed("a", b"a", 7), hashed("b", b"a", 7), linked, hashed("copy", b"a", 8))
    (group,) = Duplicates(database).groups()
    assert (group.files, group.copies, group.wasted) == (4, 2, 1000)


def test_one_inode_number_on_two_disks_is_two_files(database: Database, store: CatalogStore) -> None:
    commit(store, hashed("a", b"a", 7), hashed("mounted/b", b"a", 7, device=DEVICE + 1))
    (group,) = Duplicates(database).groups()
    assert (group.files, group.copies) == (2, 2)


def test_a_library_can_be_looked_at_alone(database: Database, store: CatalogStore) -> None:
    commit(store, hashed("a", b"a", 1), hashed("x", b"a", 2, library_id=2, path=b"/data/other/x"))
    assert [group.files for group in Duplicates(database).groups()] == [2]
    assert list(Duplicates(database, library_id=1).groups()) == []
    commit(store, hashed("b", b"a", 3))
    alone = Duplicates(database, library_id=1)
    (group,) = alone.groups()
    assert (group.files, paths(alone, group)) == (2, [ROOT + b"/a", ROOT + b"/b"])
    assert [member.library for member in alone.members(group)] == ["music", "music"]


def test_empty_small_and_unhashed_files_are_left_out(database: Database, store: CatalogStore) -> None:
    commit(
        store,
        *(hashed(f"empty{n}", b"e", n, size=0) for n in range(2)),
        *(hashed(f"small{n}", b"s", 10 + n, size=99) for n in range(2)),
        *(record(f"growing{n}", inode=20 + n, fingerprint=None, growing=True) for n in range(2)),
    )
    assert [group.size for group in Duplicates(database).groups()] == [99]
    assert list(Duplicates(database, min_size=100).groups()) == []


def test_any_number_of_groups_and_members_is_paged(
    database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_GROUPS", 2)
    monkeypatch.setattr(duplicates, "_MEMBERS", 2)
    contents = [b"a", b"b", b"c", b"d"]
    commit(
        store, *(hashed(f"{c.decode()}{n}", c, 10 * i + n) for i, c in enumerate(contents) for n in range(5))
    )
    found = Duplicates(database)
    groups = list(found.groups())
    assert [group.sha256[:1] for group in groups] == [b"d", b"c", b"b", b"a"]
    assert paths(found, groups[3]) == [ROOT + b"/a%d" % n for n in range(5)]


def test_groups_are_found_in_the_index_alone(database: Database, store: CatalogStore) -> None:
    found = Duplicates(database)
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
    with database.reading() as connection:
        rows = connection.exec_driver_sql(explain + found._page, (5, 5, b"", 1, 5))
        plan = "\n".join(str(row[-1]) for row in rows)
    assert "ix_fw_files_content" in plan, plan
    if database.is_sqlite:
        assert "COVERING INDEX ix_fw_files_content (size>? AND size<?)" in plan, plan
        assert "GROUP BY" not in plan  # it is in order already
