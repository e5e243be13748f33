"""Merging never-sent messages: the net effect stays, nothing else goes, and it works in bounded pieces."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url
from structlog.testing import capture_logs

from file_watcher.catalog import compaction as compaction_module
from file_watcher.catalog import touches as touches_module
from file_watcher.catalog.compaction import Compaction
from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries
from file_watcher.catalog.messages import NewMessage
from file_watcher.catalog.outbox import Outbox
from file_watcher.errors import CatalogUnavailable
from file_watcher.model import OutboxMessage
from tests.support.catalog import ROOT, message, opened


class Tale:
    """A disk that tells what happens on it, and a consumer that applies what it is sent."""

    def __init__(self, database: Database, *, libraries: Sequence[int] = (1,)) -> None:
        self.database = database
        self.outbox = Outbox(database, libraries)
        self.merged: list[int] = []
        self.compaction = self.new_compaction()
        self.disk: dict[bytes, int] = {}
        self.known: dict[bytes, int] = {}
        self._contents = itertools.count(1)

    def new_compaction(self, limit: int = 0) -> Compaction:
        return Compaction(self.database, self.outbox, limit, self.merged.append)

    def restart(self) -> None:
        """A new process; it asks for the depth before anything else is recorded."""
        self.compaction = self.new_compaction()
        self.compaction.keep_limit(0, lambda: False)

    def tell(self, event_type: str, path: bytes, old_path: bytes | None = None, **changes: Any) -> NewMessage:
        values: dict[str, Any] = {
            "event_type": event_type,
            "path": path,
            "old_path": old_path,
            "file_id": "f",
            "body": b"%d" % self.disk.get(path, 0),
        }
        told = message(**(values | changes))
        self.outbox.record([told])
        return told

    def write(self, path: bytes) -> None:
        """Write a file; what is in its way, a file where it needs a folder or the reverse, goes first."""
        for other in sorted(self.disk, reverse=True):
            if other.startswith(path + b"/") or path.startswith(other + b"/"):
                self.delete(other)
        event_type = "modified" if path in self.disk else "created"
        self.disk[path] = next(self._contents)
        self.tell(event_type, path)

    def delete(self, path: bytes) -> None:
        if self.disk.pop(path, None) is not None:
            self.tell("deleted", path)

    def move(self, source: bytes, target: bytes, *, told_as_overwritten: bool) -> None:
        connected = source.startswith(target + b"/") or target.startswith(source + b"/")
        if source not in self.disk or source == target or connected:
            return
        for other in sorted(self.disk, reverse=True):
            if other.startswith(target + b"/") or target.startswith(other + b"/"):
                if other == source:
                    return
                self.delete(other)
        if target in self.disk and told_as_overwritten:
            self.delete(target)
        self.disk[target] = self.disk.pop(source)
        self.tell("moved", target, source)

    def swap(self, one: bytes, two: bytes) -> None:
        """Told as `modified` of each, in one commit."""
        if one in self.disk and two in self.disk and one != two:
            self.disk[one], self.disk[two] = self.disk[two], self.disk[one]
            self.tell("modified", one)
            self.tell("modified", two)

    def snapshot(self, queue: str | None) -> None:
        about: dict[str, Any] = {"snapshot": "s", "queue": queue}
        self.tell("snapshot.begin", ROOT, file_id=None, **about)
        for path in sorted(self.disk):
            self.tell("created", path, **about)
        self.tell("snapshot.end", ROOT, file_id=None, **about)

    def reserve(self, count: int) -> None:
        """Note as perhaps sent, but send nothing."""
        if page := self.outbox.pending(0, 1000)[:count]:
            self.outbox.reserve(page[-1].sequence, {one.library_id for one in page})

    def send(self, count: int = 1_000_000) -> list[bytes]:
        """Send the oldest that wait, as the relay does; returns their paths."""
        self.reserve(count)
        page = self.outbox.pending(0, 10_000)[:count]
        for sent in page:
            if sent.old_path is not None:
                self.known.pop(sent.old_path, None)
            if sent.event_type == "deleted":
                self.known.pop(sent.path, None)
            elif "." not in sent.event_type:
                self.known[sent.path] = int(sent.body)
        self.outbox.mark_published([sent.sequence for sent in page])
        return [sent.path for sent in page]

    def merge(self, should_stop: Callable[[], bool] = lambda: False) -> int:
        return self.compaction.keep_limit(self.outbox.depth()[0], should_stop)

    def never_sent(self) -> list[OutboxMessage]:
        with self.database.reading() as connection:
            return self.outbox.pending(self.outbox.sent_up_to(connection), 10_000)

    @property
    def waiting(self) -> list[tuple[str, bytes]]:
        return [(one.event_type, one.path) for one in self.outbox.pending(0, 10_000)]


@pytest.fixture(autouse=True)
def as_often_as_asked() -> Iterator[None]:
    """Merge at every call, unless the test says otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction_module, "_GROWTH", 0.0)
        yield


@pytest.fixture
def tale(database: Database) -> Tale:
    Libraries(database).ensure_library(ROOT)
    tale = Tale(database)
    tale.restart()
    return tale


A, B, C = b"/m/a", b"/m/b", b"/m/c"


def test_many_events_of_one_file_become_the_newest_of_them_as_it_was_recorded(tale: Tale) -> None:
    tale.write(A)
    tale.send()
    for _ in range(50):
        tale.write(A)
        tale.write(B)

    assert tale.merge() == 98

    assert tale.waiting == [("modified", A), ("modified", B)]
    assert [one.body for one in tale.outbox.pending(0, 10)] == [b"%d" % tale.disk[A], b"%d" % tale.disk[B]]
    assert sum(tale.merged) == 98


def test_what_may_have_been_sent_is_left_alone(tale: Tale) -> None:
    for _ in range(6):
        tale.write(A)
    tale.reserve(3)

    assert tale.merge() == 2

    assert [one.sequence for one in tale.outbox.pending(0, 10)] == [1, 2, 3, 6]


def test_a_mark_that_is_set_meanwhile_is_heeded(tale: Tale) -> None:
    for _ in range(6):
        tale.write(A)
    asked = 0

    def reserve_when_all_is_computed() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            tale.reserve(4)
        return False

    assert tale.merge(reserve_when_all_is_computed) == 1
    assert [one.sequence for one in tale.outbox.pending(0, 10)] == [1, 2, 3, 4, 6]


def test_a_move_stays_while_one_of_its_paths_needs_it(tale: Tale) -> None:
    tale.write(A)
    tale.send()
    tale.move(A, B, told_as_overwritten=False)
    tale.write(B)
    assert tale.merge() == 0

    tale.write(A)
    assert tale.merge() == 1

    assert tale.waiting == [("modified", B), ("created", A)]


def test_files_that_came_and_went_unseen_leave_nothing(tale: Tale) -> None:
    for number in range(100):
        tale.write(b"/m/%d" % number)
        tale.delete(b"/m/%d" % number)

    assert tale.merge() == 200
    assert tale.waiting == []


def test_a_file_that_was_known_is_told_as_deleted_whatever_came_in_between(tale: Tale) -> None:
    tale.write(A)
    tale.send()
    tale.delete(A)
    tale.write(A)
    tale.merge()
    assert tale.waiting == [("created", A)], "its deletion was merged"

    tale.delete(A)
    tale.merge()

    assert tale.waiting == [("deleted", A)]


def test_what_an_earlier_process_left_proves_nothing_about_what_was_before(tale: Tale) -> None:
    tale.write(A)
    tale.send()
    tale.delete(A)
    tale.write(A)
    tale.merge()
    tale.restart()
    tale.delete(A)

    tale.merge()

    assert tale.waiting == [("deleted", A)]


def test_a_snapshot_and_notices_are_never_merged_and_never_merged_into(tale: Tale) -> None:
    tale.write(A)
    tale.snapshot(None)
    tale.snapshot("one.queue")
    tale.tell("library.scanned", ROOT, file_id=None)
    tale.tell("library.scanned", ROOT, file_id=None)
    told = tale.waiting
    assert tale.merge() == 0

    tale.delete(A)
    tale.merge()

    assert tale.waiting == [*told[1:], ("deleted", A)], "the deletion undoes what the snapshot says"


def test_other_instances_messages_are_left_alone(tale: Tale) -> None:
    for _ in range(3):
        tale.tell("modified", A)
        tale.tell("modified", A, library_id=2)
    Outbox(tale.database, [2]).reserve(1000, [2])

    assert tale.merge() == 2

    assert [one.sequence for one in Outbox(tale.database, [2]).pending(0, 10)] == [2, 4, 6]


def test_a_run_that_is_cut_short_leaves_what_is_still_right(
    tale: Tale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The front went first: the deletion of what was never told does no harm, the reverse would."""
    monkeypatch.setattr(compaction_module, "_CHUNK", 1)
    tale.write(A)
    tale.delete(A)
    answers = iter([False, False, True])

    assert tale.merge(lambda: next(answers)) == 1

    assert tale.waiting == [("deleted", A)]


def test_it_runs_again_only_when_much_more_waits_than_it_left(
    tale: Tale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction_module, "_GROWTH", 1.25)
    tale.compaction = tale.new_compaction(limit=20)
    for number in range(30):
        tale.write(b"/m/%d" % number)
    with capture_logs() as logs:
        assert tale.merge() == 0
        for _ in range(7):
            tale.write(b"/m/0")
            assert tale.merge() == 0
        tale.write(b"/m/0")
        assert tale.merge() == 8
        tale.send()
        tale.merge()
        for _ in range(21):
            tale.write(A)
        assert tale.merge() == 20

    told = [entry for entry in logs if entry["event"] == "outbox_over_limit"]
    assert [(entry["waiting"], entry["limit"]) for entry in told] == [(30, 20), (21, 20)], "once per outage"
    assert "nothing is dropped" in told[0]["effect"]


def test_a_count_from_before_the_last_run_does_not_put_the_next_one_off(
    tale: Tale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The depth is remembered for up to 20 s, by which time a run may be over."""
    monkeypatch.setattr(compaction_module, "_GROWTH", 1.25)
    tale.compaction = tale.new_compaction(limit=20)
    for _ in range(30):
        tale.write(A)
    assert tale.merge() == 29

    assert tale.compaction.keep_limit(30, lambda: False) == 0

    for _ in range(24):
        tale.write(A)
    assert tale.merge() == 24


def test_a_run_that_finds_no_room_for_temporary_files_is_not_begun_anew_at_every_look(
    tale: Tale, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    def note(_touches: object, page: object) -> None:
        attempts.append(page)
        raise CatalogUnavailable("the disk is full")

    monkeypatch.setattr(compaction_module, "_PAUSE_SECONDS", 60.0)
    tale.write(A)
    tale.write(A)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(touches_module.Touches, "note", note)
        with pytest.raises(CatalogUnavailable):
            tale.merge()
        assert tale.merge() == 0
        assert len(attempts) == 1
        assert [entry["reason"] for entry in logs if entry["event"] == "outbox_merging_interrupted"] == [
            "the disk is full"
        ]
        monkeypatch.setattr(tale.compaction, "_not_before", 0.0)
    assert tale.merge() == 1


def test_a_database_that_allows_no_temporary_table_costs_only_room(postgres_url: str) -> None:
    with opened(postgres_url) as database:
        Libraries(database).ensure_library(ROOT)
        name, role = postgres_url.rpartition("/")[2].partition("?")[0], f"plain_{uuid.uuid4().hex[:8]}"
        with database.writing() as connection:
            for statement in (
                f"CREATE ROLE {role} LOGIN",
                f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC',
                f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
                f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
            ):
                connection.exec_driver_sql(statement)
    plain = Database(make_url(postgres_url).set(username=role).render_as_string(hide_password=False))
    plain.open()
    try:
        tale = Tale(plain)
        tale.restart()
        for _ in range(3):
            tale.write(A)
        with capture_logs() as logs:
            assert tale.merge() == 0
    finally:
        plain.close()
    (told,) = [entry for entry in logs if entry["event"] == "outbox_not_merged"]
    assert "temporary" in told["reason"]
    assert "GRANT TEMPORARY" in told["note"]


def test_whoever_waits_for_a_merged_message_waits_for_the_one_that_carries_it(tale: Tale) -> None:
    tale.write(A)
    asked = tale.outbox.last_sequence()
    assert tale.outbox.carrier_of(asked) == asked
    tale.write(B)
    tale.write(A)
    tale.write(C)

    tale.merge()

    assert tale.outbox.carrier_of(asked) == 4
    assert tale.outbox.carrier_of(4) == 4
    tale.write(A)
    tale.merge()
    assert tale.outbox.carrier_of(asked) == 5
    tale.send()
    tale.write(A)
    tale.write(A)
    tale.merge()
    assert tale.outbox.carrier_of(asked) == 5, "that was confirmed long ago"
    assert tale.outbox.carrier_of(6) == 7


PATHS = st.sampled_from([A, B, C, A + b"/x", A + b"/y", B + b"/x"])
COUNTS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("write"), PATHS),
    st.tuples(st.just("write"), PATHS),
    st.tuples(st.just("delete"), PATHS),
    st.tuples(st.just("move"), PATHS, PATHS, st.booleans()),
    st.tuples(st.just("swap"), PATHS, PATHS),
    st.tuples(st.just("snapshot"), st.none()),
    st.tuples(st.just("reserve"), COUNTS),
    st.tuples(st.just("send"), COUNTS),
    st.tuples(st.just("merge"), st.integers(-1, 6), st.integers(-1, 6), COUNTS),
    st.tuples(st.just("restart")),
)
Step = tuple[Any, ...]

MERGE = ("merge", -1, -1, 0)
FORGOTTEN = [("write", A), ("send", 1), ("delete", A), ("write", A), MERGE]
"""After these the first message of a known file says `created`."""


def play(tale: Tale, steps: Sequence[Step]) -> None:
    """Whatever happens, is sent and is merged when: in the end the consumer knows what is on the disk."""
    tale.restart()
    for name, *arguments in steps:
        if name == "move":
            source, target, told = arguments
            tale.move(source, target, told_as_overwritten=told)
        elif name == "merge":
            tale.merge(_interruption(tale, *arguments))
        elif name == "restart":
            tale.restart()
        else:
            getattr(tale, name)(*arguments)
    tale.merge()
    left = tale.never_sent()
    paths = {path for one in left for path in (one.path, one.old_path) if path is not None}
    assert ("snapshot", None) in steps or len(left) <= len(paths), "no more than one for each path"
    tale.send()
    assert tale.known == tale.disk


def _interruption(tale: Tale, stop_at: int, reserve_at: int, count: int) -> Callable[[], bool]:
    """Stops a run at one of its questions, and before another one lets the relay reserve; -1 for never."""
    asked = itertools.count()
    is_over = False

    def ask() -> bool:
        nonlocal is_over
        question = next(asked)
        if question == reserve_at:
            tale.reserve(count)
        is_over = is_over or question == stop_at
        return is_over

    return ask


@example([*FORGOTTEN, ("delete", A)])
@example([*FORGOTTEN, ("restart",), ("delete", A)])
@example([("write", A), ("send", 1), ("write", B), ("move", B, C, True), ("move", A, B, True), ("delete", B)])
@example([("write", A), ("delete", A), ("merge", -1, 1, 1)])
@example([("write", A), ("snapshot", None), ("delete", A)])
@given(st.lists(STEPS, max_size=40))
def test_a_merged_outbox_has_the_effect_of_the_whole_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('tale')}/catalog.sqlite3"
    with opened(url) as database:
        Libraries(database).ensure_library(ROOT)
        _play_in_small_pieces(database, steps)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=40))
def test_a_merged_outbox_has_the_effect_of_the_whole_one_on_postgresql(
    postgresql: Database, steps: list[Step]
) -> None:
    with postgresql.writing() as connection:
        connection.exec_driver_sql("DELETE FROM fw_events")
    _play_in_small_pieces(postgresql, steps)


def _play_in_small_pieces(database: Database, steps: list[Step]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction_module, "_CHUNK", 2)
        patch.setattr(touches_module, "_PAGE", 3)
        play(Tale(database), steps)


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Database]:
    with opened(postgres_url) as database:
        Libraries(database).ensure_library(ROOT)
        yield database
