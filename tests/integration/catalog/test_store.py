from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.questions import questions_for
from file_watcher.catalog.store import Batch, CatalogStore, Refusal
from file_watcher.model import FileRecord, Fingerprint, Library
from file_watcher.watching.merge import is_as_told, is_unchanged
from tests.support.catalog import DEVICE, ROOT, message, music, opened, record, store_of


def stored(store: CatalogStore, folder: bytes = ROOT) -> list[FileRecord]:
    """All records as they come back, without their row numbers."""
    return [replace(found, row_id=None) for found in store.records_below(folder, 10_000)]


def at(store: CatalogStore, wanted: FileRecord) -> FileRecord:
    """The stored record at the path of the wanted one."""
    (found,) = store.load([wanted.path], [], [])
    return found


def test_a_record_comes_back_as_it_was_stored(store: CatalogStore) -> None:
    metadata = {"duration": 1.5, "channels": None, "tags": {"title": "Ærø \U0001f3b5 \x00", "lone": "\udc80"}}
    hashed = record("a.mp3", metadata=metadata, version=3, racy=True)
    growing = record("b.mp3", fingerprint=None, growing=True)

    store.commit(Batch(inserts=[hashed, growing]))

    assert stored(store) == [hashed, growing]


def test_unsigned_numbers_and_names_that_are_no_utf8_come_back(store: CatalogStore) -> None:
    odd = record(b"caf\xe9 \xff\xfe\n%?.mp3", inode=2**64 - 1, device=2**63 + 7, size=2**62)

    store.commit(Batch(inserts=[odd], messages=[message(odd)]))

    assert stored(store) == [odd]
    assert store.find(b"/none", 2**64 - 1)[0].path == odd.path
    assert store.load([], [2**64 - 1], []) == store.find(odd.path, 0)


def test_records_are_found_by_path_by_inode_and_by_content_and_each_only_once(store: CatalogStore) -> None:
    by_path, by_inode, other = record("a", inode=1), record("b", inode=2), record("c", inode=3, size=7)
    by_content = record("d", inode=4, size=8)
    store.commit(Batch(inserts=[by_path, by_inode, other, by_content]))

    found = store.load([by_path.path, b"/none"], [1, 2], [(8, b"s" * 32), (7, b"other hash")])

    assert sorted(one.path for one in found) == [by_path.path, by_inode.path, by_content.path]
    assert sorted(one.path for one in store.find(by_path.path, 2)) == [by_path.path, by_inode.path]
    assert store.find(by_path.path, 1)[0].stat == by_path.stat
    assert store.load([], [], []) == []


def test_of_inode_numbers_those_that_any_row_has_are_told(store: CatalogStore) -> None:
    rows = [record(f"{number:04}", inode=number) for number in range(600)]
    store.commit(Batch(inserts=[*rows, record("huge", inode=2**64 - 1)]))

    assert store.recorded_inodes([5, 700, 2**64 - 1, 2**64 - 2]) == {5, 2**64 - 1}
    assert store.recorded_inodes(range(300, 1200)) == {*range(300, 600)}
    assert store.recorded_inodes([]) == set()
    store.own([])
    assert store.recorded_inodes([5]) == {5}, "whosever it is"


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 63, 64, 65, 200])
def test_any_number_of_rows_is_inserted_in_order(store: CatalogStore, count: int) -> None:
    rows = [record(f"{number:04}", inode=number) for number in range(count)]

    span = store.commit(Batch(inserts=rows, messages=[message(row) for row in rows]))

    assert stored(store) == rows
    assert span is not None
    assert span[1] - span[0] == count - 1


def test_many_values_are_loaded_in_one_call(store: CatalogStore) -> None:
    many = [record(f"{number:04}", inode=number) for number in range(700)]
    store.commit(Batch(inserts=many))

    found = store.load(
        [one.path for one in many[:600]], range(650, 700), [(number, b"s" * 32) for number in range(300)]
    )

    assert sorted(one.path for one in found) == [one.path for one in many[:600] + many[650:]]


def test_only_the_libraries_that_are_owned_are_seen(database: Database, store: CatalogStore) -> None:
    mine, foreign = record("mine"), record("foreign", library_id=2, inode=42)
    store.commit(Batch(inserts=[mine, foreign]))

    assert [one.path for one in store.find(foreign.path, 42)] == [mine.path]
    assert [one.path for one in store.load([mine.path, foreign.path], [42], [])] == [mine.path]
    assert [entry.path for entry in store.below(ROOT)] == [mine.path]
    store.own([music(), Library(2, "other", "production", ROOT)])
    assert len(store.below(ROOT)) == 2
    assert CatalogStore(database).find(mine.path, 42) == []


def test_what_lies_outside_of_the_root_is_found_page_by_page(store: CatalogStore) -> None:
    elsewhere = [record("x", path=b"/formerly/%d" % number, inode=number) for number in range(5)]
    neighbour = record("x", path=ROOT + b"2/a", inode=9)
    store.commit(
        Batch(inserts=[record("mine"), *elsewhere, neighbour, record("other", library_id=2, inode=8)])
    )

    first = store.outside(music(), b"", 4)
    assert [*first, *store.outside(music(), first[-1], 4)] == sorted(
        each.path for each in [*elsewhere, neighbour]
    )


def test_modes_that_are_not_known_are_learnt_only_where_they_are_told_of(store: CatalogStore) -> None:
    store.commit(Batch(inserts=[record("mine"), record("told", attributes="644 0 0")]))
    assert [entry.trusted for entry in store.below(ROOT)] == [True, True]
    store.own([music()], learns_attributes=[1])
    assert [entry.trusted for entry in store.below(ROOT)] == [False, True]
    store.own([music()], learns_attributes=[2])
    assert [entry.trusted for entry in store.below(ROOT)] == [True, True]


def test_a_scan_sees_only_settled_and_hashed_records_as_trusted(store: CatalogStore) -> None:
    store.commit(
        Batch(
            inserts=[
                record("a settled"),
                record("b racy", racy=True),
                record("c growing", growing=True, fingerprint=None),
                record("d unread", fingerprint=None),
            ]
        )
    )

    entries = store.below(ROOT)
    assert [entry.trusted for entry in entries] == [True, False, False, True]
    assert [is_unchanged(entry, entry.stat) for entry in entries] == [True, False, False, False]
    assert [is_as_told(entry, entry.stat) for entry in entries] == [True, False, False, True], (
        "with `hashing` none"
    )
    assert store.below(ROOT)[0].stat == record("a").stat


def test_a_folders_neighbours_do_not_lie_below_it(store: CatalogStore) -> None:
    names = ["album", "album!/x", "album.bak/x", "album/1", "album/2", "album/2/3", "album0", "albums/x"]
    store.commit(Batch(inserts=[record(name, inode=number) for number, name in enumerate(names)]))
    album = ROOT + b"/album"

    assert [entry.path for entry in store.below(album)] == [album + tail for tail in (b"/1", b"/2", b"/2/3")]
    assert [one.path for one in store.records_below(album, 2)] == [album + b"/1", album + b"/2"]
    assert store.exists_below(album)
    assert not store.exists_below(album + b"/1")
    assert len(store.below(b"/")) == len(names) == store.count(1)
    assert store.count(2) == 0


def test_of_many_paths_those_that_were_folders_are_told_with_all_that_lay_below(store: CatalogStore) -> None:
    names = ["a/1", "a/2", "a.bak/1", "b/c/3", "d"]
    store.commit(Batch(inserts=[record(name, inode=number) for number, name in enumerate(names)]))
    asked = [ROOT + b"/" + name for name in (b"a", b"b", b"b/c", b"d", b"none")]

    found = store.records_below_any([*asked, *(ROOT + b"/x%d" % number for number in range(600))])

    assert {folder: [one.path for one in below] for folder, below in found.items()} == {
        ROOT + b"/a": [ROOT + b"/a/1", ROOT + b"/a/2"],
        ROOT + b"/b": [ROOT + b"/b/c/3"],
        ROOT + b"/b/c": [ROOT + b"/b/c/3"],
    }
    assert store.records_below_any([]) == {}


def test_a_content_that_very_many_files_share_finds_none_of_them(store: CatalogStore) -> None:
    silence = [record(f"silence {number}", inode=number) for number in range(65)]
    tune = record("tune", inode=99, fingerprint=Fingerprint(b"t" * 32, b"x" * 16))
    store.commit(Batch(inserts=[*silence[:64], tune]))
    contents = [(1000, b"s" * 32), (1000, b"t" * 32)]
    assert len(store.load([], [], contents)) == 65

    store.commit(Batch(inserts=silence[64:]))

    assert [one.path for one in store.load([], [], contents)] == [tune.path]


NAMES = st.binary(min_size=1, max_size=6).map(lambda name: name.replace(b"\0", b"/"))


@given(names=st.sets(NAMES, max_size=40), limit=st.integers(1, 7))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_give_every_path_once_in_the_order_of_its_bytes(
    store: CatalogStore, names: set[bytes], limit: int
) -> None:
    store.commit(Batch(deletes=[one.row_id for one in store.records_below(ROOT, 1000) if one.row_id]))
    store.commit(Batch(inserts=[record(name) for name in names]))
    seen: list[bytes] = []

    while page := store.below(ROOT, seen[-1] if seen else b"", limit):
        assert len(page) <= limit
        seen += [entry.path for entry in page]

    assert seen == sorted(ROOT + b"/" + name for name in names)


def test_ten_thousand_records_are_paged_while_others_are_committed(store: CatalogStore) -> None:
    for start in range(0, 10_000, 2000):
        store.commit(
            Batch(inserts=[record(f"{number:05}", inode=number) for number in range(start, start + 2000)])
        )
    seen: list[bytes] = []

    while page := store.below(ROOT, seen[-1] if seen else b""):
        seen += [entry.path for entry in page]
        store.commit(Batch(inserts=[record(f"-behind-{len(seen)}")]))

    assert seen == [ROOT + b"/%05d" % number for number in range(10_000)]


def test_a_chain_of_moves_is_one_commit(store: CatalogStore) -> None:
    one, two, three = (record(name, inode=number) for number, name in enumerate("123"))
    store.commit(Batch(inserts=[one, two, three]))
    moved = [
        replace(at(store, old), path=path, version=2)
        for old, path in ((three, ROOT + b"/4"), (two, three.path), (one, two.path))
    ]

    store.commit(Batch(updates=moved, inserts=[record("1", inode=9)]))

    assert [(found.path[-1:], found.file_id, found.version) for found in stored(store)][1:] == [
        (b"2", one.file_id, 2),
        (b"3", two.file_id, 2),
        (b"4", three.file_id, 2),
    ]


def test_a_file_that_overwrites_another_takes_its_path_in_one_commit(store: CatalogStore) -> None:
    old, new = record("old", inode=1), record("new", inode=2)
    store.commit(Batch(inserts=[old, new]))
    overwritten = at(store, old).row_id
    assert overwritten is not None

    store.commit(Batch(deletes=[overwritten], updates=[replace(at(store, new), path=old.path)]))

    assert stored(store) == [replace(new, path=old.path)]


def test_the_messages_of_a_commit_have_consecutive_sequences_in_the_given_order(
    database: Database, store: CatalogStore
) -> None:
    messages = [message(record(f"{number}")) for number in range(5)]

    assert store.commit(Batch(messages=messages[:2])) == (1, 2)
    assert store.commit(Batch(inserts=[record("unseen")])) is None
    assert store.commit(Batch()) is None
    assert store.commit(Batch(messages=messages[2:])) == (3, 5)
    waiting = Outbox(database, [1]).pending(0, 10)
    assert [one.event_id for one in waiting] == [one.event_id for one in messages]


def test_a_transaction_that_fails_leaves_nothing_behind(database: Database) -> None:
    def write_and_fail() -> None:
        with database.writing() as connection:
            connection.exec_driver_sql("INSERT INTO settings (key, value) VALUES ('file_watch.nice', '5')")
            raise RuntimeError("on the way")

    with pytest.raises(RuntimeError, match="on the way"):
        write_and_fail()

    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM settings").scalar() == 0


def test_a_refused_file_is_left_out_with_its_messages_and_the_others_keep_their_order(
    database: Database,
) -> None:
    refusals: list[Refusal] = []

    def remember(refused: Sequence[Refusal]) -> None:
        refusals.extend(refused)

    store = store_of(database, on_refused=remember)
    taken = record("taken")
    store.commit(Batch(inserts=[taken]))
    files = [record(f"{number:02}", inode=number) for number in range(40)]
    files[7] = record("taken", file_id=files[7].file_id)
    files[23] = record("23", metadata={"duration": float("inf")})
    files[31] = record("31", size=2**70)

    messages = [message(one) for one in reversed(files)]
    span = store.commit(Batch(inserts=files, messages=messages))

    good = [one for number, one in enumerate(files) if number not in {7, 23, 31}]
    assert stored(store) == [*good, taken]
    assert [one.event_id for one in Outbox(database, [1]).pending(0, 100)] == [
        one.event_id for one in messages if one.file_id in {good_one.file_id for good_one in good}
    ]
    assert span is not None
    assert span[1] - span[0] == len(good) - 1
    assert {refusal.paths for refusal in refusals} == {(files[n].path,) for n in (7, 23, 31)}
    assert all(refusal.reason for refusal in refusals)


def test_a_row_is_not_deleted_when_its_message_is_refused(database: Database, store: CatalogStore) -> None:
    gone, also_gone = record("a", inode=1), record("b", inode=2)
    first = message(gone)
    store.commit(Batch(inserts=[gone, also_gone], messages=[first]))
    rows = [at(store, one).row_id or 0 for one in (gone, also_gone)]
    again = message(gone, "deleted", event_id=first.event_id)

    store.commit(Batch(deletes=rows, messages=[again, message(also_gone, "deleted")]))

    assert stored(store) == [gone]
    assert [one.event_type for one in Outbox(database, [1]).pending(0, 10)] == ["created", "deleted"]


def test_a_batch_of_which_nothing_is_acceptable_commits_nothing(store: CatalogStore) -> None:
    bad = record("a", size=2**70)

    assert store.commit(Batch(inserts=[bad], messages=[message(bad)])) is None
    assert stored(store) == []


def test_an_update_without_its_row_is_refused_rather_than_lost(database: Database) -> None:
    refusals: list[Refusal] = []
    store = store_of(database, on_refused=refusals.extend)

    store.commit(Batch(updates=[record("a")]))

    assert [refusal.paths for refusal in refusals] == [(ROOT + b"/a",)]


def test_the_roots_device_may_change_its_number_between_runs(database: Database, store: CatalogStore) -> None:
    store.commit(Batch(inserts=[record("a", device=DEVICE), record("mounted/b", device=5, inode=3)]))
    next_run = store_of(database)
    next_run.set_root_device(1, 777)

    assert [entry.stat.device for entry in next_run.below(ROOT)] == [777, 5]
    assert [one.stat.device for one in next_run.records_below(ROOT, 9)] == [777, 5]


def test_threads_read_while_another_commits_and_see_whole_commits_only(store: CatalogStore) -> None:
    ended = threading.Event()
    halves: list[int] = []

    def read() -> None:
        while not ended.is_set():
            found = store.load([ROOT + b"/a", ROOT + b"/b"], [], [])
            store.find(ROOT + b"/a", 1)
            if len({one.version for one in found}) > 1 or len(found) not in {0, 2}:
                halves.append(len(found))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        store.commit(Batch(inserts=[record("a", inode=1), record("b", inode=2)]))
        for version in range(2, 60):
            found = store.records_below(ROOT, 2)
            store.commit(Batch(updates=[replace(one, version=version) for one in found]))
    finally:
        ended.set()
        for reader in readers:
            reader.join(10)
    assert halves == []


def test_postgresql_asks_by_index_even_while_the_table_is_empty(postgres_url: str) -> None:
    with opened(postgres_url) as database, database.reading() as connection:
        ask = questions_for(database, [1])
        for sql, parameters in (
            (ask.by_path_or_inode, (b"/a", 5)),
            ask.by_paths([b"/a", b"/b"]),
            ask.by_inodes([1, 2]),
            ask.by_contents([(1, b"h")]),
            (ask.entries_in, (b"/a/", b"/a0", 10)),
        ):
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {sql}", parameters))
            assert "Index Scan" in plan
            assert "Seq Scan" not in plan
