"""Several instances on one PostgreSQL: one owner a library, whatever happens to it, and nothing told twice or lost."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import psycopg
import pytest

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.store import CatalogStore
from file_watcher.model import Library
from file_watcher.publishing.message import encode_event, routing_key
from tests.support.catalog import opened
from tests.support.fleet import FleetTrial, fleet, logged, write_files
from tests.support.jobs import change
from tests.support.messages import event
from tests.support.postgresql import PostgresCluster
from tests.support.waiting import wait_for

MOST_CONNECTIONS = 8
"""Of one instance to its database."""


@pytest.fixture
def trial(tmp_path: Path, broker_url: str, exchange: str, postgres_url: str) -> FleetTrial:
    """No instance yet."""
    return FleetTrial(tmp_path, broker_url, exchange, postgres_url)


def recorded(trial: FleetTrial, library_id: int) -> int:
    with psycopg.connect(trial.database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM fw_events WHERE library_id = %s", (library_id,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def told_by(trial: FleetTrial, name: str, library_id: int) -> set[str]:
    """The ids of what an instance recorded of a library."""
    with psycopg.connect(trial.database_url) as connection:
        rows = connection.execute(
            "SELECT event_id FROM fw_events WHERE library_id = %s "
            "AND convert_from(body, 'UTF8')::json ->> 'instance_id' = %s",
            (library_id, name),
        ).fetchall()
    return {str(row[0]) for row in rows}


def connections(trial: FleetTrial) -> int:
    with psycopg.connect(trial.database_url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'file_watcher'"
        ).fetchone()
    assert row is not None
    return int(row[0])


class Import:
    """Files that appear while a test goes on."""

    def __init__(self, root: Path, count: int, pause: float = 0.002) -> None:
        self._thread = threading.Thread(target=write_files, args=(root, count), kwargs={"pause": pause})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_a_library_finds_a_new_owner_when_its_owner_is_killed_or_frozen_and_the_old_one_writes_nothing(
    trial: FleetTrial,
) -> None:
    names = ["one", "two", "three"]
    for name in names:
        trial.add_instance(name)
    with fleet(trial):
        trial.start(*names)
        library_id, root = trial.add_library("shared")
        first = trial.wait_for_owner(library_id)

        with Import(root, 300):
            wait_for(lambda: recorded(trial, library_id) > 60, "the import to be under way", 60)
            trial.services[first].kill()
            trial.let_the_lease_pass(library_id)
            second = trial.wait_for_owner(library_id, not_=first)

            # Frozen in the middle of it, its connections gone, and alive again when another one has it.
            wait_for(lambda: told_by(trial, second, library_id), "the new owner to go on", 60)
            frozen = trial.services[second]
            frozen.suspend()
            assert frozen.process is not None
            trial.cut_off(frozen.process.pid)
            trial.let_the_lease_pass(library_id)
            third = trial.wait_for_owner(library_id, not_=second)
            before = told_by(trial, second, library_id)
            frozen.resume()
        trial.converge(library_id)

        assert {first, second, third} == set(names)
        assert told_by(trial, second, library_id) == before, "it wrote nothing after it had lost the library"
        wait_for(lambda: logged(frozen, "leases_lost"), "the loss to be noticed", 30)

        # An orderly stop hands over at once, and what changes meanwhile is told.
        wait_for(lambda: frozen.ask("/readyz")[0] == 200, "the frozen one to be well again", 60)
        assert trial.services[third].stop() == 0
        (root / "while nobody looked.mp3").write_bytes(b"new")
        (root / "album 0" / "0.mp3").unlink()
        assert trial.wait_for_owner(library_id, not_=third) == second
        trial.converge(library_id)


def test_what_a_dead_owner_left_of_libraries_that_nobody_watches_is_sent_by_whoever_runs(
    trial: FleetTrial, tmp_path: Path
) -> None:
    left = {"untold": "active", "told": "unwatched", "gathering": "unwatched", "removed": None}
    ids = {name: number for number, name in enumerate(left, 901)}
    with opened(trial.database_url) as database:
        store, outbox = CatalogStore(database), Outbox(database, None)
        for name, state in left.items():
            leave_behind(trial, ids[name], tmp_path / "gone" / name, state)
            if name != "gathering":
                outbox.record([told_of(Library(ids[name], name, "production", b"/gone/" + name.encode()))])
        store.commit(Batch(windows=[change(library_id=ids["gathering"], due_ns=1, at_ns=1)]))

    trial.add_instance("one")
    with fleet(trial):
        trial.start("one")
        wait_for(lambda: not left_over(trial), "all that was left, and the last notice", 60)
        wait_for(
            lambda: not any(trial.owner(number) for number in ids.values()), "the leases to be given up", 60
        )
        trial.consumer.drain()

    about = [
        (message.kind, message.body["library"]["id"])
        for message in trial.consumer.messages
        if message.body["library"]["id"] > 900
    ]
    expected = [("created", ids[name]) for name in ("untold", "told", "removed")]
    assert sorted(about) == sorted([*expected, ("library.unwatched", ids["untold"])])
    assert about.index(expected[0]) < about.index(("library.unwatched", ids["untold"]))
    assert trial.consumer.mirror.problems == []


def leave_behind(trial: FleetTrial, number: int, root: Path, state: str | None) -> None:
    """A library that is watched no more, as an owner left it who died; without a state its row is gone."""
    with psycopg.connect(trial.database_url) as connection:
        connection.execute("INSERT INTO fw_leases VALUES (%s, 'dead', 3, 1, 2)", (number,))
        if state is not None:
            connection.execute(
                "INSERT INTO libraries (id, name, path, type, is_watched) "
                "VALUES (%s, %s, %s, 'production', false)",
                (number, root.name, str(root)),
            )
            connection.execute(
                "INSERT INTO fw_library_state (library_id, state, first_scan_done, updated_ns) "
                "VALUES (%s, %s, true, 1)",
                (number, state),
            )


def told_of(library: Library) -> NewMessage:
    """A file that was created in the library, and never sent."""
    told = event(path=library.root + b"/a.mp3", library=library)
    return NewMessage(
        event_id=told.event_id,
        event_type=told.event_type.value,
        routing_key=routing_key(told),
        library_id=library.id,
        path=told.path,
        body=encode_event(told, "dead"),
        created_ns=time.time_ns(),
    )


def left_over(trial: FleetTrial) -> bool:
    """Whether messages or windows wait, or a library of which nobody has said that it is watched no more."""
    with psycopg.connect(trial.database_url) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM fw_events WHERE published_ns IS NULL AND NOT unrouted) "
            "OR EXISTS (SELECT 1 FROM fw_job_windows) OR EXISTS (SELECT 1 FROM fw_library_state "
            "JOIN libraries ON id = library_id WHERE NOT is_watched AND state <> 'unwatched')"
        ).fetchone()
    assert row is not None
    return bool(row[0])


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["killed", "frozen", "cut off"])
def test_an_import_of_5000_files_survives_the_loss_of_its_owner(trial: FleetTrial, fault: str) -> None:
    for name in ("one", "two"):
        trial.add_instance(name)
    with fleet(trial):
        trial.start("one", "two")
        library_id, root = trial.add_library("shared")
        first = trial.wait_for_owner(library_id)
        with Import(root, 5000, pause=0.0):
            wait_for(lambda: recorded(trial, library_id) > 1000, "the import to be under way", 120)
            lost = trial.services[first]
            assert lost.process is not None
            began = time.monotonic()
            if fault == "killed":
                lost.kill()
            else:
                lost.suspend()
            if fault == "cut off":
                trial.cut_off(lost.process.pid)
            second = trial.wait_for_owner(library_id, not_=first)
            print(f"{fault}: taken over after {time.monotonic() - began:.1f} s")
            before = told_by(trial, first, library_id)
            if fault != "killed":
                lost.resume()
        trial.converge(library_id, 300)
        assert told_by(trial, first, library_id) == before
        assert trial.owner(library_id) == second
        print(
            f"{fault}: converged {time.monotonic() - began:.1f} s after it; "
            f"{trial.consumer.mirror.duplicates} sent twice with one id"
        )


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_twenty_instances_with_a_library_each_share_broker_and_database(
    tmp_path: Path, broker_url: str, exchange: str, server_folder: Path
) -> None:
    cluster = PostgresCluster(server_folder / "large", connections=20 * MOST_CONNECTIONS + 10)
    cluster.start()
    try:
        trial = FleetTrial(tmp_path, broker_url, exchange, cluster.create_database("fleet"))
        _share_among_twenty(trial)
    finally:
        cluster.stop()


def _share_among_twenty(trial: FleetTrial) -> None:
    names = [f"watcher-{number:02}" for number in range(20)]
    for name in names:
        trial.add_instance(name)
    files = 200
    with fleet(trial):
        trial.start(*names)
        began = time.monotonic()
        writers = [
            threading.Thread(target=write_files, args=(trial.roots[number], files)) for number in range(20)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        ends: dict[str, float] = {}
        most: list[int] = []

        def all_done() -> bool:
            with psycopg.connect(trial.database_url) as connection:
                rows = connection.execute(
                    "SELECT library_id, count(*) FROM fw_events WHERE published_ns IS NOT NULL "
                    "AND event_type = 'created' GROUP BY library_id"
                ).fetchall()
            now = time.monotonic() - began
            for library_id, count in rows:
                if count >= files:
                    ends.setdefault(str(library_id), now)
            most.append(connections(trial))
            return len(ends) == 20

        wait_for(all_done, "all files of all libraries", 600, every=0.2)
        total = time.monotonic() - began
        print(
            f"20 instances, {20 * files} files: {20 * files / total:.0f} files/s; "
            f"first library done after {min(ends.values()):.1f} s, last after {max(ends.values()):.1f} s"
        )
        print(f"at most {max(most)} connections to the database")
        assert max(most) <= 20 * MOST_CONNECTIONS
        trial.consumer.drain()
        trial.compare()
