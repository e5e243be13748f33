"""`settings …`: rows are judged before they are written, and it is said where each value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.library_admin import SettingsAdmin
from file_watcher.catalog.steering import read_steering
from file_watcher.settings.variables import VARIABLES
from tests.support.catalog import opened
from tests.unit.cli.conftest import Invoke


@pytest.fixture(autouse=True)
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/catalog.sqlite3"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with opened(url) as database:
        yield database


def rows(database: Database) -> dict[str, str]:
    return dict(read_steering(database).settings)


def listed(invoke: Invoke, *arguments: str, **environment: str) -> dict[str, dict[str, Any]]:
    result = invoke("settings", "list", "--json", *arguments, **environment)
    assert result.exit_code == 0, result.output
    return {each["key"].removeprefix("file_watch."): each for each in json.loads(result.stdout)["settings"]}


def test_settings_are_written_and_it_is_said_when_they_hold(invoke: Invoke, database: Database) -> None:
    result = invoke("settings", "set", "debounce-time=2s", "file_watch.nice=5")
    assert result.stdout.splitlines() == [
        "file_watch.debounce_time = 2s: holds at once.",
        "file_watch.nice = 5: holds from the next start of a service.",
    ]
    assert rows(database) == {"file_watch.debounce_time": "2s", "file_watch.nice": "5"}
    told = json.loads(invoke("settings", "set", "nice=6", "--json", FILE_WATCH_NICE="1").stdout)
    assert told == {
        "set": [
            {
                "key": "file_watch.nice",
                "value": "6",
                "effect": "written, but here the environment holds over it",
            }
        ]
    }


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("debounce=1s", "debounce is no known setting; did you mean file_watch.debounce_time?"),
        ("scan_workers=many", "file_watch.scan_workers: 'many' cannot be used; write a whole number"),
        ("debounce_time", "'debounce_time' is no key=value"),
        ("debounce_time=", "has no value; `settings unset debounce_time` deletes a setting"),
        ("idle_timeout=1ms", "is shorter than FILE_WATCH_DEBOUNCE_TIME=1s"),
        ("debounce_tiem=1s", "debounce_tiem is no known setting; did you mean file_watch.debounce_time?"),
        ("foo=bar", "foo is no known setting; `settings list --all` shows those that there are"),
        (
            "rabbitmq_url=amqp://me:secret@host",
            "give it as --rabbitmq-url, as RABBITMQ_URL, or as rabbitmq_url in the file of settings",
        ),
        ("LOG-LEVEL=INFO", "LOG-LEVEL is no setting that the database holds; give it as --log-level"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_written(
    invoke: Invoke, database: Database, pair: str, words: str
) -> None:
    result = invoke("settings", "set", "max_wait=9s", pair)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())
    assert "secret" not in result.stderr
    assert rows(database) == {}


def test_each_setting_is_listed_with_its_layer(invoke: Invoke, database: Database, tmp_path: Path) -> None:
    admin = SettingsAdmin(database)
    admin.put("file_watch.debounce_time", "2s")
    admin.put("file_watch.nice", "5")
    file = tmp_path / "x.toml"
    file.write_text("[file_watch]\nmax_wait = '9s'\n")
    told = listed(invoke, "--config", str(file), FILE_WATCH_NICE="1")
    assert set(told) == {each.field for each in VARIABLES if each.info.toml.startswith("file_watch.")}
    of = {key: (each["value"], each["origin"], each["row"]) for key, each in told.items()}
    assert of["debounce_time"] == ("2s", "database", "2s")
    assert of["nice"] == ("1", "environment", "5")
    assert of["max_wait"] == ("9s", "file", None)
    assert of["scan_workers"] == ("4", "default", None)
    assert told["debounce_time"]["takes_effect"] == "at once"
    assert told["nice"]["takes_effect"] == "at the next start"


def test_the_table_shows_what_is_set_on_80_columns(invoke: Invoke, database: Database) -> None:
    assert invoke("settings", "list").stdout == "No setting is set; --all shows what holds.\n"
    SettingsAdmin(database).put("file_watch.debounce_time", "2s")
    SettingsAdmin(database).put("file_watch.nice", "5")
    told = invoke("settings", "list", FILE_WATCH_NICE="1").stdout
    assert max(map(len, told.splitlines())) <= 80
    lines = [line.split() for line in told.splitlines() if line.strip()]
    assert lines[0] == ["setting", "value", "from", "database", "takes", "effect"]
    assert lines[2] == ["debounce_time", "2s", "database", "2s", "at", "once"]
    assert lines[3] == ["nice", "1", "environment", "5", "at", "the", "next", "start"]
    everything = invoke("settings", "list", "--all").stdout
    assert "scan_workers" in everything
    assert max(map(len, everything.splitlines())) <= 80


def test_rows_that_cannot_be_used_are_shown_with_why(invoke: Invoke, database: Database) -> None:
    SettingsAdmin(database).put("file_watch.debounce_time", "soon")
    SettingsAdmin(database).put("file_watch.nonsense", "1")
    result = invoke("settings", "list")
    lines = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert lines[2:] == [
        ["debounce_time", "1s", "default", "soon", "at", "once"],
        ["nonsense", "–", "no", "setting", "1", "never"],
    ]
    assert "warning: file_watch.debounce_time in the database: 'soon' cannot be used" in result.stderr


def test_a_setting_is_taken_away_and_what_holds_then_is_said(invoke: Invoke, database: Database) -> None:
    SettingsAdmin(database).put("file_watch.debounce_time", "2s")
    SettingsAdmin(database).put("file_watch.nonsense", "1")
    assert invoke("settings", "unset", "debounce_time").stdout == (
        "file_watch.debounce_time is not set any more; default holds: 1s.\n"
    )
    told = json.loads(invoke("settings", "unset", "nonsense", "--json").stdout)
    assert told == {"unset": [{"key": "file_watch.nonsense", "value": None}]}
    assert rows(database) == {}
    again = invoke("settings", "unset", "debounce_time")
    assert again.exit_code == 2
    assert "file_watch.debounce_time is not set in the database" in again.stderr
