"""One application: its commands, and what it does without one."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

import file_watcher.cli.run as running
from file_watcher.cli import app
from file_watcher.settings import Loaded, Settings
from file_watcher.version import VERSION
from tests.unit.cli.conftest import Invoke

HEAVY = {"sqlalchemy", "alembic", "pika", "watchdog", "mutagen", "prometheus_client", "psycopg"}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which `run` would have served."""
    seen: list[Settings] = []

    def serve(loaded: Loaded, _home: object, _format: str) -> int:
        seen.append(loaded.settings)
        return 0

    monkeypatch.setattr(running, "_serve", serve)
    return seen


@pytest.mark.parametrize("arguments", [["run"], []])
def test_without_a_command_it_runs(invoke: Invoke, served: list[Settings], arguments: list[str]) -> None:
    assert invoke(*arguments, "--debounce-time", "3s").exit_code == 0
    assert [settings.watch.debounce_time for settings in served] == [3.0]


def test_no_argument_at_all_runs_too(invoke: Invoke, served: list[Settings]) -> None:
    assert invoke().exit_code == 0
    assert len(served) == 1


def test_the_version_is_told(invoke: Invoke, served: list[Settings]) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.output) == (0, f"file_watcher {VERSION}\n")
    assert served == []


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check", "--help"]])
def test_help_runs_nothing(invoke: Invoke, served: list[Settings], arguments: list[str]) -> None:
    result = invoke(*arguments, COLUMNS="80")
    assert result.exit_code == 0
    assert "Usage: file_watcher" in result.output
    assert served == []


@pytest.mark.parametrize("arguments", [["nonsense"], ["--no-such-option"], ["sync", "--timeout", "soon"]])
def test_wrong_use_ends_with_2(invoke: Invoke, served: list[Settings], arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr
    assert served == []


def test_every_command_says_what_it_does() -> None:
    for info in app.registered_commands:
        assert info.callback is not None
        assert info.callback.__doc__


@pytest.mark.parametrize("words", [[], ["library"], ["library", "list"], ["consume"], ["settings", "list"]])
def test_a_switch_is_not_shown_as_if_it_took_a_value(invoke: Invoke, words: list[str]) -> None:
    told = invoke(*words, "--help").stdout
    assert "--help" in told
    assert "bool" not in told


def test_what_is_heavy_is_imported_by_the_commands_that_need_it() -> None:
    script = "import sys, file_watcher.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert not HEAVY & set(told.split())


def test_typer_shows_no_tracebacks_of_its_own() -> None:
    assert isinstance(app, typer.Typer)
    assert app.pretty_exceptions_enable is False
