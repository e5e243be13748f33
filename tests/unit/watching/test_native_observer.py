"""watchdog's own observers: what is made of their events where they say less."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from watchdog.events import (
    DirDeletedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

from file_watcher.model import Hint, HintKind
from file_watcher.watching.native_observer import NativeEngine
from file_watcher.watching.observer import hints_of
from tests.support.waiting import wait_for


class Recorder(FileSystemEventHandler):
    def __init__(self) -> None:
        self.seen: list[FileSystemEvent] = []

    def dispatch(self, event: FileSystemEvent) -> None:
        self.seen.append(event)


def test_it_tells_of_changes_until_it_is_stopped_and_promises_nothing(tmp_path: Path) -> None:
    recorder = Recorder()
    engine = NativeEngine(os.fsencode(tmp_path), recorder, recursive=True)
    assert engine.dead_thread() == "observer"
    engine.start()
    try:
        (tmp_path / "a").write_text("a")
        wait_for(lambda: any(event.src_path == str(tmp_path / "a") for event in recorder.seen), "the event")
        assert engine.dead_thread() is None
        assert (engine.watch_count(), engine.unwatched(), engine.drain(1.0)) == (1, [], False)
        engine.watch_more()
    finally:
        engine.stop()
    assert engine.dead_thread() == "observer"


def test_what_reads_the_system_s_messages_is_looked_after(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    engine = NativeEngine(os.fsencode(tmp_path / "root"), Recorder(), recursive=True)
    engine.start()
    try:
        (tmp_path / "root").rmdir()
        assert wait_for(engine.dead_thread, "the end of its thread") != "observer"
    finally:
        engine.stop()


@pytest.mark.parametrize(("system", "kind"), [("win32", DirDeletedEvent), ("darwin", FileDeletedEvent)])
def test_on_windows_what_is_gone_may_have_been_a_folder(
    monkeypatch: pytest.MonkeyPatch, system: str, kind: type[FileSystemEvent]
) -> None:
    recorder = Recorder()
    monkeypatch.setattr(sys, "platform", system)
    engine = NativeEngine(b"C:/music", recorder, recursive=True)
    engine._handler.dispatch(FileDeletedEvent("C:/music\\album"))
    engine._handler.dispatch(FileCreatedEvent("C:/music\\x"))
    assert [type(event) for event in recorder.seen] == [kind, FileCreatedEvent]
    assert recorder.seen[0].src_path == "C:/music\\album"


def test_hints_have_the_spelling_of_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    moved = FileMovedEvent("C:/music\\sub\\a", "C:/music\\b")
    assert list(hints_of(moved)) == [
        Hint(b"C:/music/sub/a", HintKind.MOVED),
        Hint(b"C:/music/b", HintKind.MOVED, moved_from=b"C:/music/sub/a"),
    ]
