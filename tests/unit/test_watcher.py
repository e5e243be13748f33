"""What can be said of a `Watcher` without a folder: tests/e2e/test_python_api.py has the rest."""

from __future__ import annotations

import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import file_watcher
from file_watcher import Watcher, WatcherError

ROOT = Path(__file__).parents[2]


def test_everything_public_is_there_and_documented() -> None:
    for name in file_watcher.__all__:
        assert name in dir(file_watcher)
        assert inspect.getdoc(getattr(file_watcher, name)), name
    with pytest.raises(AttributeError, match="no attribute 'Wacther'"):
        _ = file_watcher.Wacther


def test_help_says_what_each_method_does() -> None:
    text = pydoc.plain(pydoc.render_doc(Watcher))
    for name in ("start", "watch", "events", "wait", "stats", "stop"):
        assert inspect.getdoc(getattr(Watcher, name)), name
        assert f"{name}(self" in text
    for parameter in inspect.signature(Watcher.__init__).parameters:
        assert parameter == "self" or f"{parameter}:" in text or f"{parameter}, " in text, parameter


def test_the_types_are_shipped() -> None:
    assert (Path(file_watcher.__file__).parent / "py.typed").is_file()


def test_the_package_alone_imports_nothing_heavy() -> None:
    program = "import sys, file_watcher; print(sorted({'sqlalchemy', 'pika', 'watchdog', 'structlog'} & set(sys.modules)))"
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"


def test_to_describe_a_watcher_touches_nothing(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path / "missing", catalog=tmp_path / "catalog" / "catalog.db")
    assert not watcher.stats().running
    assert list(tmp_path.iterdir()) == []
    watcher.stop()
    watcher.stop()


def test_a_start_that_failed_can_be_tried_again(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path / "data")
    with pytest.raises(WatcherError, match="no such folder"):
        watcher.start()
    (tmp_path / "data").mkdir()
    with watcher:
        assert watcher.stats().running


def test_a_watcher_without_folders_waits_for_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    with Watcher() as watcher:
        assert next(watcher.events(0), None) is None
        watcher.watch(tmp_path)
        event = next(watcher.events(30), None)
        assert event is not None
        assert event.path == tmp_path / "file"
