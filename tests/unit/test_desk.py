"""The desk: requests are answered once what they ask for is so, and house is kept."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pytest

from file_watcher import barrier as barrier_module
from file_watcher import desk as desk_module
from file_watcher.catalog.requests import Instances, Request, Requests, Vitals
from file_watcher.desk import Desk, DeskConfig
from file_watcher.errors import CatalogBusy, CatalogOccupied, CatalogUnavailable, UsageError
from file_watcher.lifecycle import Deadline
from file_watcher.model import Source
from file_watcher.snapshots import Replayer, Wish
from file_watcher.watching.keeper import LibraryKeeper
from tests.support.keeping import report
from tests.support.stages import StubStages
from tests.support.waiting import wait_for


class Table:
    """The requests and heartbeats of a database that may be away."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: list[Request] = []
        self._numbers = itertools.count(1)
        self.answers: dict[int, tuple[Mapping[str, Any], bool]] = {}
        self.beats: list[tuple[str, Mapping[str, Any]]] = []
        self.reopened = 0
        self.vitals = Vitals()
        self.is_away = False
        self.outage = CatalogUnavailable("the database is away")

    def ask(self, kind: str, **arguments: Any) -> int:
        with self._lock:
            number = next(self._numbers)
            self._new.append(Request(number, kind, arguments, "new", None))
        return number

    def take(self) -> list[Request]:
        self._answer()
        with self._lock:
            taken, self._new = self._new, []
        return taken

    def finish(self, request_id: int, result: Mapping[str, Any], *, failed: bool = False) -> None:
        self._answer()
        self.answers[request_id] = (result, failed)

    def reopen_unfinished(self) -> int:
        self._answer()
        self.reopened += 1
        return 0

    def beat(self, instance_id: str, detail: Mapping[str, Any], vitals: Vitals) -> None:
        self._answer()
        self.beats.append((instance_id, detail))
        self.vitals = vitals

    def answer_to(self, number: int) -> Mapping[str, Any]:
        wait_for(lambda: number in self.answers, f"the answer to {number}")
        result, failed = self.answers[number]
        assert failed is ("error" in result)
        return result

    def _answer(self) -> None:
        if self.is_away:
            raise self.outage


class Replays:
    """A replayer that does what the test says."""

    def __init__(self) -> None:
        self.wishes: list[tuple[int, Wish]] = []
        self.outcomes: list[Exception | Mapping[str, Any] | None] = []
        self.is_slow = False

    def replay(
        self, request_id: int, wish: Wish, should_stop: Callable[[], bool]
    ) -> Mapping[str, Any] | None:
        self.wishes.append((request_id, wish))
        while self.is_slow:
            if should_stop():
                return None
            threading.Event().wait(0.01)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Front:
    """A desk over both."""

    def __init__(self) -> None:
        self.world, self.table = StubStages(), Table()
        self.replays = Replays()
        self.failures: list[BaseException] = []
        self.kept = 0
        self.is_owned = True
        self.desk = Desk(
            DeskConfig("abc12345"),
            cast("Requests", self.table),
            cast("Instances", self.table),
            cast("LibraryKeeper", self.world),
            self.world.barrier(),
            cast("Replayer", self.replays),
            lambda: {"http": "127.0.0.1:8085"},
            self.keep_ownership,
            lambda _, error: self.failures.append(error),
            lambda: Vitals(errors=len(self.table.beats)),
        )

    def keep_ownership(self) -> None:
        self.kept += 1
        if not self.is_owned:
            raise CatalogBusy("Another file_watcher works as this instance.")


@contextmanager
def working() -> Iterator[Front]:
    front = Front()
    front.desk.start()
    try:
        yield front
    finally:
        front.desk.close()
        assert front.desk.join(Deadline(5))
    assert front.failures == []


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(barrier_module, "_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(desk_module, "_OUTAGE_SECONDS", 0.05)


# requests


def test_a_sync_is_answered_with_the_last_confirmed_sequence() -> None:
    with working() as front:
        answer = front.table.answer_to(front.table.ask("sync"))
        assert (answer["sequence"], answer["suspended"]) == (42, {})
        assert answer["seconds"] >= 0
        assert front.table.reopened == 1


def test_a_scan_is_answered_with_what_it_counted() -> None:
    with working() as front:
        number = front.table.ask("scan")
        wait_for(lambda: front.world.jobs, "the scan")
        assert front.world.jobs[0].source is Source.RESCAN
        assert number not in front.table.answers
        job = front.world.jobs[0]
        job.report = report(files=10, new=2, changed=1, missing=3, unlisted=((b"/m/secret", 13),))
        job.finished.set()
        answer = dict(front.table.answer_to(number))
        answer.pop("seconds")
        counts = {"libraries": 1, "files": 10, "new": 2, "changed": 1, "missing": 3, "unlisted": 1}
        assert answer == counts | {"suspended": {}}


def test_a_scan_names_the_libraries_that_it_left_out() -> None:
    with working() as front:
        front.world.suspensions["speech"] = "its root /speech is not there"
        number = front.table.ask("scan")
        wait_for(lambda: front.world.jobs, "the scan")
        front.world.jobs[0].finished.set()
        assert front.table.answer_to(number)["suspended"] == {"speech": "its root /speech is not there"}


def test_a_library_whose_scan_was_given_up_is_not_counted() -> None:
    with working() as front:
        number = front.table.ask("scan")
        wait_for(lambda: front.world.jobs, "the scan")
        front.world.jobs[0].finished.set()
        assert front.table.answer_to(number)["libraries"] == 0


@pytest.mark.parametrize(
    ("kind", "arguments", "answer"),
    [
        ("approve", {"library": "music"}, {"library": "music"}),
        ("approve", {"library": "speech"}, {"error": "no watched library is named speech"}),
        ("dance", {}, {"error": "this version cannot answer 'dance'"}),
    ],
)
def test_what_need_not_wait_is_answered_at_once(
    kind: str, arguments: dict[str, str], answer: dict[str, str]
) -> None:
    with working() as front:
        front.world.decided = False
        stuck = front.table.ask("sync")
        result = front.table.answer_to(front.table.ask(kind, **arguments))
        assert answer.items() <= result.items()
        assert stuck not in front.table.answers


def test_requests_that_come_while_one_is_worked_on_are_answered_together_afterwards() -> None:
    with working() as front:
        front.world.published = False
        first = front.table.ask("sync")
        wait_for(lambda: "published 42" in front.world.asked, "the first to wait")
        threads = threading.active_count()
        later = [front.table.ask("sync") for _ in range(20)]
        wait_for(lambda: not front.table._new, "them to be taken")
        assert threading.active_count() == threads
        front.world.asked.clear()
        front.world.sequence = 43
        front.world.published = True
        assert front.table.answer_to(first)["sequence"] == 42
        assert {front.table.answer_to(number)["sequence"] for number in later} == {43}
        assert front.world.asked.count("sequence") == 1


def test_those_who_wait_at_the_end_are_told_that_the_service_stops() -> None:
    with working() as front:
        front.world.decided = False
        waiting = [front.table.ask("sync"), front.table.ask("scan")]
        wait_for(lambda: front.world.jobs and "decided" in front.world.asked, "both to wait")
        later = front.table.ask("sync")
        wait_for(lambda: not front.table._new, "it to be taken")
        began = time.monotonic()
        front.desk.close()
        assert front.desk.join(Deadline(5))
        assert time.monotonic() - began < 1
        for number in (*waiting, later):
            assert front.table.answer_to(number)["error"] == "the service stops"


# replay


def test_a_replay_answers_its_request_itself_in_the_commit_that_records_it() -> None:
    with working() as front:
        front.replays.outcomes = [{"snapshots": []}, UsageError("no such library")]
        done = front.table.ask("replay", **Wish("music").arguments())
        refused = front.table.ask("replay", **Wish("speech", (b"/m/a",), 5, "late").arguments())
        answer = front.table.answer_to(refused)
        assert (answer["error"], answer["misuse"]) == ("no such library", True)
        assert done not in front.table.answers
        assert front.replays.wishes == [
            (done, Wish("music")),
            (refused, Wish("speech", (b"/m/a",), 5, "late")),
        ]


def test_a_replay_that_takes_long_keeps_nothing_else_waiting_and_ends_with_the_service() -> None:
    with working() as front:
        front.replays.is_slow = True
        number = front.table.ask("replay")
        wait_for(lambda: front.replays.wishes, "it to be worked on")
        assert front.table.answer_to(front.table.ask("sync"))["sequence"] == 42
        front.desk.close()
        assert front.desk.join(Deadline(5))
        assert front.table.answer_to(number)["error"] == "the service stops"


def test_a_replay_that_meets_a_lost_database_is_tried_again() -> None:
    with working() as front:
        front.replays.outcomes = [CatalogUnavailable("away"), UsageError("there after all")]
        number = front.table.ask("replay")
        assert front.table.answer_to(number)["error"] == "there after all"
        assert [request for request, _ in front.replays.wishes] == [number, number]


def test_a_replay_that_can_never_be_done_does_not_end_the_service_at_every_start() -> None:
    with working() as front:
        front.replays.outcomes = [ArithmeticError("a bug"), UsageError("the next one")]
        answer = front.table.answer_to(front.table.ask("replay"))
        assert answer["error"] == "nothing was enqueued, and the log says why (a bug)"
        assert front.table.answer_to(front.table.ask("replay"))["error"] == "the next one"


# the database


def test_a_request_that_meets_a_lost_database_is_answered_when_it_is_back() -> None:
    with working() as front:
        front.world.is_away = True
        number = front.table.ask("sync")
        wait_for(lambda: front.world.asked.count("sequence") == 2, "a second try")
        front.world.is_away = False
        assert front.table.answer_to(number)["sequence"] == 42


def test_an_answer_that_cannot_be_written_is_kept() -> None:
    with working() as front:
        front.world.decided = False
        number = front.table.ask("sync")
        wait_for(lambda: "decided" in front.world.asked, "it to be worked on")
        front.table.is_away = True
        front.world.decided = True
        wait_for(lambda: "published 42" in front.world.asked, "the answer to be there")
        assert number not in front.table.answers
        front.table.is_away = False
        assert front.table.answer_to(number)["sequence"] == 42


def test_an_idle_service_notices_that_the_database_is_away() -> None:
    with working() as front:
        assert front.desk.health().ok
        front.table.is_away = True
        wait_for(lambda: not front.desk.health().ok, "the outage to show")
        assert front.desk.health().detail == "the database is away"
        front.table.is_away = False
        wait_for(lambda: front.desk.health().ok, "the recovery to show")


def test_a_long_write_of_our_own_is_no_outage() -> None:
    with working() as front:
        front.table.outage = CatalogOccupied("a snapshot is recorded")
        front.table.is_away = True
        kept = front.kept
        wait_for(lambda: front.kept >= kept + 3, "some rounds that failed")
        assert front.desk.health().ok


def test_the_end_does_not_wait_for_a_database_that_is_away() -> None:
    with working() as front:
        front.world.decided = False
        front.table.ask("sync")
        wait_for(lambda: "decided" in front.world.asked, "it to be worked on")
        front.table.is_away = True
        began = time.monotonic()
        front.desk.close()
        assert front.desk.join(Deadline(5))
        assert time.monotonic() - began < 1


def test_a_desk_that_opens_while_the_database_is_away_opens_later() -> None:
    front = Front()
    front.table.is_away = True
    front.desk.start()
    wait_for(lambda: not front.desk.health().ok, "the outage to show")
    front.table.is_away = False
    wait_for(lambda: front.table.reopened == 1, "the desk to open")
    front.desk.close()
    assert front.desk.join(Deadline(5))


# heart and ownership


def test_the_heart_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "_BEAT_SECONDS", 0.2)
    with working() as front:
        wait_for(lambda: len(front.table.beats) >= 2, "two beats")
        assert front.table.beats[0] == ("abc12345", {"http": "127.0.0.1:8085"})
        wait_for(lambda: front.table.vitals.errors > 0, "the second one, with what the service tells then")


def test_the_ownership_is_made_sure_of_after_an_outage() -> None:
    with working() as front:
        wait_for(lambda: front.kept == 1, "the first time")
        front.table.is_away = True
        wait_for(lambda: not front.desk.health().ok, "the outage to show")
        front.table.is_away = False
        wait_for(lambda: front.kept > 1, "the next time")


def test_an_ownership_that_another_one_took_ends_the_service() -> None:
    front = Front()
    front.is_owned = False
    front.desk.start()
    wait_for(lambda: front.failures, "the report")
    assert isinstance(front.failures[0], CatalogBusy)
    assert front.table.beats == []
    front.desk.close()
    assert front.desk.join(Deadline(5))


def test_a_surprise_in_an_answer_is_reported() -> None:
    front = Front()
    front.world.drain = None  # type: ignore[assignment,method-assign]
    front.desk.start()
    front.table.ask("sync")
    wait_for(lambda: front.failures, "the report")
    front.desk.close()
    assert front.desk.join(Deadline(5))
