"""What is held anew, or ruled anew, wakes whoever has something to do about it at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from file_watcher.assembly.sending import Sending, serve_for
from file_watcher.assembly.steered import owner_of
from file_watcher.assembly.surroundings import Ground, Surroundings
from file_watcher.catalog.database import Database
from file_watcher.catalog.depth import DepthWatch
from file_watcher.catalog.leases import NO_LEASES
from file_watcher.catalog.outbox import Outbox
from file_watcher.job_clock import JobClock
from file_watcher.ops.metrics import Metrics
from file_watcher.publishing.relay import Relay
from file_watcher.roster import Roster, Watched
from file_watcher.settings import FileWatchSettings, Settings
from file_watcher.tenure import SoleTenure
from tests.support.catalog import ROOT, message, music, opened, store_of


class Clock:
    """Counts how often it was told to look."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> None:
        self.looks += 1


class Reader:
    """A relay that counts how often it was told that the outbox is another one."""

    def __init__(self) -> None:
        self.rereads = 0

    def reread(self) -> None:
        self.rereads += 1


class Place:
    """Outbox, relay and clock over a catalog with one message that waits."""

    def __init__(self, database: Database, *, owns: Collection[int] = ()) -> None:
        self.database = database
        store = store_of(database)
        self.outbox = Outbox(database, owns)
        self.outbox.record([message()])
        self.relay, self.clock = Reader(), Clock()
        self.sending = Sending(self.outbox, DepthWatch(self.outbox.depth), cast("Relay", self.relay))
        settings = Settings(data_dir=(Path("/data/music"),))
        at = Surroundings(
            settings, "me", database, Metrics(), _fail, lambda _message: None, dict, lambda: None
        )
        self.ground = Ground(at, Roster(), SoleTenure(), NO_LEASES, store)

    def waiting(self) -> int:
        return len(self.outbox.pending(0, 10))

    def own(self, watched: Sequence[Watched], *, with_jobs: bool = True) -> None:
        owner_of(self.ground, self.sending, cast("JobClock", self.clock) if with_jobs else None)(watched)


def _fail(_thread: str, error: BaseException) -> None:
    raise error


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with opened(f"sqlite:///{tmp_path / 'catalog.db'}") as database:
        yield Place(database)


def test_what_is_held_anew_is_sent_and_its_windows_are_looked_at(place: Place) -> None:
    assert place.waiting() == 0, "of nobody's library nothing is read"
    serve_for({1}, place.sending, cast("JobClock", place.clock))
    assert place.waiting() == 1
    assert (place.relay.rereads, place.clock.looks) == (1, 1)


def test_where_nobody_reads_jobs_there_is_no_clock_to_wake(place: Place) -> None:
    serve_for({1}, place.sending, None)
    place.own([], with_jobs=False)
    assert (place.relay.rereads, place.clock.looks) == (1, 0)


def test_other_rules_wake_the_clock_and_say_whose_rows_and_messages_are_ours(place: Place) -> None:
    watched = Watched.by(music(), FileWatchSettings(emit_chmod=True))
    place.own([watched])
    assert place.clock.looks == 1
    assert place.waiting() == 1
    assert place.ground.store.count(1) == 0
    assert watched.library.root == ROOT
