"""`library …`: what the commands write and show, and what they refuse. On SQLite; servers are tested elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.libraries import Libraries, LibraryState, mark_unwatched
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.requests import Instances
from file_watcher.catalog.steering import LibraryRow, read_steering
from file_watcher.cli import library_removing as commands
from file_watcher.cli.library_choice import completed
from tests.support.catalog import message, opened
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/state/catalog.sqlite3"
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("COLUMNS", "80")
    return url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with opened(url) as database:
        yield database


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


class Operator:
    """Whoever types commands."""

    def __init__(self, invoke: Invoke, database: Database) -> None:
        self._invoke = invoke
        self._database = database

    def __call__(self, *arguments: object) -> str:
        """What a command that succeeded printed."""
        result = self._invoke("library", *arguments)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    def refused(self, *arguments: object, code: int = 2) -> str:
        """What a command complained of."""
        result = self._invoke("library", *arguments)
        assert (result.exit_code, result.stdout) == (code, "")
        assert "Traceback" not in result.stderr
        return str(result.stderr)

    def row(self, number: int = 1) -> LibraryRow:
        return next(row for row in read_steering(self._database).libraries if row.id == number)


@pytest.fixture
def operator(invoke: Invoke, database: Database) -> Operator:
    return Operator(invoke, database)


# add


def test_a_folder_is_added_under_its_name_and_watched(operator: Operator, music: Path) -> None:
    assert operator("add", music) == "Library music (#1) is added and watched.\n"
    row = operator.row()
    assert (row.name, row.path, row.type, row.is_watched, dict(row.rules)) == (
        *("music", str(music), "production"),
        True,
        {},
    )


def test_name_type_and_rules_are_given_and_it_may_wait(operator: Operator, music: Path) -> None:
    options = (
        "--name",
        "In",
        "--type",
        "staging",
        "--set",
        "debounce-time=5s",
        "--set",
        "patterns=*.mp3,*.ogg",
    )
    told = json.loads(operator("add", music, *options, "--unwatched", "--json"))
    assert told["library"] == {"id": 1, "name": "In"}
    row = operator.row()
    assert (row.name, row.type, row.is_watched) == ("In", "staging", False)
    assert dict(row.rules) == {"debounce_time": "5s", "patterns": "*.mp3,*.ogg"}


def test_a_relative_path_and_a_link_become_the_real_folder(
    operator: Operator, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(music)
    monkeypatch.chdir(tmp_path)
    operator("add", "link")
    assert operator.row().path == str(music)


def test_a_missing_folder_is_added_with_a_warning(invoke: Invoke, database: Database, tmp_path: Path) -> None:
    result = invoke("library", "add", tmp_path / "later")
    assert result.exit_code == 0
    assert "later is not there yet: it is waited for" in result.stderr


def test_folders_of_one_name_are_numbered(operator: Operator, tmp_path: Path) -> None:
    for parent in ("a", "b", "c"):
        operator("add", tmp_path / parent / "music")
    assert [operator.row(number).name for number in (1, 2, 3)] == ["music", "music-2", "music-3"]


def test_a_name_of_bytes_that_are_no_text_is_kept_apart(operator: Operator, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    operator("add", os.fsdecode(folder))
    assert operator.row().path == f"{tmp_path}/\\xff"
    assert "watched already" in operator("watch", "1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--set", "debounce_time"), "'debounce_time' is no key=value"),
        (("--set", "debounce_time=soon"), "debounce_time: 'soon' cannot be used; write a duration"),
        (("--set", "debounce=1s"), "debounce is no known rule; did you mean debounce_time?"),
        (("--set", "scan_workers=1"), "holds for the whole process, not for one library"),
        (("--name", " "), "is no name: write 1 to 255 printable characters"),
        (("--name", "a\nb"), "is no name"),
    ],
)
def test_what_no_library_can_have_is_refused_and_nothing_is_written(
    operator: Operator, database: Database, music: Path, options: tuple[str, str], words: str
) -> None:
    assert words in operator.refused("add", music, *options)
    assert read_steering(database).libraries == ()


def test_all_that_is_wrong_with_rules_is_told_at_once(operator: Operator, music: Path) -> None:
    told = operator.refused("add", music, "--set", "nonsense=1", "--set", "max_wait=soon")
    assert len(told.splitlines()) == 2


def test_a_folder_is_no_library_twice_and_none_lies_in_another(operator: Operator, music: Path) -> None:
    operator("add", music)
    assert "is library 'music' (#1) already" in operator.refused("add", music)
    inside = operator.refused("add", music / "sub")
    assert (
        f"{music}/sub and {music}, which is watched as library 'music' (#1), lie one in the other" in inside
    )
    assert "lie one in the other" in operator.refused("add", music.parent)
    for neighbour in (f"{music}2", f"{music}%"):  # no prefixes of one another
        operator("add", neighbour)
    operator("add", music / "sub", "--unwatched")
    assert "lie one in the other" in operator.refused("watch", "sub")


def test_a_name_that_is_taken_is_refused(operator: Operator, music: Path) -> None:
    operator("add", music)
    assert "is what library #1 is called already" in operator.refused("add", f"{music}2", "--name", "music")


def test_what_is_no_folder_is_refused(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not a folder" in operator.refused("add", tmp_path / "file")
    assert "is no path" in operator.refused("add", "")


def test_the_catalog_and_places_that_are_not_allowed_are_refused(
    operator: Operator, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "holds the catalog" in operator.refused("add", tmp_path / "state")
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "musical"))
    monkeypatch.setenv("FILE_WATCH_ALLOWED_ROOTS", str(tmp_path / "mus"))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "mus" / "x"))
    assert f"lies outside of file_watch.allowed_roots ({tmp_path}/mus)" in operator.refused("add", music)
    operator("add", tmp_path / "mus")


# watch, unwatch, rules


def test_a_library_is_unwatched_and_watched_again(operator: Operator, music: Path) -> None:
    operator("add", music)
    assert operator("unwatch", "music") == "Library music (#1) is not watched any more.\n"
    assert not operator.row().is_watched
    assert operator("unwatch", "music") == "Library music (#1) was not watched.\n"
    assert operator("watch", "#1") == "Library music (#1) is watched.\n"
    assert operator.row().is_watched


def test_what_the_environment_names_is_unwatched_there(
    operator: Operator, database: Database, music: Path
) -> None:
    operator("add", music)
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO fw_library_origins VALUES (1, 'one', 0)")
    for command in (("unwatch", "1"), ("remove", "1", "--yes")):
        assert "comes from the environment, options or file of one: take " in operator.refused(*command)
    assert operator.row().is_watched
    assert "From      the environment, options or file of one" in operator("show", "1")


def test_rules_are_set_and_taken_away(operator: Operator, music: Path) -> None:
    operator("add", music, "--set", "max_wait=9s")
    assert "has 3 rules of its own now" in operator(
        "set", "1", "debounce_time=5s", "file_watch.patterns=*.txt"
    )
    assert "has 2 rules" in operator("set", "1", "max_wait=")
    assert "has 1 rule of" in operator("unset", "1", "patterns")
    assert dict(operator.row().rules) == {"debounce_time": "5s"}
    assert "has no rule 'patterns'; it has: debounce_time" in operator.refused("unset", "1", "patterns")
    assert "cannot be used" in operator.refused("set", "1", "debounce_time=never", "max_wait=1s")
    assert dict(operator.row().rules) == {"debounce_time": "5s"}


def test_a_row_without_an_absolute_path_is_not_watched(operator: Operator, database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO libraries (name, path, type) VALUES ('x', 'rel/a', 't')")
    assert "which is not absolute; mend its row" in operator.refused("watch", "x")


# remove


def test_a_library_is_removed_once_it_is_unwatched(
    operator: Operator, database: Database, music: Path
) -> None:
    operator("add", music)
    assert "is watched: `library unwatch` it first, or say --yes" in operator.refused("remove", "music")
    assert operator.row().is_watched
    operator("unwatch", "music")
    assert operator("remove", "music") == "Library music (#1) is forgotten, with 0 files and 0 events.\n"
    assert read_steering(database).libraries == ()
    assert music.is_dir()


def test_a_library_is_not_removed_before_all_is_sent(
    operator: Operator, database: Database, music: Path
) -> None:
    operator("add", music)
    Outbox(database, [1]).record([message()])
    told = operator.refused("remove", "1", "--yes", code=1)
    assert "is unwatched, but not removed yet: one message about it must still be sent" in told
    assert not operator.row().is_watched
    Outbox(database, [1]).mark_published([1])
    assert "with 0 files and 1 event." in operator("remove", "1")


def test_a_library_is_not_removed_while_a_service_works_on_it(
    operator: Operator, database: Database, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_LET_GO_SECONDS", 0.0)
    operator("add", music)
    Libraries(database).save_library_state(LibraryState(1))
    assert database.path is not None
    lock = OwnerLock(database.path)
    lock.acquire()
    try:
        Instances(database, "1").beat("one", {})
        assert "the service that runs still works on it" in operator.refused("remove", "1", "--yes", code=1)
        with database.writing() as connection:
            assert mark_unwatched(connection, 1)
        assert "is forgotten" in operator("remove", "1")
    finally:
        lock.release()


# list, show, choose


def test_all_libraries_are_listed_on_80_columns(operator: Operator, database: Database, music: Path) -> None:
    assert "There is no library yet" in operator("list")
    operator("add", music, "--set", "max_wait=9s")
    operator("add", f"{music}2", "--type", "staging", "--unwatched")
    Libraries(database).save_library_state(LibraryState(1, state="suspended", reason="it is gone"))
    with database.writing() as connection:  # by somebody else
        connection.exec_driver_sql("UPDATE libraries SET name = 'a' || char(27) || '[2J' WHERE id = 1")
    told = operator("list")
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 80
    lines = [line.split() for line in told.splitlines() if line.strip()]
    assert lines[0] == ["#", "library", "type", "state", "rules", "folder"]
    assert "suspended" in told
    listed = json.loads(operator("list", "--json"))["libraries"]
    assert [(each["id"], each["is_watched"], each["rules"]) for each in listed] == [
        (1, True, {"max_wait": "9s"}),
        (2, False, {}),
    ]


def test_one_library_is_shown_with_its_rules(operator: Operator, database: Database, music: Path) -> None:
    operator("add", music, "--set", "max_wait=9s")
    Libraries(database).save_library_state(LibraryState(1, first_scan_done=True))
    lines = operator("show", "music").splitlines()
    assert lines == [
        "Library   music (#1)",
        f"Folder    {music}",
        "Type      production",
        "State     watched",
        "From      the table libraries",
        "Holds     0 files, 0 B",
        "Rules",
        "  max_wait = 9s",
    ]
    assert json.loads(operator("show", "1", "--json"))["state"] == "active"
    Libraries(database).save_library_state(LibraryState(1))
    assert "watched, not scanned yet" in operator("show", "1")
    operator("unset", "1", "max_wait")
    assert "none of its own" in operator("show", "1")


def test_a_name_that_several_have_is_refused_with_their_numbers(operator: Operator, tmp_path: Path) -> None:
    for name in ("2", "b"):
        operator("add", tmp_path / name)
    assert "say which by its number: #1, #2" in operator.refused("show", "2")
    assert "Library   2 (#1)" in operator("show", "#1")
    assert "has no library 'nope'; it has: 2, b" in operator.refused("show", "nope")


def test_a_catalog_that_does_not_stand_is_not_made(invoke: Invoke, url: str, tmp_path: Path) -> None:
    result = invoke("library", "list")
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("database")
def test_a_shell_completes_names(operator: Operator, music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operator("add", music)
    assert completed("mu") == ["music"]
    assert completed("x") == []
    for wrong in ("sqlite:////nowhere/at/all.db", "nonsense"):
        monkeypatch.setenv("DATABASE_URL", wrong)
        assert completed("") == []


@pytest.mark.parametrize("command", ["library", "settings"])
def test_without_a_word_the_commands_are_listed(invoke: Invoke, command: str) -> None:
    result: Any = invoke(command)
    assert result.exit_code == 2
    assert "Usage: " in result.output
