"""The Python API over time: going on after a crash, ends of all kinds, and what it must not do to its host."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import structlog

from file_watcher import FileEvent, Watcher, WatcherError, WatcherStopped
from tests.support.waiting import wait_for
from tests.support.watchers import LONG, brief, program, take, take_all

pause = threading.Event().wait
"""What paces the people; nothing is waited for with it."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


# -- going on where it stopped -----------------------------------------------------------------------

_HANDLE = """
import os, signal, sys
from file_watcher import Watcher

folder, catalog, last, until = sys.argv[1:]
seen = 0
with Watcher(folder, catalog=catalog) as watcher:
    while event := next(watcher.events(30 if until else 0.5), None):
        seen += 1
        until = "" if event.kind == until else until
        print(event.kind, event.path.name, event.event_id, flush=True)
        if seen == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_what_was_not_handled_comes_again_and_what_happened_meanwhile(
    folder: Path, tmp_path: Path
) -> None:
    for name in "abcdef":
        (folder / name).write_text(name)
    catalog = tmp_path / "catalog.db"
    killed = program(_HANDLE, folder, catalog, 4, "deleted")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = killed.stdout.splitlines()
    first, second, third = (line.split()[1] for line in before[:3])
    (folder / first).write_text("changed")
    (folder / second).unlink()
    (folder / third).rename(folder / "new")
    ended = program(_HANDLE, folder, catalog, -1, "deleted")
    assert (ended.returncode, ended.stderr) == (0, "")
    after = ended.stdout.splitlines()
    assert before[-1] in after  # it was being handled
    told = {" ".join(line.split()[:2]) for line in {*before, *after}}
    changes = {f"modified {first}", f"deleted {second}", "renamed new"}
    assert told == {*(f"created {name}" for name in "abcdef"), *changes}
    assert len({*before, *after}) == 9
    nothing = program(_HANDLE, folder, catalog, -1, "")
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "")


def test_an_event_in_hand_at_the_stop_counts_as_not_handled(folder: Path, tmp_path: Path) -> None:
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    catalog = tmp_path / "state" / "catalog.db"
    with Watcher(folder, catalog=catalog) as watcher:
        first, second = take(watcher, 2)
    with Watcher(folder, catalog=catalog) as watcher:
        assert take_all(watcher, 1) == [second]
    with Watcher(folder, catalog=catalog) as watcher:
        assert take_all(watcher, 0) == []
    assert first != second


def test_a_catalog_has_one_watcher_and_lies_outside(folder: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    with Watcher(folder, catalog=catalog):
        with pytest.raises(WatcherError, match="another watcher uses this catalog") as caught:
            Watcher(folder, catalog=catalog).start()
        assert (caught.value.op, caught.value.path) == ("open", catalog)
        assert caught.value.__cause__ is not None
    for bad in (folder / "catalog.db", tmp_path / "text", tmp_path / "text" / "catalog.db"):
        (tmp_path / "text").write_text("this is no catalog, and never was one, whatever its name says")
        with pytest.raises(WatcherError, match="catalog") as caught:
            Watcher(folder, catalog=bad).start()
        assert caught.value.op == "open"


def test_a_catalog_that_is_taken_away_ends_the_iteration_with_an_error(folder: Path, tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.db"
    with Watcher(folder, catalog=catalog) as watcher:
        catalog.unlink()
        with pytest.raises(WatcherError, match="catalog") as caught:
            next(watcher.events(LONG))
        assert caught.value.__cause__ is not None
        assert not watcher.stats().running
        with pytest.raises(WatcherError):
            watcher.watch(tmp_path)


# -- the end -----------------------------------------------------------------------------------------


def test_a_stop_ends_every_iteration_and_is_final(folder: Path) -> None:
    watcher = Watcher(folder).start()
    with ThreadPoolExecutor(3) as pool:
        iterations = [pool.submit(list, watcher.events()) for _ in range(3)]
        (folder / "file").write_text("file")
        wait_for(lambda: watcher.stats().taken, "the event to be taken")
        stops = [threading.Thread(target=watcher.stop) for _ in range(3)]
        for each in stops:
            each.start()
        told = [event for iteration in iterations for event in iteration.result(timeout=LONG)]
        for each in stops:
            each.join()
    assert list(map(brief, told)) == ["created file"]
    watcher.stop()
    assert watcher.wait(0)
    uses: list[Callable[[], object]] = [watcher.start, watcher.events, lambda: watcher.watch(folder)]
    for use in uses:
        with pytest.raises(WatcherStopped):
            use()


def test_a_stop_ends_a_start_that_is_waiting(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "growing").write_text("x")
    watcher = Watcher(folder, existing=False, debounce="60s")
    with ThreadPoolExecutor(1) as pool:
        start = pool.submit(watcher.start)
        wait_for(lambda: watcher.stats().roots, "the start to be under way")
        watcher.stop()
        with pytest.raises(WatcherStopped):
            start.result(timeout=LONG)


def test_threads_share_the_events_and_none_of_a_file_is_under_way_twice(folder: Path) -> None:
    seen: list[str] = []
    busy: set[Path] = set()
    problems: list[str] = []

    def work(watcher: Watcher) -> None:
        for event in watcher.events(timeout=2.0):
            if event.path in busy:
                problems.append(brief(event))
            busy.add(event.path)
            pause(0.002)
            seen.append(brief(event))
            busy.discard(event.path)

    with Watcher(folder, debounce="10ms") as watcher:
        workers = [threading.Thread(target=work, args=(watcher,)) for _ in range(3)]
        for each in workers:
            each.start()
        for number in range(20):
            for name in "abc":
                (folder / name).write_text(f"{name}{number}")
            pause(0.02)
        for each in workers:
            each.join()
    assert problems == []
    assert {entry for entry in seen if entry.startswith("created")} == {f"created {name}" for name in "abc"}


def test_a_callback_gets_each_event_and_ends_with_the_watcher(folder: Path) -> None:
    (folder / "a").write_text("a")
    seen: list[str] = []
    threads = set()

    def handle(event: FileEvent) -> None:
        seen.append(brief(event))
        threads.add(threading.current_thread().name)
        if event.path.name == "a":
            (folder / "last").write_text("last")
        else:
            watcher.stop()

    with Watcher(folder, on_event=handle) as watcher:
        with pytest.raises(WatcherError, match="go to its on_event"):
            watcher.events()
        assert watcher.wait(LONG)
    assert seen == ["created a", "created last"]
    assert threads == {"fw-callback"}


def test_what_a_callback_raises_ends_the_watcher_and_comes_to_light(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a").write_text("a")
    shown: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", shown.append)

    def handle(event: FileEvent) -> None:
        raise LookupError("no place for it")

    with pytest.raises(WatcherError, match="no place for it") as caught:  # noqa: SIM117, PT012
        with Watcher(folder, on_event=handle, catalog=tmp_path / "catalog.db") as watcher:
            wait_for(lambda: shown, "the error to be shown")
            assert not watcher.stats().running
    assert (caught.value.op, caught.value.path) == ("on_event", folder / "a")
    assert isinstance(caught.value.__cause__, LookupError)
    with Watcher(folder, catalog=tmp_path / "catalog.db") as watcher:
        assert list(map(brief, take(watcher, 1))) == ["created a"]


# -- what a library must not do ----------------------------------------------------------------------


def test_the_host_keeps_its_signals_its_logging_and_its_output(
    folder: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    numbers = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
    before = [signal.getsignal(number) for number in numbers], logging.getLogger().handlers[:]
    (folder / "a").write_text("a")
    with caplog.at_level(logging.INFO, "file_watcher"), Watcher(folder) as watcher:
        take(watcher, 1)
        assert ([signal.getsignal(number) for number in numbers], logging.getLogger().handlers[:]) == before
        assert not structlog.is_configured()
        assert not psutil.Process().net_connections()
    assert capfd.readouterr() == ("", "")
    started = [record.getMessage() for record in caplog.records if "service_started" in record.getMessage()]
    assert len(started) == 1


_FORGETFUL = """
import sys
import psutil
from file_watcher import Watcher

watcher = Watcher(sys.argv[1])
for event in watcher.events():
    assert event.metadata["format"]
    print(psutil.Process().children()[0].pid)
    break
"""


def test_a_program_that_forgets_to_stop_ends_and_leaves_nothing(
    folder: Path, tmp_path: Path, encoded_tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tone.flac").write_bytes((encoded_tones / "tone.flac").read_bytes())
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    ended = program(_FORGETFUL, folder)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(temporary.iterdir()) == []
    wait_for(lambda: is_gone(int(ended.stdout)), "the child process to end")


def is_gone(pid: int) -> bool:
    """Whether the process has ended; whoever adopted it may not have noticed yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_watcher_that_nobody_refers_to_is_stopped(folder: Path) -> None:
    (folder / "a").write_text("a")
    assert brief(next(Watcher(folder).events(LONG))) == "created a"
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("fw-")], "its threads to end")
