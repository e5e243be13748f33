"""What the log says of a library: each fact once, and what to do about it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from file_watcher.errors import RetryableError
from file_watcher.model import Library
from file_watcher.watching.doubt import away
from file_watcher.watching.notices import LibraryNotices
from file_watcher.watching.observer import LibraryWatch
from file_watcher.watching.sight import Eyes
from file_watcher.watching.trouble import Trouble, TroubleKind
from tests.support.keeping import LibraryNotes, report

MUSIC = Library(1, "music", "production", b"/m")


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


def scans(notices: LibraryNotices, *unlisted: tuple[bytes, int]) -> None:
    notices.scanned(report(unlisted=unlisted), first=False, is_news=False)


def made() -> LibraryNotices:
    def record(work: Callable[[], None]) -> None:
        work()

    return LibraryNotices(MUSIC, LibraryNotes(), record)


def warnings(logs: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [entry for entry in logs if entry["log_level"] == "warning"]


def test_folders_that_cannot_be_listed_are_told_with_number_reason_and_mend(
    logs: list[MutableMapping[str, Any]],
) -> None:
    scans(made(), *((b"/m/%d" % number, errno.EACCES) for number in range(7)))
    (told,) = warnings(logs)
    assert (told["event"], told["count"], told["reason"]) == ("folders_not_listed", 7, "Permission denied")
    assert told["folders"] == [f"/m/{number}" for number in range(5)]
    assert "let the user that runs file_watcher read them" in told["advice"]


def test_they_are_told_again_only_when_there_are_others(logs: list[MutableMapping[str, Any]]) -> None:
    notices = made()
    for _poll in range(3):
        scans(notices, (b"/m/a", errno.EIO))
    assert len(warnings(logs)) == 1
    scans(notices, (b"/m/a", errno.EIO), (b"/m/b", errno.EACCES))
    assert warnings(logs)[1:][0]["reason"] == "Input/output error, Permission denied"
    scans(notices)
    scans(notices)
    assert [entry["event"] for entry in logs].count("folders_listed_again") == 1


@pytest.mark.parametrize(
    ("number", "level"), [(errno.EACCES, "debug"), (errno.ENOSPC, "warning"), (errno.EIO, "warning")]
)
def test_a_folder_that_cannot_be_watched_is_told_once_and_where_it_cannot_be_listed_not_at_all(
    logs: list[MutableMapping[str, Any]], number: int, level: str
) -> None:
    watch = LibraryWatch(MUSIC, lambda _hint: None, lambda _trouble: None)
    watch._trouble(Trouble(TroubleKind.UNWATCHED, "why", b"/m/a", number))
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("folder_not_watched", level)]


def test_lost_hints_are_a_trouble(logs: list[MutableMapping[str, Any]]) -> None:
    watch = LibraryWatch(MUSIC, lambda _hint: None, lambda _trouble: None)
    watch._trouble(Trouble(TroubleKind.OVERFLOW, "the queue was full"))
    assert [entry["event"] for entry in warnings(logs)] == ["watch_trouble"]


def refusal(root: Path) -> RetryableError:
    library = Library(1, "music", "production", os.fsencode(root))
    with pytest.raises(RetryableError) as caught:
        Eyes().open(library, lambda _path: True)
    return caught.value


def test_a_root_that_cannot_be_opened_is_missing_in_the_words_for_one_that_went(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for root in (tmp_path / "nowhere", tmp_path / "file" / "below"):
        assert away(MUSIC, refusal(root)).reason == "the folder is not there"
    forbidden = RetryableError("it may not be read")
    forbidden.__cause__ = PermissionError()
    assert away(MUSIC, forbidden).reason == "the folder cannot be read"
    assert away(MUSIC, RetryableError("it leads elsewhere")).reason == "it leads elsewhere"
