"""What a crash of the process, a lost connection or a stopped server leaves in the catalog."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection

from file_watcher.catalog import database as database_module
from file_watcher.catalog.batch import BatchWriter
from file_watcher.catalog.database import CircuitOpen, Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.owner import SessionLock, owner_lock
from file_watcher.catalog.requests import Requests
from file_watcher.catalog.rows import RootDevices
from file_watcher.catalog.store import Batch, CatalogStore
from file_watcher.circuit import CircuitConfig
from file_watcher.errors import CatalogBusy, CatalogError, CatalogUnavailable
from tests.support.catalog import ROOT, message, opened, record, store_of
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import wait_for

IMPORT_FOR_EVER = """
import sys
from file_watcher.catalog.requests import Requests
from file_watcher.catalog.rows import RootDevices
from file_watcher.catalog.store import Batch
from tests.support.catalog import message, opened, record, store_of
run = sys.argv[2]
with opened(sys.argv[1]) as database:
    store = store_of(database)
    for number in range(1_000_000):
        files = [record(f"{run}/{number:07}/{each:02}", inode=each) for each in range(20)]
        print(*store.commit(Batch(inserts=files, messages=[message(one) for one in files])), flush=True)
"""


def test_a_process_that_is_killed_leaves_whole_commits_and_none_that_it_told_is_lost(
    database_url: str,
) -> None:
    for run in range(3):
        command = [sys.executable, "-c", IMPORT_FOR_EVER, database_url, str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as importer:
            assert importer.stdout is not None
            told = [importer.stdout.readline() for _ in range(5 + 7 * run)]
            importer.kill()
            told += importer.stdout.readlines()
        last_told = int(told[-1].split()[1]) if told[-1].endswith("\n") else int(told[-2].split()[1])

        check_that_commits_are_whole(database_url, last_told)


def check_that_commits_are_whole(database_url: str, last_told: int) -> None:
    with opened(database_url) as database:
        store, outbox = store_of(database), Outbox(database, [1])
        # The server may still be busy with the last commit of the process that is gone.
        wait_for(lambda: store.count(1) == outbox.depth()[0], "as many rows as messages")
        assert store.count(1) % 20 == 0
        assert outbox.last_sequence() >= last_told
        waiting = outbox.pending(0, 1_000_000)
        assert {one.path for one in waiting} == {entry.path for entry in store.below(ROOT, limit=1_000_000)}
        path = database.path
    if path is not None:
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def remote(postgres_url: str) -> Iterator[Database]:
    with opened(postgres_url) as database:
        yield database


def test_connections_that_the_server_ended_cost_one_failure_and_then_all_works(
    remote: Database, postgres: PostgresCluster
) -> None:
    store = store_of(remote)
    store.commit(Batch(inserts=[record("a")]))
    assert len(store.find(ROOT + b"/a", 0)) == 1
    postgres.terminate_connections()

    with pytest.raises(CatalogUnavailable):
        store.find(ROOT + b"/a", 0)

    assert len(store.find(ROOT + b"/a", 0)) == 1
    assert store.commit(Batch(messages=[message()])) == (1, 1)


def test_a_connection_that_is_lost_within_a_transaction_leaves_nothing(
    remote: Database, postgres: PostgresCluster
) -> None:
    def write_while_the_server_ends_the_connection() -> None:
        with remote.writing() as connection:
            connection.exec_driver_sql("INSERT INTO settings (key, value) VALUES ('file_watch.nice', '5')")
            postgres.terminate_connections()

    with pytest.raises(CatalogUnavailable):
        write_while_the_server_ends_the_connection()

    with remote.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM settings").scalar() == 0


def test_a_server_that_stops_makes_the_catalog_unavailable_until_it_is_back(
    remote: Database, postgres: PostgresCluster
) -> None:
    store = store_of(remote)
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(CatalogUnavailable):
                store.commit(Batch(inserts=[record("a")]))
            with pytest.raises(CatalogUnavailable):
                store.load([b"/a"], [], [])
    finally:
        postgres.start()

    wait_for(
        lambda: _answered(lambda: store.commit(Batch(inserts=[record("a")]))), "the catalog to be tried again"
    )
    assert store.count(1) == 1


@pytest.fixture
def impatient(postgres_url: str) -> Iterator[Database]:
    """Does not wait long for a connection either (2 s are libpq's least)."""
    with opened(f"{postgres_url}?connect_timeout=2") as database:
        yield database


def test_a_server_that_stopped_answering_is_found_out_by_one_question_and_frees_all_who_wait_for_it(
    impatient: Database, postgres: PostgresCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "ANSWER_SECONDS", 0.5)
    store, requests = store_of(impatient), Requests(impatient)
    store.commit(Batch(inserts=[record("a")]))
    failures: list[str] = []

    def ask(question: Callable[[], object]) -> None:
        try:
            question()
        except CatalogUnavailable as exc:
            failures.append(str(exc))

    waiting = [lambda: store.find(ROOT + b"/a", 0), lambda: store.commit(Batch(inserts=[record("b")]))]
    threads = [threading.Thread(target=ask, args=(question,)) for question in waiting]
    postgres.suspend()
    try:
        for thread in threads:
            thread.start()
        with pytest.raises(CatalogUnavailable, match="does not answer"):
            requests.take()
        for thread in threads:
            thread.join(20)
        assert len(failures) == 2
        ask(requests.take)  # it may have been let through as a trial: then the next one is not
        with pytest.raises(CircuitOpen, match="does not answer"):
            requests.take()
        assert [circuit.facts()["state"] for circuit in impatient.circuits] == ["open", "open"]
    finally:
        postgres.resume()

    wait_for(
        lambda: _answered(lambda: store.commit(Batch(messages=[message()]))), "the catalog to be tried again"
    )
    wait_for(lambda: _answered(requests.take), "reading to be tried again")
    wait_for(lambda: all(circuit.is_closed for circuit in impatient.circuits), "it to be trusted again")
    assert store.count(1) in {1, 2}, "a commit that was given up is done as a whole or not at all"


def test_a_question_that_takes_long_is_no_silence_once_the_server_has_answered_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else counting a large outbox would keep a server that had relapsed from ever being trusted again."""
    monkeypatch.setattr(database_module, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(database_module, "CIRCUITS", CircuitConfig(steady=30.0))
    with opened(postgres_url) as database:
        for circuit in database.circuits:
            circuit.failed("it was away", at_once=True)
        wait_for(lambda: _answered(Requests(database).take), "the trial")

        with database.reading() as connection:
            connection.exec_driver_sql("SELECT pg_sleep(1)").close()

        assert [circuit.facts()["state"] for circuit in database.circuits] == ["half_open", "open"]


def test_an_owner_that_was_cut_off_from_its_server_is_not_kept_out_by_its_own_ghost(
    remote: Database,
) -> None:
    lock = SessionLock(remote, "abc12345")
    lock.acquire()
    ghost = lock._session
    assert ghost is not None
    lock._session = None  # as after a wait that was given up, but the server has not noticed

    with pytest.raises(CatalogUnavailable, match="session that we lost"):
        lock.keep()
    wait_for(lambda: _kept(lock), "the ghost to go")

    lock.release()
    remote.end_session(ghost)


def test_an_owner_that_never_heard_whether_it_got_the_lock_is_not_kept_out_by_itself(
    remote: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = SessionLock(remote, "abc12345")
    ghosts: list[Connection] = []

    def lose_the_answer(session: Connection, sql: str, *values: Any) -> Any:
        answer = session.exec_driver_sql(sql.replace("?", "%s"), values).first()
        if "try_advisory_lock" in sql:
            raise psycopg.OperationalError("the connection was cut off")
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(lock, "_ask", lose_the_answer)
        patch.setattr(remote, "end_session", ghosts.append)  # the server has not noticed
        with pytest.raises(CatalogUnavailable):
            lock.acquire()

    with pytest.raises(CatalogUnavailable, match="session that we lost"):
        lock.acquire()
    wait_for(lambda: _kept(lock), "the ghost to go")

    lock.release()
    for ghost in ghosts:
        remote.end_session(ghost)


def test_after_an_unknown_commit_nothing_is_read_before_the_database_has_decided_it(
    database_url: str, database: Database, store: CatalogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, database.writing():
        patch.setattr(database_module, "BUSY_SECONDS", 0.01)
        with pytest.raises(CatalogUnavailable):
            store.commit(Batch())
    found: list[int] = []
    reader = threading.Thread(target=lambda: found.append(len(store.load([ROOT + b"/late"], [], []))))
    with opened(database_url) as lost_client:
        writer = BatchWriter(lost_client, RootDevices())
        with lost_client.writing() as under_way:
            writer.write(under_way, Batch(inserts=[record("late")]))
            reader.start()
            reader.join(0.2)
            assert reader.is_alive()
        reader.join(10)

    assert found == [1]


def test_an_instance_is_owned_once_per_database(postgres_url: str, remote: Database) -> None:
    with opened(postgres_url) as second:
        lock, rival = owner_lock(remote, "abc12345"), owner_lock(second, "abc12345")
        neighbour = SessionLock(second, "other")
        lock.acquire()
        neighbour.acquire()

        with pytest.raises(CatalogBusy, match=r"instance abc12345.*INSTANCE_ID"):
            rival.acquire()

        lock.release()
        lock.release()
        rival.acquire()
        rival.release()
        neighbour.release()


def test_what_was_given_back_may_be_taken_before_the_server_has_seen_the_session_end(
    remote: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, heir = SessionLock(remote, "abc12345"), SessionLock(remote, "abc12345")
    unseen: list[Connection] = []
    lock.acquire()

    with monkeypatch.context() as patch:
        patch.setattr(remote, "end_session", unseen.append)
        lock.release()
    heir.acquire()

    heir.release()
    remote.end_session(*unseen)


def test_giving_back_what_a_server_no_longer_answers_for_is_no_failure(
    remote: Database, postgres: PostgresCluster
) -> None:
    lock = SessionLock(remote, "abc12345")
    lock.acquire()
    postgres.terminate_connections()

    lock.release()

    wait_for(lambda: _acquired(lock), "the server to give the lock away")
    lock.release()


def test_an_owner_whose_session_was_ended_owns_no_more(remote: Database, postgres: PostgresCluster) -> None:
    lock = SessionLock(remote, "abc12345")
    lock.acquire()
    postgres.terminate_connections()
    heir = SessionLock(remote, "abc12345")

    wait_for(lambda: _acquired(heir), "the server to give the lock away")

    heir.release()
    lock.release()


def test_an_owner_that_looks_after_its_lock_takes_it_again_unless_another_one_was_faster(
    remote: Database, postgres: PostgresCluster
) -> None:
    lock, heir = SessionLock(remote, "abc12345"), SessionLock(remote, "abc12345")
    lock.acquire()
    postgres.terminate_connections()
    wait_for(lambda: _kept(lock), "the lock to be taken again")
    with pytest.raises(CatalogBusy):
        heir.acquire()
    lock.keep()

    postgres.terminate_connections()
    wait_for(lambda: _acquired(heir), "the heir to be faster")
    with pytest.raises(CatalogBusy):
        wait_for(lambda: _kept(lock), "the loss to be noticed")
    heir.release()
    lock.release()


def _answered(question: Callable[[], object]) -> bool:
    try:
        question()
    except CatalogUnavailable:
        return False
    return True


def _kept(lock: SessionLock) -> bool:
    try:
        lock.keep()
    except CatalogUnavailable:
        return False
    return True


def _acquired(lock: SessionLock) -> bool:
    try:
        lock.acquire()
    except (CatalogBusy, CatalogUnavailable):
        return False
    return True


def test_a_database_that_does_not_exist_is_a_wrong_address(postgres: PostgresCluster) -> None:
    database = Database(postgres.url("none_of_that_name"))

    with pytest.raises(CatalogError, match=r"does not exist.*DATABASE_URL"):
        database.open()
    database.close()
