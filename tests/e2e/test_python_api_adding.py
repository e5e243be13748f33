"""The Python API: folders that are added while the watcher runs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from file_watcher import FileEvent, Watcher, WatcherError, WatcherStopped
from file_watcher.errors import CatalogUnavailable
from tests.support.waiting import wait_for
from tests.support.watchers import LONG, brief, take, take_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made(tmp_path / "data")


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return made(tmp_path / "other", "a", "b", "c")


def made(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    return folder


def asked(catalog: Path, question: str) -> list[Any]:
    """What a query of the catalog gives."""
    with closing(sqlite3.connect(catalog)) as connection:
        return connection.execute(question).fetchall()


def test_the_folders_that_are_watched_already_go_on_undisturbed(folder: Path, other: Path) -> None:
    with Watcher(folder) as watcher:
        wait_for(lambda: watcher.stats().healthy, "the first folder to be watched")
        before = set(threading.enumerate())
        watcher.watch(other)
        assert before <= set(threading.enumerate())
        states = {root.path: root.state for root in watcher.stats().roots}
        assert (list(states), states[folder]) == ([folder, other], "watched")
        assert sorted(map(brief, take_all(watcher, 3))) == ["created a", "created b", "created c"]
        for root in (folder, other):
            (root / "new").write_text("new")
            (event,) = take_all(watcher, 1)
            assert (event.path, event.root) == (root / "new", root)


def test_what_happens_while_folders_are_added_is_told_once_each(folder: Path, tmp_path: Path) -> None:
    others = [made(tmp_path / f"other-{number}", "there") for number in range(5)]
    added = threading.Event()

    def work() -> int:
        """Make files in the first folder as long as folders are added, and a few more."""
        count = 0
        while not added.wait(0.002):
            (folder / str(count)).write_text(str(count))
            count += 1
        return count

    with Watcher(folder) as watcher, ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        for other in others:
            watcher.watch(other)
            (other / "new").write_text("new")
        added.set()
        expected = [folder / str(number) for number in range(worker.result(LONG))]
        expected += [other / name for other in others for name in ("there", "new")]
        told = take_all(watcher, len(expected))
    assert {event.kind for event in told} == {"created"}
    assert sorted(event.path for event in told) == sorted(expected)


def test_without_existing_what_is_there_is_known_and_only_changes_are_told(folder: Path, other: Path) -> None:
    with Watcher(folder, existing=False) as watcher:
        watcher.watch(other)
        (other / "a").write_text("other")
        (other / "b").unlink()
        assert sorted(map(brief, take_all(watcher, 2))) == ["deleted b", "modified a"]


def test_a_program_with_a_full_buffer_may_add_a_folder_whose_files_are_to_be_known(
    folder: Path, other: Path
) -> None:
    for number in range(20):
        (folder / f"{number:02}").write_text("old")
    with Watcher(folder, existing=False, buffer=1) as watcher:
        for number in range(20):
            (folder / f"{number:02}").write_text("changed")
        (first,) = take(watcher, 1)
        watcher.watch(other)
        (other / "a").write_text("changed")
        told = [first, *take_all(watcher, 20)]
    assert {event.kind for event in told} == {"modified"}
    assert len({event.path for event in told}) == 21


def test_a_callback_may_add_a_folder_whose_files_are_to_be_known(folder: Path, other: Path) -> None:
    told: list[FileEvent] = []

    def note(event: FileEvent) -> None:
        told.append(event)
        if len(told) == 1:
            watcher.watch(other)
            (other / "a").write_text("changed")

    watcher = Watcher(folder, existing=False, buffer=1, on_event=note)
    with watcher:
        for number in range(10):
            (folder / str(number)).write_text(str(number))
        wait_for(lambda: len(told) == 11, "all to be told")
    assert {event.path for event in told} == {folder / str(number) for number in range(10)} | {other / "a"}


def test_a_start_need_not_wait_for_events_of_last_time_to_be_taken(
    folder: Path, other: Path, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.db"
    for number in range(10):
        (folder / str(number)).write_text(str(number))
    with Watcher(folder, catalog=catalog) as watcher:
        wait_for(lambda: asked(catalog, "SELECT 1 FROM fw_library_state WHERE first_scan_done"), "the scan")
    with Watcher(folder, other, catalog=catalog, existing=False, buffer=2) as watcher:
        (other / "a").unlink()
        told = take_all(watcher, 11)
    assert {event.path for event in told} == {folder / str(number) for number in range(10)} | {other / "a"}


def test_a_folder_that_the_catalog_knows_goes_on_where_it_was_left(
    folder: Path, other: Path, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.db"
    with Watcher(other, catalog=catalog) as watcher:
        handled, in_hand = take(watcher, 2)
    with Watcher(folder, catalog=catalog) as watcher:
        (folder / "new").write_text("new")
        (other / handled.path.name).write_text("changed")
        in_work = watcher.events(LONG)
        assert brief(next(in_work)) == "created new"  # and stays in hand
        watcher.watch(other)
        told = take_all(watcher, 3)
        del in_work
    assert in_hand.event_id in {event.event_id for event in told}
    assert f"modified {handled.path.name}" in map(brief, told)


def test_the_catalog_says_watched_of_the_folders_of_the_last_watcher_only(
    folder: Path, other: Path, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.db"

    def watched() -> dict[str, int]:
        return dict(asked(catalog, "SELECT path, is_watched FROM libraries"))

    with Watcher(folder, catalog=catalog) as watcher:
        assert watched() == {str(folder): 1}
        watcher.watch(other)
        assert watched() == {str(folder): 1, str(other): 1}
    with Watcher(other, catalog=catalog):
        assert watched() == {str(folder): 0, str(other): 1}


def test_a_catalog_that_is_locked_refuses_the_folder_and_the_rest_goes_on(
    folder: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = tmp_path / "catalog.db"
    monkeypatch.setattr("file_watcher.catalog.engines.BUSY_SECONDS", 0.2)
    with Watcher(folder, catalog=catalog) as watcher:
        with closing(sqlite3.connect(catalog, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")
            with pytest.raises(WatcherError, match="locked") as caught:
                watcher.watch(other)
            somebody.execute("ROLLBACK")
        assert (caught.value.op, caught.value.path) == ("watch", other)
        assert isinstance(caught.value.__cause__, CatalogUnavailable)
        assert [root.path for root in watcher.stats().roots] == [folder]
        (folder / "new").write_text("new")
        assert list(map(brief, take(watcher, 1))) == ["created new"]
        added = wait_for(lambda: is_added(watcher, other), "the catalog to answer again")
        assert added
        assert len(take_all(watcher, 3)) == 3


def is_added(watcher: Watcher, folder: Path) -> bool:
    """A catalog that did not answer is spared for a moment, so the first tries may fail as well."""
    try:
        watcher.watch(folder)
    except WatcherError as error:
        if isinstance(error.__cause__, CatalogUnavailable):
            return False
        raise
    return True


def test_a_watcher_whose_catalog_is_refused_with_its_first_folder_takes_another_try(
    folder: Path, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.db"
    catalog.write_text("this is no catalog, and never was one, whatever its name says")
    with Watcher(catalog=catalog) as watcher:
        with pytest.raises(WatcherError) as caught:
            watcher.watch(folder)
        assert caught.value.op == "open"
        catalog.unlink()
        watcher.watch(folder)
        (folder / "new").write_text("new")
        assert list(map(brief, take(watcher, 1))) == ["created new"]


@pytest.fixture(params=["iteration", "callback"])
def watcher_of(request: pytest.FixtureRequest) -> Callable[[Path], Watcher]:
    def make(folder: Path) -> Watcher:
        on_event = (lambda _event: None) if request.param == "callback" else None
        return Watcher(folder, existing=False, debounce="60s", on_event=on_event)

    return make


def test_a_stop_ends_a_watch_that_is_waiting(
    folder: Path, other: Path, watcher_of: Callable[[Path], Watcher]
) -> None:
    watcher = watcher_of(folder).start()
    with ThreadPoolExecutor(1) as pool, (other / "growing").open("w"):  # not read before it is closed
        call = pool.submit(watcher.watch, other)
        wait_for(lambda: len(watcher.stats().roots) == 2, "the folder to be added")
        assert not call.done()
        watcher.stop()
        with pytest.raises(WatcherStopped):
            call.result(timeout=LONG)


def test_threads_that_add_folders_at_once_each_get_theirs(folder: Path, tmp_path: Path) -> None:
    others = [made(tmp_path / f"other-{number}", f"file-{number}") for number in range(6)]
    with Watcher(folder) as watcher, ThreadPoolExecutor(6) as pool:
        list(pool.map(watcher.watch, others))
        told = sorted(map(brief, take_all(watcher, 6)))
        assert told == [f"created file-{number}" for number in range(6)]
        assert {root.path for root in watcher.stats().roots} == {folder, *others}
        wait_for(lambda: watcher.stats().healthy, "all to be watched")


def test_the_same_folder_from_two_threads_is_added_once(folder: Path, other: Path) -> None:
    def add(_number: int) -> str:
        try:
            watcher.watch(other)
        except WatcherError as error:
            return str(error)
        return ""

    with Watcher(folder) as watcher, ThreadPoolExecutor(2) as pool:
        done, refused = sorted(pool.map(add, range(2)))
        assert done == ""
        assert "watched already" in refused
        assert len(take_all(watcher, 3)) == 3
