"""An operator beside a service that runs: libraries and settings by commands, its heartbeat and its log."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.journal import LinesWanted, LogLines
from file_watcher.catalog.overview import LibraryOverview, overview
from tests.support.commands import cli, started
from tests.support.waiting import wait_for


def told(*arguments: str) -> Any:
    done = cli(*arguments, "--json")
    assert done.stderr == "", done
    return json.loads(done.stdout)


class Onlooker:
    """Whoever looks into the catalog of a service that runs in another process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def library(self, name: str) -> LibraryOverview | None:
        return {each.name: each for each in overview(self._database).libraries}.get(name)

    def logged(self, event: str) -> list[str | None]:
        """The libraries that lines of that name are about."""
        wanted = LinesWanted(event=event)
        return [line.library for line in LogLines(self._database).newest(wanted, 100)]


@pytest.fixture
def onlooker(home: Path) -> Iterator[Onlooker]:
    assert cli("migrate").returncode == 0
    with closing(Database(f"sqlite:///{home}/state/file_watcher/catalog.sqlite3")) as database:
        database.open()
        yield Onlooker(database)


def test_a_service_is_steered_and_told_of_through_its_database(home: Path, onlooker: Onlooker) -> None:
    """The broker is away, which the service says in its log, and which is no reason not to be steered."""
    (home / "more").mkdir()
    (home / "more" / "a.txt").write_text("a")
    with started("run", FILE_WATCH_PATTERNS="*.txt", FILE_WATCH_DEBOUNCE_TIME="50ms") as service:
        wait_for(lambda: onlooker.logged("broker_unreachable") == [None], "the log in the database", 30)
        assert onlooker.logged("library_scanned") == []
        done = cli("settings", "set", "log_to_database=info")
        assert done.stdout == "file_watch.log_to_database = info: holds at once.\n"
        told("library", "add", str(home / "more"))
        wait_for(lambda: "more" in onlooker.logged("library_scanned"), "the lines at info", 20)
        wait_for(lambda: (each := onlooker.library("more")) is not None and each.files == 1, "its file", 20)

        (instance,) = json.loads(cli("status", "--json").stdout)["instances"]
        assert (instance["alive"], instance["pid"]) == (True, service.pid)
        refused = cli("library", "unwatch", "library")
        assert (refused.returncode, "out of DATA_DIR" in refused.stderr) == (2, True)
        told("library", "unwatch", "more")
        wait_for(lambda: state_of(onlooker.library("more")) == "unwatched", "the service to let go", 20)
        service.send_signal(signal.SIGTERM)
        assert service.wait(15) == 0
    assert onlooker.logged("service_stopped") == [None]
    assert json.loads(cli("status", "--json").stdout)["instances"] == []


def state_of(library: LibraryOverview | None) -> str | None:
    return None if library is None else library.state
