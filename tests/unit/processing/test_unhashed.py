"""A library that wants no hashes: no file is read, and what its stat says is all the evidence there is."""

from __future__ import annotations

from random import Random

import pytest

from file_watcher.model import EventType, Evidence, FileEvent, Hint
from file_watcher.processing.idle import StreamConfig
from tests.support.pipeline import Pipeline
from tests.support.scene import told
from tests.support.world import World, fingerprint_of

A, B, C = b"/lib/a", b"/lib/b", b"/lib/d/c"


class Unread:
    """A disk whose files nobody reads."""

    def __init__(self, stream: StreamConfig | None = None) -> None:
        self.world = World()
        self.pipeline = Pipeline(self.world, stream=stream, hashes=False)

    def after(self, *hints: list[Hint]) -> list[FileEvent]:
        """Give the hints and let everything come to rest; returns what was told."""
        for each in hints:
            self.pipeline.hint(each)
        events = self.pipeline.settle()
        self.check()
        return events

    def check(self) -> None:
        """What was told is what the stats say, and nothing was read for it."""
        rows = self.pipeline.ledger.rows
        assert {path: row.stat for path, row in rows.items()} == {
            path: self.world.look(path) for path in self.world.files
        }
        assert self.pipeline.mirror.files.keys() == self.world.files.keys()
        assert self.world.reads == 0
        assert not any(row.racy or row.growing for row in rows.values())

    def scan(self) -> list[FileEvent]:
        self.pipeline.hint_everything()
        return self.pipeline.settle()


@pytest.fixture
def unread() -> Unread:
    return Unread()


def test_a_file_is_created_modified_and_deleted_without_being_read(unread: Unread) -> None:
    events = unread.after(unread.world.write(A, b"one"))
    events += unread.after(unread.world.write(A, b"two"))
    events += unread.after(unread.world.delete(A))
    assert told(events) == [("created", A), ("modified", A), ("deleted", A)]
    assert [event.fingerprint for event in events] == [None, None, None]
    assert [event.version for event in events] == [1, 2, 3]
    assert events[1].changed == ("content",)
    assert events[1].stat is not None
    assert not any(event.growing for event in events)


@pytest.mark.parametrize("change", ["touch", "chmod"])
def test_a_change_of_the_times_alone_is_modified_since_nothing_else_can_tell(
    unread: Unread, change: str
) -> None:
    unread.after(unread.world.write(A, b"one"))
    getattr(unread.world, change)(A)
    (event,) = unread.scan()
    assert (event.event_type, event.changed) == (EventType.MODIFIED, ("content",))
    unread.check()


def test_a_change_of_mode_is_told_as_that_where_somebody_wants_to_know(unread: Unread) -> None:
    unread.world.tells_attributes = True
    unread.after(unread.world.write(A, b"one"))
    unread.world.chmod(A)
    unread.world.files[A].mode = "600 0 0"
    (event,) = unread.scan()
    unread.check()
    assert (event.event_type, event.changed) == (EventType.MODIFIED, ("attributes",))


def test_a_scan_of_what_did_not_change_is_silent(unread: Unread) -> None:
    unread.after(unread.world.write(A, b"one"), unread.world.write(B, b""))
    assert unread.scan() == []
    unread.check()


def test_a_move_that_the_kernel_paired_is_a_move_and_one_with_a_write_is_followed_by_modified(
    unread: Unread,
) -> None:
    unread.after(unread.world.write(A, b"one"))
    (moved,) = unread.after(unread.world.rename(A, C))
    assert (moved.event_type, moved.evidence) == (EventType.MOVED, Evidence.COOKIE)
    events = unread.after(unread.world.rename(C, B), unread.world.write(B, b"other"))
    assert told(events) == [("moved", B, C), ("modified", B)]


def test_a_folders_move_is_proved_by_the_inodes_also_when_nobody_saw_it(unread: Unread) -> None:
    unread.after(unread.world.write(b"/lib/d/x", b"one"), unread.world.write(b"/lib/d/y", b"two"))
    unread.world.rename_folder(b"/lib/d", b"/lib/f")
    events = unread.scan()
    assert told(events) == [("moved", b"/lib/f/x", b"/lib/d/x"), ("moved", b"/lib/f/y", b"/lib/d/y")]
    assert {event.evidence for event in events} == {Evidence.INODE}
    unread.check()


def test_content_proves_no_move(unread: Unread) -> None:
    unread.after(unread.world.write(A, b"the same"))
    events = unread.after(unread.world.delete(A), unread.world.write(B, b"the same"))
    assert sorted(told(events)) == [("created", B), ("deleted", A)]


def test_growth_is_told_as_ever_and_then_that_it_has_settled(unread: Unread) -> None:
    unread.pipeline.hint(unread.world.open(A))
    for _ in range(40):
        unread.pipeline.hint(unread.world.append(A, b"more"))
        unread.pipeline.run(1.0)
    assert unread.pipeline.ledger.rows[A].growing
    (event,) = unread.after(unread.world.close(A))
    assert (event.event_type, event.growing) == (EventType.MODIFIED, False)


def test_a_stream_is_told_as_idle_without_hashes() -> None:
    unread = Unread(StreamConfig(idle=20.0, quiet=1.0, max_wait=30.0))
    unread.pipeline.hint(unread.world.write(A, b"one"))
    events = unread.pipeline.run(40.0)
    assert told(events) == [("created", A), ("idle", A)]
    unread.check()


def test_hashes_that_are_wanted_again_are_news_and_told_as_modified_once(unread: Unread) -> None:
    unread.after(unread.world.write(A, b"one"))
    unread.pipeline.hashes = True
    (event,) = unread.scan()
    assert (event.event_type, event.changed) == (EventType.MODIFIED, ("content",))
    assert event.fingerprint == fingerprint_of(b"one")
    assert event.previous is not None
    assert event.previous.fingerprint is None
    assert unread.scan() == []
    assert unread.pipeline.mirror.files == unread.world.contents()


def test_hashes_from_before_stay_until_the_file_changes(unread: Unread) -> None:
    unread.pipeline.hashes = True
    unread.pipeline.hint(unread.world.write(A, b"one"))
    unread.pipeline.settle()
    unread.world.reads, unread.pipeline.hashes = 0, False
    assert unread.scan() == []
    assert unread.pipeline.ledger.rows[A].fingerprint == fingerprint_of(b"one")
    (event,) = unread.after(unread.world.write(A, b"two"))
    assert event.fingerprint is None


NAMES = (A, B, C, b"/lib/d/e")


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_the_consumer_knows_every_stat_in_the_end(seed: int) -> None:
    random, unread = Random(seed), Unread()
    world, pipeline = unread.world, unread.pipeline
    for _ in range(60):
        path, other = random.sample(NAMES, 2)
        what = random.choice(("write", "replace", "delete", "touch", "rename", "run", "restart", "swap"))
        if what == "run":
            pipeline.run(random.choice((0.5, 1.0, 5.0)))
        elif what == "restart":
            pipeline.restart()
        elif what in ("write", "replace"):
            pipeline.hint(getattr(world, what)(path, b"%d" % random.randrange(3)))
        elif path in world.files and what in ("delete", "touch"):
            pipeline.hint(getattr(world, what)(path))
        elif path in world.files and what == "rename":
            pipeline.hint(world.rename(path, other))
        elif path in world.files and other in world.files:
            for origin, target in ((path, b"/lib/.spare"), (other, path), (b"/lib/.spare", other)):
                pipeline.hint(world.rename(origin, target))
    pipeline.settle()
    unread.scan()
    unread.check()
    assert unread.scan() == []
