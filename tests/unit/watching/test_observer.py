"""What watchdog's events become."""

from __future__ import annotations

import sys

import pytest
from watchdog.events import (
    DirCreatedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
)

from file_watcher.model import Hint, HintKind, Library
from file_watcher.watching import inotify
from file_watcher.watching.observer import LibraryWatch, hints_of


@pytest.mark.parametrize(
    ("event", "hints"),
    [
        (FileCreatedEvent(b"/a"), [Hint(b"/a", HintKind.CREATED)]),
        (FileClosedEvent(b"/a"), [Hint(b"/a", HintKind.CLOSED)]),
        (FileDeletedEvent("/\udcff"), [Hint(b"/\xff", HintKind.DELETED)]),
        (FileModifiedEvent(b"/a"), [Hint(b"/a", HintKind.CREATED)]),
        (DirCreatedEvent(b"/d"), [Hint(b"/d", HintKind.CREATED, is_folder=True)]),
        (
            FileMovedEvent(b"/a", b"/b"),
            [Hint(b"/a", HintKind.MOVED), Hint(b"/b", HintKind.MOVED, moved_from=b"/a")],
        ),
        (
            DirMovedEvent("/d", "/e"),
            [
                Hint(b"/d", HintKind.MOVED, is_folder=True),
                Hint(b"/e", HintKind.MOVED, is_folder=True, moved_from=b"/d"),
            ],
        ),
        (FileMovedEvent(b"/d/a", b"/e/a", is_synthetic=True), []),
        (DirModifiedEvent(b"/d"), []),
        (FileOpenedEvent(b"/a"), []),
        (FileClosedNoWriteEvent(b"/a"), []),
    ],
)
def test_an_event_becomes_hints_for_every_path_that_may_have_changed(
    event: FileSystemEvent, hints: list[Hint]
) -> None:
    assert list(hints_of(event)) == hints


@pytest.mark.parametrize(
    ("system", "has_inotify"), [("linux", True), ("darwin", False), ("win32", False), ("freebsd14", False)]
)
def test_inotify_is_used_where_it_is_and_else_hints_are_no_promise(
    monkeypatch: pytest.MonkeyPatch, system: str, has_inotify: bool
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    watch = LibraryWatch(Library(1, "music", "production", b"/m"), lambda hint: None, lambda trouble: None)
    assert isinstance(watch._make_engine(), inotify.InotifyEngine) is has_inotify
    assert (watch.may_miss() is None) is has_inotify
