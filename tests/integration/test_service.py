"""The whole service over real folders, a real broker and real databases: what no part can promise alone."""

from __future__ import annotations

import os
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from file_watcher.catalog.owner import SessionLock, is_owned
from file_watcher.errors import CatalogBusy
from file_watcher.model import OutboxMessage
from file_watcher.processing.deciding import DecidingStage
from file_watcher.watching.inotify_tree import WatchTree
from file_watcher.watching.observer import LibraryWatch
from tests.support.catalog import another_process_writes, opened
from tests.support.consumer import Consumer
from tests.support.inside import InsideService, serving
from tests.support.postgresql import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.service import disk
from tests.support.waiting import wait_for


class Scenery:
    """A library, a consumer that is subscribed to all, and services between them."""

    def __init__(self, folder: Path, broker_url: str, exchange: str) -> None:
        self.library = folder / "library"
        self.library.mkdir()
        self.database_url = f"sqlite:///{folder / 'state' / 'catalog.db'}"
        self.consumer = Consumer(broker_url, exchange)
        self._address = (broker_url, exchange)
        self.consumer.subscribe()

    def service(self, database_url: str | None = None, **watch: Any) -> InsideService:
        return InsideService(self.library, *self._address, database_url or self.database_url, **watch)

    def file(self, name: str, content: bytes | None = None) -> Path:
        path = self.library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() if content is None else content)
        return path

    def drained(self) -> list[str]:
        """What was told since the last call: kinds with the name of the file, or of the notice alone."""
        return [
            f"{message.kind} {Path(message.body['file_path']).name}"
            if message.routing_key.startswith("file.")
            else message.kind
            for message in self.consumer.drain()
        ]

    def told(self, service: InsideService) -> list[str]:
        """The same, once all that happened is confirmed."""
        service.sync()
        return self.drained()

    def check_mirror(self) -> None:
        """The consumer, having applied every message, has what is on the disk."""
        assert self.consumer.mirror.problems == []
        assert self.consumer.mirror.files == disk(self.library, suffixes=(".mp3",))


@pytest.fixture
def at(tmp_path: Path, broker_url: str, exchange: str) -> Scenery:
    return Scenery(tmp_path, broker_url, exchange)


def let_pass(seconds: float) -> None:
    """Go on later: what is tested depends on how long after another a thing happens."""
    later = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= later, "time to pass")


def page(service: InsideService, path: str) -> tuple[int, str]:
    """Status and text; (0, "") where nothing answers."""
    http = service.service._http
    assert http is not None
    host, port = http.address
    try:
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def watch_of(service: InsideService) -> LibraryWatch:
    (post,) = service.parts.keeper._posts.values()
    assert post.lookout._watch is not None
    return post.lookout._watch


def tree_of(service: InsideService) -> WatchTree:
    tree = watch_of(service)._engine._reader.tree  # type: ignore[union-attr]
    assert isinstance(tree, WatchTree)
    return tree


# the ordinary life


def test_it_starts_tells_what_there_is_and_what_happens_and_stops(at: Scenery, database_url: str) -> None:
    at.file("old.mp3")
    at.file("notes.txt")
    with serving(at.service(database_url)) as service:
        assert at.told(service) == ["created old.mp3", "library.scanned"]
        assert page(service, "/readyz")[0] == 200

        at.file("new.mp3")
        assert at.told(service) == ["created new.mp3"]
        at.file("old.mp3", b"other words")
        assert at.told(service) == ["modified old.mp3"]
        (at.library / "old.mp3").rename(at.library / "renamed.mp3")
        assert at.told(service) == ["renamed renamed.mp3"]
        (at.library / "new.mp3").unlink()
        assert at.told(service) == ["deleted new.mp3"]
        at.check_mirror()
        assert [message.event_type for message in service.delivered].count("created") == 2


def test_what_happened_between_two_runs_is_told_by_the_second(at: Scenery, database_url: str) -> None:
    for name in ("stays", "changes", "goes", "moves"):
        at.file(f"{name}.mp3")
    with serving(at.service(database_url)) as service:
        assert len(at.told(service)) == 5
    at.file("changes.mp3", b"other words")
    (at.library / "goes.mp3").unlink()
    (at.library / "album").mkdir()
    (at.library / "moves.mp3").rename(at.library / "album/moves.mp3")
    with serving(at.service(database_url)) as service:
        told = at.told(service)
        assert sorted(told[:-1]) == ["deleted goes.mp3", "modified changes.mp3", "moved moves.mp3"]
        assert told[-1] == "library.scanned"
        at.check_mirror()


def test_a_barrier_right_after_many_changes_covers_them_all(at: Scenery) -> None:
    with serving(at.service()) as service:
        service.sync()
        for round_ in range(5):
            for number in range(40):
                at.file(f"{round_}/{number}.mp3")
            service.sync()
            at.drained()
            at.check_mirror()
        shutil.rmtree(at.library / "0")
        (at.library / "1").rename(at.library / "one")
        service.sync()
        at.drained()
        at.check_mirror()


def test_a_write_that_leaves_size_and_mtime_as_they_were_is_told_of_all_names_of_the_file(
    at: Scenery,
) -> None:
    one = at.file("one.mp3", b"1" * 5_000)
    (at.library / "two.mp3").hardlink_to(one)
    with serving(at.service()) as service:
        service.sync()
        before = one.stat()
        with one.open("r+b") as file:
            file.write(b"2" * 5_000)
            file.flush()
            os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
        service.sync()
        at.drained()
        at.check_mirror()


@pytest.mark.parametrize("edited", [0, 1, 2])
def test_a_file_that_is_put_into_a_folder_which_is_renamed_at_once_has_moved(
    at: Scenery, edited: int
) -> None:
    """Also where it is edited before, between or after the two moves."""
    at.file("song.mp3")
    (at.library / "new").mkdir()
    acts: list[Callable[[], object]] = [
        lambda: (at.library / "song.mp3").rename(at.library / "new/song.mp3"),
        lambda: (at.library / "new").rename(at.library / "album"),
    ]
    name = ("song.mp3", "new/song.mp3", "album/song.mp3")[edited]
    acts.insert(edited, lambda: at.file(name, b"edited"))
    with serving(at.service(debounce_time="1s", move_window="2s")) as service:
        at.told(service)
        for act in acts:
            act()
            let_pass(0.4)
        assert at.told(service) == ["moved song.mp3", "modified song.mp3"]
        at.check_mirror()


def test_a_barrier_has_a_polled_library_scanned(at: Scenery) -> None:
    with serving(at.service(observer="polling", poll_interval="1h")) as service:
        service.sync()
        at.file("a.mp3")
        assert "created a.mp3" in at.told(service)


def test_a_rescan_on_demand_finds_what_no_hint_told_and_counts_it_as_missed(at: Scenery) -> None:
    with serving(at.service(observer="polling", poll_interval="1h")) as service:
        service.sync()
        at.file("a.mp3")
        service.service.rescan()
        wait_for(lambda: "created a.mp3" in at.drained(), "the file to be told")
        assert "watcher_missed_total 1.0" in page(service, "/metrics")[1]
        answer = service.ask("scan").result
        assert answer is not None
        assert (answer["files"], answer["new"], answer["missing"]) == (1, 0, 0)


# the end


def test_it_stops_in_time_while_a_huge_file_is_being_read(at: Scenery) -> None:
    path = at.file("huge.mp3")
    os.truncate(path, 50 * 10**9)
    with serving(at.service(), until_ready=False) as service:
        wait_for(
            lambda: service.service._parts is not None and service.parts.scheduler.depth() == 1, "the file"
        )
        wait_for(lambda: service.parts.pool.depth() == 0, "it to be taken")
    assert not any("huge" in told for told in at.drained())


def test_it_stops_in_time_without_a_broker_and_tells_later(
    at: Scenery, private_rabbit: RabbitNode, tmp_path: Path
) -> None:
    url = private_rabbit.url
    private_rabbit.stop()
    at.file("a.mp3")
    with serving(
        InsideService(at.library, url, "file_events", at.database_url), until_ready=False
    ) as service:
        wait_for(lambda: waiting_in(service) == 2, "the event and the notice to be recorded", 20)
        assert not service.healths()["broker"].ok
        assert page(service, "/readyz")[0] == 503
    with serving(at.service()) as service:
        assert at.told(service)[:1] == ["created a.mp3"]


def test_it_stops_in_time_while_tags_are_read_and_tells_no_file_without_them(
    at: Scenery, encoded_tones: Path
) -> None:
    shutil.copyfile(encoded_tones / "tone.mp3", at.library / "first.mp3")
    with serving(at.service(), until_ready=False) as service:
        wait_for(lambda: "created first.mp3" in at.drained(), "the process that reads tags to be there")
        (reader,) = service.parts.tags._crew._children
        psutil.Process(reader.pid).suspend()
        shutil.copyfile(encoded_tones / "tone.mp3", at.library / "second.mp3")
        wait_for(lambda: reader.load == 1, "its tags to be read")
    with serving(at.service()) as service:
        assert "created second.mp3" in at.told(service)
    (second,) = [event for event in at.consumer.events() if "second" in event.body["file_path"]]
    assert second.body["metadata"]["duration"] > 0
    at.check_mirror()


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_it_stops_in_time_while_the_database_hangs(
    at: Scenery, postgres: PostgresCluster, postgres_url: str, seconds: float
) -> None:
    """Whatever is asked when it begins to hang, and also where nobody has noticed yet."""
    try:
        with serving(at.service(postgres_url)) as service:
            at.file("a.mp3")
            service.sync()
            postgres.suspend()
            let_pass(seconds)
    finally:
        postgres.resume()
    wait_for(lambda: threads_left() == set(), "the threads that asked it to end", 30)
    with serving(at.service(postgres_url)) as service:
        assert at.told(service)[-1] == "library.scanned"


def threads_left() -> set[str]:
    """Names of the service's threads that run still."""
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("fw-")}


def waiting_in(service: InsideService) -> int:
    """How many messages wait in its outbox."""
    return 0 if service.service._parts is None else service.parts.relay._outbox.depth()[0]


# roots


def test_a_missing_root_is_waited_for(at: Scenery) -> None:
    at.library.rmdir()
    with serving(at.service(), until_ready=False) as service:
        service.wait_for_health("libraries", "library is suspended")
        wait_for(lambda: at.drained() == ["library.suspended"], "the notice")
        at.library.mkdir()
        at.file("a.mp3")
        service.wait_until_ready()
        told = at.told(service)
        assert told[0] == "library.resumed"
        assert sorted(told[1:]) == ["created a.mp3", "library.scanned"]


def test_a_root_that_is_renamed_away_and_back_loses_nothing(at: Scenery) -> None:
    for number in range(20):
        at.file(f"{number}.mp3")
    with serving(at.service()) as service:
        service.sync()
        at.drained()
        away = at.library.with_name("away")
        at.library.rename(away)
        service.wait_for_health("libraries", "suspended")
        (away / "0.mp3").unlink()
        (away / "while-away.mp3").write_bytes(b"la")
        away.rename(at.library)
        service.wait_until_ready()
        told = at.told(service)
        assert sorted(each for each in told if each.split()[0] in {"deleted", "created", "modified"}) == [
            "created while-away.mp3",
            "deleted 0.mp3",
        ]
        assert [each for each in told if each.startswith("library")] == [
            "library.suspended",
            "library.resumed",
            "library.scanned",
        ]
        at.check_mirror()


def test_a_root_that_is_away_for_a_moment_only_loses_no_change(at: Scenery) -> None:
    at.file("a.mp3")
    with serving(at.service()) as service:
        service.sync()
        for round_ in range(20):
            at.file("a.mp3", b"words %d" % round_)
            at.library.rename(at.library.with_name("away"))
            at.library.with_name("away").rename(at.library)
        at.file("b.mp3")
        wait_for(
            lambda: at.told(service) is None or at.consumer.mirror.files == disk(at.library), "the mirror", 30
        )
        assert not at.consumer.events("deleted")


def test_an_emptied_library_is_suspended_until_the_loss_is_approved(at: Scenery) -> None:
    for number in range(10):
        at.file(f"{number}.mp3")
    with serving(at.service()) as service:
        service.sync()
        at.drained()
    for path in at.library.iterdir():
        path.unlink()
    with serving(at.service(loss_guard="50%,5"), until_ready=False) as service:
        service.wait_for_health("libraries", "10 of 10 files are missing at once")
        wait_for(lambda: at.drained() == ["library.suspended"], "the notice")
        service.sync()
        assert at.drained() == [], "nobody waits for a suspended library, and nothing of it is told"

        assert service.ask("approve", library="library").state == "done"
        service.wait_until_ready()
        told = at.told(service)
        assert told[0] == "library.resumed"
        assert sum(each.startswith("deleted") for each in told) == 10
        at.check_mirror()


def test_a_lost_library_that_comes_back_resumes_by_itself(at: Scenery) -> None:
    for number in range(10):
        at.file(f"{number}.mp3")
    with serving(at.service()) as service:
        service.sync()
        at.drained()
    kept = at.library.with_name("kept")
    kept.mkdir()
    for path in at.library.iterdir():
        path.rename(kept / path.name)
    with serving(at.service(loss_guard="50%,5"), until_ready=False) as service:
        service.wait_for_health("libraries", "files are missing at once")
        for path in kept.iterdir():
            path.rename(at.library / path.name)
        service.wait_until_ready()
        assert not any(each.startswith("deleted") for each in at.told(service))
        at.check_mirror()


def test_many_files_that_were_moved_while_nobody_watched_are_no_loss(at: Scenery) -> None:
    for number in range(20):
        at.file(f"old/{number}.mp3")
    with serving(at.service()) as service:
        service.sync()
        at.drained()
    (at.library / "old").rename(at.library / "new")
    with serving(at.service(loss_guard="50%,5")) as service:
        told = at.told(service)
        assert [each.split()[0] for each in told] == ["moved"] * 20 + ["library.scanned"]
        at.check_mirror()


def test_another_folder_at_the_roots_place_needs_approval(at: Scenery) -> None:
    at.file("a.mp3")
    with serving(at.service()) as service:
        service.sync()
        at.drained()
        at.library.rename(at.library.with_name("former"))
        at.library.mkdir()
        at.file("b.mp3")
        service.wait_for_health("libraries", "another folder or disk")
        assert service.ask("approve", library="library").state == "done"
        service.wait_until_ready()
        told = [each for each in at.told(service) if not each.startswith("library")]
        assert sorted(told) == ["created b.mp3", "deleted a.mp3"]


# watches


def test_an_overflow_of_the_kernels_queue_costs_nothing(at: Scenery) -> None:
    with serving(at.service()) as service:
        service.sync()
        with tree_of(service)._lock:  # the reader falls behind, as on a busy machine
            for number in range(9_000):
                path = at.library / f"{number}.txt"
                path.touch()
                path.unlink()
            at.file("a.mp3")
        assert "created a.mp3" in at.told(service)
        service.wait_until_ready()
        at.file("b.mp3")
        assert at.told(service) == ["created b.mp3"], "the new watch hears"


def test_a_watch_that_went_deaf_is_replaced_and_what_it_missed_is_told(at: Scenery) -> None:
    with serving(at.service()) as service:
        service.sync()
        at.drained()
        old = watch_of(service)
        reader = old._engine._reader  # type: ignore[union-attr]
        reader.stop()
        at.file("a.mp3")
        assert "created a.mp3" in at.told(service)
        wait_for(lambda: watch_of(service) is not old, "another watch", 5)
        service.wait_until_ready()
        at.file("b.mp3")
        assert "created b.mp3" in at.told(service)


# databases


def test_a_database_that_is_away_at_the_start_is_waited_for(
    at: Scenery, postgres: PostgresCluster, postgres_url: str
) -> None:
    at.file("a.mp3")
    postgres.stop()
    with serving(at.service(postgres_url), until_ready=False) as service:
        wait_for(lambda: page(service, "/readyz")[0] == 503, "the page")
        assert not service.healths()["database"].ok
        postgres.start()
        service.wait_until_ready()
        assert sorted(at.told(service)) == ["created a.mp3", "library.scanned"]


def test_it_can_be_stopped_while_it_waits_for_a_database(
    at: Scenery, postgres: PostgresCluster, postgres_url: str
) -> None:
    postgres.stop()
    with serving(at.service(postgres_url), until_ready=False) as service:
        service.wait_for_health("database", "connection refused")
    postgres.start()


def test_it_can_be_stopped_while_another_process_keeps_its_catalog_locked(
    at: Scenery, tmp_path: Path
) -> None:
    with opened(at.database_url):
        pass
    with another_process_writes(tmp_path / "state" / "catalog.db"):
        with serving(at.service(), until_ready=False):
            wait_for(
                lambda: is_owned(tmp_path / "state" / "catalog.db") is not None, "it to open the catalog"
            )
        assert "fw-open" in threads_left(), "it waits for the lock still"
    wait_for(lambda: "fw-open" not in threads_left(), "the thread to end", 30)


def test_connections_that_are_ended_in_the_middle_cost_no_change(
    at: Scenery, postgres: PostgresCluster, postgres_url: str
) -> None:
    with serving(at.service(postgres_url)) as service:
        for round_ in range(6):
            for number in range(50):
                at.file(f"{round_}/{number}.mp3")
            postgres.terminate_connections()
        service.sync()
        at.drained()
        at.check_mirror()


def test_an_idle_service_that_loses_its_database_is_not_ready_until_it_is_back(
    at: Scenery, postgres: PostgresCluster, postgres_url: str
) -> None:
    with serving(at.service(postgres_url)) as service:
        service.sync()
        postgres.stop()
        wait_for(lambda: page(service, "/readyz")[0] == 503, "the page")
        at.file("a.mp3")
        postgres.start()
        service.wait_until_ready()
        assert "created a.mp3" in at.told(service)


def test_a_second_service_on_the_same_catalog_is_refused(at: Scenery) -> None:
    with serving(at.service()):
        second = at.service()
        second.start()
        second.wait_for_end()
        assert isinstance(second.outcome, CatalogBusy)
        assert "INSTANCE_ID" in str(second.outcome)
    with serving(at.service()):
        pass


def test_a_second_service_is_refused_even_after_the_first_lost_its_connections(
    at: Scenery, postgres: PostgresCluster, postgres_url: str
) -> None:
    with serving(at.service(postgres_url)) as service:
        owner = service.service._owner
        assert isinstance(owner, SessionLock)
        before = owner._session
        postgres.restart()
        wait_for(lambda: owner._session not in {before, None}, "the ownership to be taken again", 20)
        second = at.service(postgres_url)
        second.start()
        second.wait_for_end()
        assert isinstance(second.outcome, CatalogBusy)


# surprises


def test_a_thread_that_dies_ends_the_service_with_exit_code_1(
    at: Scenery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise ValueError("nobody expected this")

    service = at.service()
    service.start()
    service.wait_until_ready()
    monkeypatch.setattr(DecidingStage, "_decide", break_down)
    at.file("a.mp3")
    service.wait_for_end()
    assert service.outcome == 1


def test_whoever_takes_delivery_reports_may_fail(at: Scenery) -> None:
    service = at.service()

    def refuse(message: OutboxMessage) -> None:
        raise ValueError(message.event_id)

    service.service._on_delivered = refuse
    with serving(service):
        at.file("a.mp3")
        assert "created a.mp3" in at.told(service)
    assert threading.current_thread() is threading.main_thread()
