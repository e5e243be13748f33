from __future__ import annotations

import pickle
from pathlib import Path

from file_watcher import WatcherError, WatcherStopped
from file_watcher.errors import FileWatcherError


def test_an_error_says_what_failed_where_and_why() -> None:
    error = WatcherError("watch", Path("/data"), "there is no such folder")
    assert str(error) == "watch '/data': there is no such folder"
    assert (error.op, error.path, error.reason) == ("watch", Path("/data"), "there is no such folder")
    assert str(WatcherError("events", None, "no")) == "events: no"


def test_errors_have_one_root_and_go_to_other_processes() -> None:
    error = WatcherStopped("events", Path("/data"), "it was stopped")
    assert isinstance(error, WatcherError)
    assert isinstance(error, FileWatcherError)
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), there.op) == (WatcherStopped, str(error), "events")
