"""A home of its own for every command that a test runs as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ports import free_port


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of the test's own for the state, with a library in it to watch."""
    (tmp_path / "library").mkdir()
    for name, value in {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "DATA_DIR": str(tmp_path / "library"),
        "WATCHER_HTTP_ADDR": f"127.0.0.1:{free_port()}",
        "RABBITMQ_PORT": str(free_port()),
        "COLUMNS": "80",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path
