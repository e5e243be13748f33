"""What is said when the kernel refuses a watch."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from file_watcher.watching.limits import NO_ROOM, InotifyLimits, WatchBudget, explain_watch_error

LIMITS = InotifyLimits(max_user_watches=8192, max_user_instances=128, max_queued_events=16384)


def test_the_limits_are_read_where_the_kernel_tells_them(tmp_path: Path) -> None:
    (tmp_path / "max_user_watches").write_text("8192\n")
    (tmp_path / "max_user_instances").write_text("many\n")
    assert InotifyLimits.read(tmp_path) == InotifyLimits(8192, None, None)


@pytest.mark.parametrize(
    ("number", "command"),
    [
        (errno.ENOSPC, "sysctl -w fs.inotify.max_user_watches=16384"),
        (errno.EMFILE, "sysctl -w fs.inotify.max_user_instances=256"),
        (errno.EACCES, "let the user that runs file_watcher read the folder"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_each_refusal_names_its_mend(number: int, command: str) -> None:
    assert command in explain_watch_error(OSError(number, os.strerror(number)), b"/music", LIMITS)


def test_a_limit_that_is_not_known_is_named_all_the_same() -> None:
    text = explain_watch_error(OSError(errno.ENOSPC, "full"), b"/music", InotifyLimits(None, None, None))
    assert "fs.inotify.max_user_watches" in text


def test_a_budget_counts_what_all_hold_and_refuses_one_more() -> None:
    held = [3, 4]
    first, second = (lambda: held[0]), (lambda: held[1])
    budget = WatchBudget(8)
    budget.join(first)
    budget.join(second)
    budget.require_one(b"/music")
    held[1] = 5
    with pytest.raises(OSError, match="quota") as refused:
        budget.require_one(b"/music")
    assert refused.value.errno in NO_ROOM
    assert "FILE_WATCH_MAX_WATCHES allows no watch for /music" in explain_watch_error(
        refused.value, b"/music"
    )
    budget.leave(first)
    budget.require_one(b"/music")


def test_without_a_limit_the_kernel_alone_refuses() -> None:
    budget = WatchBudget()
    budget.join(lambda: 10**9)
    budget.require_one(b"/music")
