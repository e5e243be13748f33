"""What `run` does before and around the service."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

import file_watcher.cli.run as running
from file_watcher.cli.places import Home
from file_watcher.errors import CatalogUnavailable
from file_watcher.model import OutboxMessage
from file_watcher.ops.log import configure
from file_watcher.settings import FileWatchSettings, Loaded, RabbitMQSettings, Settings
from tests.support.catalog import opened
from tests.unit.cli.conftest import Invoke

BODY = b'{"event_type": "created", "file_path": "/m/a.mp3", "library": {"name": "m"}}'


class Served:
    """Stands for the service: keeps what it would have been given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings: list[Settings] = []
        self.homes: list[Home] = []
        self.formats: list[str] = []
        monkeypatch.setattr(running, "_serve", self._serve)

    def _serve(self, loaded: Loaded, home: Home, log_format: str) -> int:
        self.settings.append(loaded.settings)
        self.homes.append(home)
        self.formats.append(log_format)
        return 0


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    return Served(monkeypatch)


def message(**changes: Any) -> OutboxMessage:
    values: dict[str, Any] = {
        "sequence": 1,
        "event_id": "an-id",
        "event_type": "created",
        "routing_key": "file.created",
        "library": "m",
        "path": b"/m/a\xff.mp3",
        "old_path": None,
        "body": BODY,
        "created_ns": 0,
    }
    return OutboxMessage(**(values | changes))


def no_root(_library_id: int) -> None:
    return None


def settings_of(root: Path, **values: Any) -> Settings:
    return Settings(data_dir=(root,), **values)


def test_folders_and_name_are_made_and_kept(invoke: Invoke, served: Served, tmp_path: Path) -> None:
    for _ in range(2):
        assert invoke("run", XDG_STATE_HOME=str(tmp_path / "new")).exit_code == 0
    first, second = served.homes
    assert first == second
    assert first.catalog_url == f"sqlite:///{tmp_path}/new/file_watcher/catalog.sqlite3"
    assert len(first.instance_id) == 8
    assert not (tmp_path / "new" / "file_watcher" / "catalog.sqlite3").exists()


def test_a_catalog_elsewhere_gets_its_folder(invoke: Invoke, served: Served, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/else/where/c.sqlite3"
    assert invoke("run", "--database-url", url, "--instance-id", "me", HOME="/nowhere").exit_code == 0
    assert (tmp_path / "else" / "where").is_dir()
    assert served.homes == [Home("me", url)]


def test_rows_of_the_database_are_settings_too(invoke: Invoke, served: Served, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.sqlite3"
    with opened(url) as database, database.writing() as connection:
        for key, value in (("file_watch.max_wait", "9s"), ("file_watch.debounce_time", "nonsense")):
            connection.execute(
                text("INSERT INTO settings (key, value) VALUES (:k, :v)"), {"k": key, "v": value}
            )
    result = invoke("run", "--database-url", url, LOG_FORMAT="json")
    assert result.exit_code == 0
    assert served.settings[0].watch.max_wait == 9.0
    assert served.settings[0].watch.debounce_time == 1.0
    assert result.stderr == ""  # the service tells what it refuses, then and later


def test_a_database_that_is_away_is_no_reason_not_to_start(
    invoke: Invoke, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_url: str) -> dict[str, str]:
        raise CatalogUnavailable("away")

    monkeypatch.setattr(running, "runtime_rows", away)
    result = invoke("run", "--max-wait", "9s", LOG_FORMAT="console")
    assert result.exit_code == 0
    assert served.settings[0].watch.max_wait == 9.0
    assert " warning   runtime_settings_not_read " in result.stderr, "in the format that was asked for"


def test_warnings_are_lines_for_a_person(invoke: Invoke, served: Served, tmp_path: Path) -> None:
    result = invoke("run", FILE_WATCHER_SCAN_PATH=str(tmp_path), LOG_FORMAT="console")
    assert result.exit_code == 0
    assert served.formats == ["console"]
    assert result.stderr.startswith("file_watcher: warning: FILE_WATCHER_SCAN_PATH is deprecated")


def test_on_a_terminal_a_published_event_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    roots = {2: b"/m"}
    tell = running._teller("INFO", "console", roots.get)
    tell(message(library_id=2))
    tell(message(library_id=3))
    assert [line.split()[1:] for line in out.getvalue().splitlines()] == [
        ["created", "m", "a.mp3"],
        ["created", "m", "/m/a.mp3"],
    ]


def test_elsewhere_a_published_event_is_no_line() -> None:
    stream = io.StringIO()
    configure("INFO", "json", "me", stream)
    running._teller("INFO", "json", no_root)(message())
    assert stream.getvalue() == ""


def test_at_its_finest_the_log_has_every_published_event_with_its_values() -> None:
    stream = io.StringIO()
    configure("DEBUG", "json", "me", stream)
    running._teller("DEBUG", "json", no_root)(message(old_path=b"/m/b.mp3"))
    told = json.loads(stream.getvalue())
    shown = {key: told[key] for key in ("event", "event_type", "path", "old_path", "event_id", "library")}
    assert shown == {
        "event": "event_published",
        "event_type": "created",
        "path": "/m/a\ufffd.mp3",
        "old_path": "/m/b.mp3",
        "event_id": "an-id",
        "library": "m",
    }


def test_the_introduction_says_what_is_watched_and_where_everything_goes(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=(tmp_path, tmp_path / "later"),
        rabbitmq=RabbitMQSettings(url=SecretStr("amqps://me:secret@broker/music"), exchange="mine"),
        http_addr=("::1", 8085),
    )
    lines = running.introduction(settings, "the catalog")
    assert lines == [
        f"Watching {tmp_path}, {tmp_path}/later (not there yet: it is waited for)",
        "Events go to exchange mine at broker:5671, vhost music",
        "Catalog in the catalog",
        "Health at http://[::1]:8085/healthz; Ctrl-C stops",
    ]


def test_the_introduction_tells_what_is_switched_off(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, http_addr=None, watch=FileWatchSettings(enabled=False))
    lines = running.introduction(settings, "c")
    assert lines[0] == "Watching nothing (FILE_WATCH_ENABLED=false)"
    assert lines[-1] == "No HTTP address is set; Ctrl-C stops"
