"""What is said when the kernel refuses a watch."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from file_watcher.watching.limits import InotifyLimits, explain_watch_error

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
