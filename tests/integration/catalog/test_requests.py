from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from file_watcher.catalog.database import Database
from file_watcher.catalog.requests import Instances, Requests, Vitals
from file_watcher.errors import CatalogUnavailable


def test_a_request_is_taken_once_and_answered(database: Database) -> None:
    requests = Requests(database)
    number = requests.ask("scan", {"library": "music"})

    (taken,) = requests.take()
    assert (taken.id, taken.kind, taken.arguments, taken.state) == (
        number,
        "scan",
        {"library": "music"},
        "running",
    )
    assert requests.take() == []
    requests.finish(number, {"files": 5})

    answered = requests.wait(number, timeout=0)
    assert (answered.state, answered.result, answered.is_finished) == ("done", {"files": 5}, True)


def test_what_was_taken_in_a_commit_of_unknown_outcome_is_taken_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests(database)
    number = requests.ask("scan", {})
    with monkeypatch.context() as patch:
        _lose_answers_to_commits(database, patch)
        with pytest.raises(CatalogUnavailable):
            requests.take()

    assert [request.id for request in requests.take()] == [number]

    assert requests.take() == []


def _lose_answers_to_commits(database: Database, patch: pytest.MonkeyPatch) -> None:
    writing = database.writing

    @contextmanager
    def unheard() -> Iterator[Connection]:
        with writing() as connection:
            yield connection
        raise CatalogUnavailable("the connection broke during the commit")

    patch.setattr(database, "writing", unheard)


def test_requests_are_taken_in_the_order_in_which_they_were_asked(database: Database) -> None:
    requests = Requests(database)
    asked = [requests.ask("sync", {}) for _ in range(5)]

    assert [request.id for request in requests.take()] == asked


def test_who_waits_sees_the_answer_of_another_thread(database: Database) -> None:
    requests = Requests(database)
    number = requests.ask("sync", {})

    def answer() -> None:
        for request in requests.take():
            requests.finish(request.id, {"error": "no broker"}, failed=True)

    service = threading.Thread(target=answer)
    service.start()
    answered = requests.wait(number, timeout=10, poll=0.01)
    service.join(10)

    assert (answered.state, answered.result) == ("failed", {"error": "no broker"})


def test_waiting_ends_at_its_time_or_when_it_is_stopped(database: Database) -> None:
    requests = Requests(database)
    number = requests.ask("sync", {})
    stopped = threading.Event()
    stopped.set()

    assert requests.wait(number, timeout=0.05, poll=0.01).state == "new"
    assert requests.wait(number, timeout=60, stop=stopped).state == "new"
    with pytest.raises(KeyError):
        requests.wait(number + 1, timeout=0)


def test_what_a_crashed_service_had_taken_is_new_again(database: Database) -> None:
    requests = Requests(database)
    done, left = requests.ask("scan", {}), requests.ask("scan", {})
    requests.take()
    requests.finish(done, {})

    assert requests.reopen_unfinished() == 1

    assert [request.id for request in requests.take()] == [left]


def test_an_instance_takes_its_own_requests_and_those_for_anybody(database: Database) -> None:
    mine, other = Requests(database, "mine"), Requests(database, "other")
    other.ask("scan", {})
    for_mine, for_anybody = mine.ask("scan", {}), Requests(database).ask("scan", {})

    assert [request.id for request in mine.take()] == [for_mine, for_anybody]
    assert mine.reopen_unfinished() == 2
    assert len(other.take()) == 2


def test_answers_older_than_a_day_are_dropped(database: Database) -> None:
    requests = Requests(database)
    old = requests.ask("sync", {})
    requests.finish(old, {})
    with database.writing() as connection:
        connection.execute(text("UPDATE fw_requests SET finished_ns = 1"))

    requests.ask("sync", {})

    with pytest.raises(KeyError):
        requests.wait(old, timeout=0)


def test_an_instance_lives_while_its_heart_beats(database: Database) -> None:
    instances = Instances(database, "0.1.0")
    instances.beat("one", {"state": "starting"})
    instances.beat("one", {"state": "running"})
    instances.beat("two", {})
    now_ns = time.time_ns()

    one, two = instances.live(now_ns, max_age_seconds=10)

    assert (one.instance_id, one.pid, one.version, one.detail) == (
        "one",
        os.getpid(),
        "0.1.0",
        {"state": "running"},
    )
    assert two.instance_id == "two"
    assert [each.instance_id for each in instances.all()] == ["one", "two"]
    assert instances.live(now_ns + 11 * 10**9, max_age_seconds=10) == []
    instances.retire("two")
    assert [instance.instance_id for instance in instances.live(now_ns, 10)] == ["one"]


def test_a_heartbeat_tells_how_the_work_gets_on(database: Database) -> None:
    instances = Instances(database, "0.1.0")
    libraries = [{"name": "music", "state": "watched"}]
    instances.beat("one", {}, Vitals(libraries, {"recorded": 3}, errors=2, last_event_ns=5))
    (one,) = instances.all()
    assert (one.libraries, one.counters, one.errors, one.last_event_ns) == (libraries, {"recorded": 3}, 2, 5)
    assert one.age_seconds(one.heartbeat_ns + 10**9) == 1.0
    assert one.age_seconds(one.heartbeat_ns - 10**9) == 0.0, "clocks of hosts differ"
    instances.beat("one", {})
    assert (instances.all()[0].libraries, instances.all()[0].last_event_ns) == ([], None)


def test_an_instance_that_went_without_a_word_is_forgotten_after_a_week(database: Database) -> None:
    instances = Instances(database, "0.1.0")
    for name in ("long gone", "just gone"):
        instances.beat(name, {})
    week_ns = 7 * 86_400 * 10**9
    with database.writing() as connection:
        connection.execute(
            text(
                "UPDATE fw_instances SET heartbeat_ns = heartbeat_ns - :age WHERE instance_id = 'long gone'"
            ),
            {"age": week_ns},
        )
    instances.beat("one", {})
    assert [each.instance_id for each in instances.all()] == ["just gone", "one"]
