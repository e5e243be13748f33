"""The deciding stage: batches, outages of the database, and what the scheduler is told and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from structlog.testing import capture_logs

from file_watcher.errors import CatalogError, CatalogOccupied, CatalogUnavailable, LeaseLost
from file_watcher.lifecycle import Deadline
from file_watcher.model import (
    EventType,
    FileEvent,
    FileRecord,
    FileStat,
    Library,
    Observation,
    Source,
    Ticket,
)
from file_watcher.processing.decider import Decider, Outcome
from file_watcher.processing.deciding import DecidingConfig, DecidingStage, Pauses
from file_watcher.processing.decision import Decision
from file_watcher.processing.examine import Examination
from file_watcher.telemetry import Telemetry
from tests.support.waiting import wait_for
from tests.support.world import LIBRARY, fingerprint_of

STAT = FileStat(3, 1, 2, 7, 100)


def ticket(name: str = "a", noticed: float = 5.0) -> Ticket:
    return Ticket(
        path=b"/lib/" + name.encode(),
        library=LIBRARY,
        is_folder=False,
        closed=True,
        must_hash=False,
        moved_from=frozenset(),
        source=Source.KERNEL,
        noticed=noticed,
        changed_ns=7,
        waited_since=noticed,
        last_stat=None,
        still_since=noticed,
        told_growing=None,
    )


def seen(of: Ticket) -> Observation:
    return Observation(of.path, of.library, STAT, noticed=of.noticed, moved_from=frozenset({b"/lib/old"}))


def event(path: bytes, *, growing: bool = False) -> FileEvent:
    return FileEvent(
        EventType.CREATED,
        path,
        LIBRARY,
        "file 1",
        1,
        None,
        STAT,
        fingerprint_of(b"la"),
        None,
        growing=growing,
    )


class StubDecider:
    """Answers with what `decide` makes of a batch; `outages` makes that many steps fail before."""

    def __init__(self) -> None:
        self.decide: Callable[[Sequence[Observation]], Outcome] = lambda observations: Outcome(
            Decision(settled=list(observations))
        )
        self.batches: list[list[bytes]] = []
        self.outages = 0
        self.outage = CatalogUnavailable("the database is away")
        self.gate = threading.Event()
        self.gate.set()
        self.deadline: float | None = None
        self.oldest: float | None = None

    def step(self, observations: Sequence[Observation], now: float) -> Outcome:
        assert self.gate.wait(10)
        if self.outages:
            self.outages -= 1
            raise self.outage
        self.batches.append([each.path for each in observations])
        return self.decide(observations)

    def next_deadline(self) -> float | None:
        return self.deadline

    def oldest_noticed(self) -> float | None:
        return self.oldest


class Told(Telemetry):
    """The scheduler and the telemetry: all that the stage tells, in order."""

    def __init__(self) -> None:
        self.words: list[tuple[Any, ...]] = []
        self.on_word: Callable[[str], None] = lambda _: None

    def done(
        self,
        ticket: Ticket,
        *,
        look_again_after: float | None = None,
        growing: bool = False,
        stat: FileStat | None = None,
    ) -> None:
        self._say("done", ticket.path, look_again_after, growing)

    def look_at(self, path: bytes, library: Library, source: Source, **how: Any) -> None:
        self._say("look_at", path, how)

    def error(self, stage: str) -> None:
        self._say("error", stage)

    def unchanged(self, count: int = 1) -> None:
        self._say("unchanged", count)

    def missed(self, count: int = 1) -> None:
        self._say("missed", count)

    def committed(self, rows: int, seconds: float) -> None:
        self._say("committed", rows)

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [word[1:] for word in self.words if word[0] == kind]

    def _say(self, *word: Any) -> None:
        self.on_word(word[0])
        self.words.append(word)


class Office:
    """A stage with all that it talks to."""

    def __init__(self, batch_size: int = 4, granularity: float = 0.0) -> None:
        self.decider = StubDecider()
        self.told = Told()
        self.commits = 0
        self.failures: list[BaseException] = []
        self.stage = DecidingStage(
            DecidingConfig(
                batch_size, lambda _: Pauses(30.0, granularity), first_retry=0.01, longest_retry=0.02
            ),
            cast("Decider", self.decider),
            self.told,
            lambda path: LIBRARY if path.startswith(b"/lib/") else None,
            self.note_commit,
            self.told,
            lambda _, error: self.failures.append(error),
        )

    def note_commit(self) -> None:
        self.commits += 1

    def submit(self, *tickets: Ticket, **fields: Any) -> None:
        for each in tickets:
            self.stage.submit(each, replace(Examination(seen(each)), **fields))

    def wait_until_done(self, count: int = 1) -> None:
        wait_for(lambda: len(self.told.of("done")) == count, f"{count} files to be done")

    def decide(self, **fields: Any) -> None:
        """Have every batch decided like this."""
        self.decider.decide = lambda _: Outcome(Decision(**fields))


@contextmanager
def working(batch_size: int = 4, granularity: float = 0.0) -> Iterator[Office]:
    office = Office(batch_size, granularity)
    office.stage.start()
    try:
        yield office
    finally:
        office.decider.gate.set()
        office.stage.close()
        assert office.stage.join(Deadline(5))
    assert office.failures == []


def test_an_observation_is_decided_and_its_ticket_is_done() -> None:
    with working() as office:
        office.submit(ticket())
        office.wait_until_done()
        assert office.told.words == [("done", b"/lib/a", None, False)]
        assert office.decider.batches == [[b"/lib/a"]]


def test_what_waits_is_decided_together_up_to_the_size_of_a_batch() -> None:
    with working(batch_size=4) as office:
        office.decider.gate.clear()
        office.submit(ticket("first"))
        wait_for(lambda: office.stage.depth() == 0, "the first to be taken")
        office.submit(*(ticket(str(number)) for number in range(6)))
        office.decider.gate.set()
        office.wait_until_done(7)
        assert [len(batch) for batch in office.decider.batches] == [1, 4, 2]


def test_a_commit_is_told_to_those_who_publish_and_count() -> None:
    with working() as office:
        office.decider.decide = lambda _: Outcome(
            Decision(events=[event(b"/lib/a"), event(b"/lib/b")], unchanged=3), missed=1
        )
        office.submit(ticket())
        office.wait_until_done()
        assert office.commits == 1
        assert office.told.of("committed") == [(2,)]
        assert office.told.of("unchanged") == [(3,)]
        assert office.told.of("missed") == [(1,)]


def test_where_nothing_was_told_nobody_is_woken() -> None:
    with working() as office:
        office.submit(ticket())
        office.wait_until_done()
        assert office.commits == 0


def test_a_file_that_stays_open_is_watched_further_and_a_growing_one_is_noted() -> None:
    with working() as office:
        office.decide(events=[event(b"/lib/a", growing=True)])
        office.submit(ticket(), keep_watching_after=1.5)
        office.wait_until_done()
        assert office.told.of("done") == [(b"/lib/a", 1.5, True)]


# what is looked at again


def test_what_is_to_be_seen_anew_keeps_its_age_and_its_origin() -> None:
    with working() as office:
        office.decide(again=[(seen(ticket()), True)])
        office.submit(ticket())
        office.wait_until_done()
        how = {"must_hash": True, "noticed": 5.0, "moved_from": frozenset({b"/lib/old"})}
        assert office.told.words == [("look_at", b"/lib/a", how), ("done", b"/lib/a", None, False)]


def test_other_names_of_a_file_are_looked_at_as_of_the_first_hint() -> None:
    with working() as office:
        office.submit(ticket(noticed=3.0), other_links=(b"/lib/link", b"/elsewhere"))
        office.wait_until_done()
        assert office.told.of("look_at") == [(b"/lib/link", {"noticed": 3.0})]


def test_what_a_round_came_across_is_as_old_as_the_oldest_that_it_was_made_of() -> None:
    with working() as office:
        office.decider.gate.clear()
        office.decide(look_at=[b"/lib/c", b"/elsewhere"])
        office.submit(ticket("a", noticed=5.0), ticket("b", noticed=4.0))
        office.decider.gate.set()
        office.wait_until_done(2)
        ages = {how["noticed"] for path, how in office.told.of("look_at") if path == b"/lib/c"}
        assert min(ages) == 4.0
        assert {path for path, _ in office.told.of("look_at")} == {b"/lib/c"}


def test_rows_that_may_be_stale_are_hashed_in_the_background() -> None:
    row = FileRecord(b"/lib/a", 1, "file 1", 1, STAT, fingerprint_of(b"la"))
    with working() as office:
        office.decide(recheck=[row])
        office.submit(ticket())
        office.wait_until_done()
        how = {"delay": 0.1, "must_hash": True, "background": True}
        wait_for(lambda: office.told.of("look_at") == [(b"/lib/a", how)], "the look")
        assert office.told.words[0][0] == "done", (
            "or its own ticket would count as a hint that came meanwhile"
        )


def test_what_cannot_be_told_is_looked_at_later_and_keeps_nobody_waiting() -> None:
    with working() as office:
        office.decide(unknown=[seen(ticket())])
        office.submit(ticket())
        office.wait_until_done()
        wait_for(lambda: office.told.of("look_at"), "the look")
        assert office.told.of("look_at") == [
            (b"/lib/a", {"delay": 30.0, "must_hash": False, "background": True})
        ]


# taking turns


def test_who_lets_a_decision_end_waits_for_it_and_no_longer_than_it_wants() -> None:
    with working() as office:
        office.stage.wait_while_deciding(0.0)  # none is under way
        office.decider.gate.clear()
        office.submit(ticket())
        wait_for(lambda: office.stage.progress().doing, "the decision to begin")
        began = time.monotonic()
        office.stage.wait_while_deciding(0.05)
        assert time.monotonic() - began >= 0.05, "it is still under way"
        waited = threading.Event()

        def wait() -> None:
            office.stage.wait_while_deciding(30.0)
            waited.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not waited.is_set()
        office.decider.gate.set()
        assert waited.wait(10)
        waiting.join(10)


# nothing seems finished too early


def test_a_held_observation_shows_before_its_ticket_is_done() -> None:
    shown: list[bool] = []
    with working() as office:
        office.decider.oldest = 5.0
        office.told.on_word = lambda kind: shown.append(office.stage.holds_since_before(5.0))
        office.submit(ticket())
        office.wait_until_done()
        assert shown == [True]
        assert not office.stage.holds_since_before(4.9)


def test_a_held_observation_that_is_seen_anew_shows_until_that_is_asked_for() -> None:
    shown: list[tuple[str, bool]] = []
    with working() as office:
        office.decider.oldest = 5.0
        office.submit(ticket())
        office.wait_until_done()

        office.decider.oldest = None
        office.decide(again=[(seen(ticket()), False)])
        office.told.on_word = lambda kind: shown.append((kind, office.stage.holds_since_before(5.0)))
        office.submit(ticket("b"))
        office.wait_until_done(2)
        assert shown == [("look_at", True), ("done", False)]


def test_what_is_held_is_decided_when_its_time_has_come() -> None:
    with working() as office:
        office.decider.deadline = time.monotonic() + 0.1
        wait_for(lambda: office.decider.batches, "a step without anything new")
        assert time.monotonic() >= office.decider.deadline
        assert office.decider.batches[0] == []
        office.decider.deadline = None


def test_waiting_for_a_decision_ends_with_the_next_one() -> None:
    with working() as office:
        ended = threading.Event()

        def wait() -> None:
            office.stage.wait_for_a_decision(60)
            ended.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_for(lambda: office.stage._decided._waiters, "somebody to wait")  # type: ignore[attr-defined]
        office.submit(ticket())
        assert ended.wait(5)
        waiting.join()


# outages and back-pressure


def test_a_database_that_is_away_is_waited_for_and_nothing_is_lost() -> None:
    with working() as office:
        office.decider.outages = 3
        office.submit(ticket())
        office.wait_until_done()
        assert office.decider.batches == [[b"/lib/a"]]
        assert office.told.of("error") == [("db",)] * 3
        assert office.stage.health().ok


def test_a_long_write_of_our_own_is_waited_for_and_is_no_outage() -> None:
    with working() as office, capture_logs() as logs:
        office.decider.outage = CatalogOccupied("a snapshot is recorded")
        office.decider.outages = 2
        office.submit(ticket())
        office.wait_until_done()
        assert office.told.of("error") == []
    assert logs == []


def test_a_library_that_another_instance_owns_now_is_no_outage_and_the_rest_is_decided_again() -> None:
    with working() as office, capture_logs() as logs:
        office.decider.outage = LeaseLost(frozenset({7}))
        office.decider.outages = 1
        office.submit(ticket())
        office.wait_until_done()
        assert office.decider.batches == [[b"/lib/a"]]
        assert office.told.of("error") == []
    assert logs == []


def test_an_outage_shows_in_the_health() -> None:
    with working() as office:
        assert office.stage.health().ok
        office.decider.outages = 10**6
        office.submit(ticket())
        wait_for(lambda: not office.stage.health().ok, "the outage to show")
        assert office.stage.health().detail == "the database is away"
        office.decider.outages = 0
        office.wait_until_done()
        assert office.stage.health().ok


def test_submitting_never_blocks_and_room_is_there_once_batches_are_taken() -> None:
    with working(batch_size=2) as office:
        office.decider.gate.clear()
        office.submit(ticket("first"))
        wait_for(lambda: office.stage.depth() == 0, "the first to be taken")
        office.submit(*(ticket(str(number)) for number in range(10)))
        assert office.stage.depth() == 10
        assert not office.stage.wait_for_room(0.05)
        later = threading.Timer(0.1, office.decider.gate.set)
        later.start()
        assert office.stage.wait_for_room(10)
        later.join()
        office.wait_until_done(11)


# the end


def test_what_is_in_hand_is_decided_before_the_end() -> None:
    with working() as office:
        office.decider.gate.clear()
        office.submit(*(ticket(str(number)) for number in range(10)))
        office.stage.close()
        office.decider.gate.set()
        assert office.stage.join(Deadline(5))
        assert len(office.told.of("done")) == 10


def test_the_end_does_not_wait_for_a_database_that_is_away() -> None:
    with working() as office:
        office.decider.outages = 10**6
        office.submit(*(ticket(str(number)) for number in range(10)))
        wait_for(lambda: not office.stage.health().ok, "the outage")
        began = time.monotonic()
        office.stage.close()
        office.stage.close()
        assert office.stage.join(Deadline(5))
        assert time.monotonic() - began < 1
        assert office.told.of("done") == []


def test_an_idle_stage_ends_at_once() -> None:
    with working() as office:
        began = time.monotonic()
        office.stage.close()
        assert office.stage.join(Deadline(5))
        assert time.monotonic() - began < 0.5


def test_a_catalog_that_cannot_be_used_ends_the_stage_and_is_reported() -> None:
    office = Office()

    def refuse(_: object) -> Outcome:
        raise CatalogError("the schema is another one")

    office.decider.decide = refuse
    office.stage.start()
    office.submit(ticket())
    wait_for(lambda: office.failures, "the report")
    assert isinstance(office.failures[0], CatalogError)
    office.stage.close()
    assert office.stage.join(Deadline(5))


def test_what_is_racy_is_read_once_more_when_the_filesystems_clock_has_moved_on() -> None:
    with working(granularity=2.0) as office:
        row = FileRecord(b"/lib/a", LIBRARY.id, "file 1", 1, STAT, fingerprint_of(b"la"), racy=True)
        office.decide(recheck=[row])
        office.submit(ticket())
        (look,) = wait_for(lambda: office.told.of("look_at"), "another look")
        assert look == (b"/lib/a", {"delay": 2.0, "must_hash": True, "background": True})


def test_a_smaller_batch_holds_from_the_next_one_on() -> None:
    with working(batch_size=64) as office:
        office.stage.set_batch_size(2)
        office.submit(*(ticket(str(number)) for number in range(7)))
        office.wait_until_done(7)
        assert max(len(each) for each in office.decider.batches) <= 2
        assert office.stage.wait_for_room(0.0)


def test_a_file_whose_tags_could_not_be_had_is_read_again_in_the_background() -> None:
    with working() as office:
        office.submit(ticket(), read_again=True)
        (look,) = wait_for(lambda: office.told.of("look_at"), "another look")
        assert look == (b"/lib/a", {"delay": 30.0, "must_hash": True, "background": True})
