"""`events`: what is shown, how it is narrowed, and what is no such thing. Following is tested beside a service, too."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_watcher.catalog.database import Database
from file_watcher.catalog.history import History, Told, Wanted
from file_watcher.catalog.libraries import Libraries, LibraryState
from file_watcher.catalog.outbox import Outbox
from file_watcher.cli.event_lines import EventTable, as_json_line
from file_watcher.cli.events import Following, _follow
from file_watcher.errors import CatalogUnavailable
from file_watcher.ops.terminal import display_width
from tests.support.catalog import ROOT, message, opened, record
from tests.support.messages import recorded
from tests.unit.cli.conftest import Invoke

BODY = recorded(1).body
HOUR_NS = 3_600 * 10**9


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/catalog.sqlite3"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with opened(url) as database:
        rows = Libraries(database)
        rows.save_library_state(LibraryState(rows.ensure_library(ROOT).id))
        yield database


@pytest.fixture
def outbox(database: Database) -> Outbox:
    """Three events and a notice: one confirmed, one that no queue wanted, two that wait."""
    outbox = Outbox(database, [1])
    old = record("old/a.mp3")
    outbox.record(
        [
            message(record("sub/a.mp3"), body=BODY),
            message(old, "moved", path=ROOT + b"/new/b.mp3", old_path=old.path),
            message(record("sub/\n\x1b[31m\xff.mp3".encode("latin-1")), "deleted"),
            message(event_type="library.scanned"),
        ]
    )
    outbox.mark_published([1])
    outbox.mark_unrouted([2])
    return outbox


def lines(invoke: Invoke, url: str, *arguments: object) -> list[list[str]]:
    """The words of each line, the time left out."""
    result = invoke("events", *arguments, "--database-url", url)
    assert result.exit_code == 0, result.output
    return [line.split()[1:] for line in result.stdout.splitlines()]


def types(invoke: Invoke, url: str, *arguments: object) -> list[str]:
    return [words[1] for words in lines(invoke, url, *arguments)[1:]]


@pytest.mark.usefixtures("database")
def test_where_nothing_is_found_that_is_said_to_people(invoke: Invoke, url: str) -> None:
    words = invoke("events", "--database-url", url)
    document = invoke("events", "--json", "--database-url", url)
    assert (words.exit_code, len(words.stdout.splitlines())) == (0, 1), "the heading"
    assert words.stderr.startswith("No event was found")
    assert (document.exit_code, document.output) == (0, "")


@pytest.mark.usefixtures("outbox")
def test_each_event_is_a_line_that_says_what_became_of_it(invoke: Invoke, url: str) -> None:
    assert lines(invoke, url) == [
        ["STATE", "EVENT", "LIBRARY", "PATH"],
        ["sent", "created", "music", "sub/a.mp3"],
        ["unrouted", "moved", "music", "old/a.mp3", "→", "new/b.mp3"],
        ["waiting", "deleted", "music", r"sub/\n\x1b[31m�.mp3"],
        ["waiting", "library.scanned", "music", "/data/music"],
    ]


@pytest.mark.usefixtures("outbox")
def test_what_is_asked_for_narrows(invoke: Invoke, url: str) -> None:
    assert types(invoke, url, "--type", "created,deleted", "--type", "file.moved") == [
        "created",
        "moved",
        "deleted",
    ]
    assert types(invoke, url, "--path", "/data/music/sub") == ["created", "deleted"]
    assert types(invoke, url, "--path", "/data/music/old") == ["moved"]
    assert types(invoke, url, "--state", "waiting") == ["deleted", "library.scanned"]
    assert types(invoke, url, "--library", "music", "--last", "2") == ["deleted", "library.scanned"]


def test_a_time_narrows_and_shows_all_since(invoke: Invoke, url: str, database: Database) -> None:
    now = message().created_ns
    ages = [3 * HOUR_NS, *(HOUR_NS,) * 30]
    Outbox(database, [1]).record([message(record("a"), created_ns=now - age) for age in ages])
    assert len(types(invoke, url)) == 25
    assert len(types(invoke, url, "--since", "2h")) == 30
    assert len(types(invoke, url, "--since", "2h", "-n", "3")) == 3
    assert len(types(invoke, url, "--last", "0")) == 31


@pytest.mark.usefixtures("outbox")
def test_text_of_a_path_narrows(invoke: Invoke, url: str) -> None:
    assert types(invoke, url, "--text", "/a.mp3") == ["created", "moved"]
    assert types(invoke, url, "--text", "b.mp", "--library", "1") == ["moved"]
    assert types(invoke, url, "--text", "_.mp3") == []


@pytest.mark.usefixtures("outbox")
def test_a_line_of_json_holds_the_whole_message(invoke: Invoke, url: str) -> None:
    result = invoke("events", "--json", "--database-url", url)
    documents = [json.loads(line) for line in result.stdout.splitlines()]
    assert [document["state"] for document in documents] == ["sent", "unrouted", "waiting", "waiting"]
    assert documents[0]["message"] == json.loads(BODY)
    assert documents[0]["confirmed"] is not None
    assert (documents[1]["path"], documents[1]["old_path"]) == (
        "/data/music/new/b.mp3",
        "/data/music/old/a.mp3",
    )
    assert documents[2]["path_base64"] == "L2RhdGEvbXVzaWMvc3ViLwobWzMxbf8ubXAz"
    assert documents[3]["routing_key"] == "library.scanned"
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--type", "cretaed"), "--type 'cretaed' is no type of event; there are: created, modified"),
        (("--state", "gone"), "--state 'gone' is no state of an event; there are: sent, waiting, unrouted"),
        (("--since", "soon"), "neither a time nor a duration"),
        (("--path", ""), "is no path"),
        (("--library", "nope"), "has no library 'nope'; it has: music"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    invoke: Invoke, url: str, database: Database, arguments: tuple[str, str], words: str
) -> None:
    result = invoke("events", *arguments, "--database-url", url)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert words in result.stderr


@pytest.mark.parametrize("command", ["events", "duplicates", "verify"])
def test_a_catalog_that_cannot_be_read_is_told_with_the_mend(
    invoke: Invoke, url: str, tmp_path: Path, command: str
) -> None:
    missing = invoke(command, "--database-url", url)
    assert missing.exit_code == 2
    assert "no service has run with it yet; start it with: python -m file_watcher run" in missing.stderr
    assert list(tmp_path.iterdir()) == []
    with opened(url):
        pass
    for revision, words in (("9999", "Install that version again"), ("0001", "of an older file_watcher")):
        database = Database(url)
        database.open()
        with database.writing() as connection:
            connection.exec_driver_sql("UPDATE fw_alembic_version SET version_num = ?", (revision,))
        database.close()
        result = invoke(command, "--database-url", url)
        assert result.exit_code == 2
        assert words in result.stderr


# following


def following(database: Database) -> Following:
    return Following(History(database, Wanted(), with_bodies=False), 0)


def shown(found: list[Told]) -> list[tuple[int, str]]:
    return [(told.sequence, told.state) for told in found]


def test_what_waits_is_held_back_for_one_look(database: Database) -> None:
    outbox, follow = Outbox(database, [1]), following(database)
    outbox.record([message(record("a")), message(record("b"))])
    assert follow.new() == []
    outbox.mark_published([1])
    assert shown(follow.new()) == [(1, "sent"), (2, "waiting")]
    assert follow.new() == []
    outbox.mark_published([2])  # shown already: each event is shown but once
    assert follow.new() == []


def test_nothing_overtakes_what_is_held_back(database: Database) -> None:
    outbox, follow = Outbox(database, [1]), following(database)
    outbox.record([message(record("a")), message(record("b"))])
    outbox.mark_published([2])
    assert follow.new() == []
    outbox.record([message(record("c"))])
    assert shown(follow.new()) == [(1, "waiting"), (2, "sent")]
    assert shown(follow.new()) == [(3, "waiting")]


def test_what_others_recorded_is_passed_over_while_following(database: Database) -> None:
    outbox = Outbox(database, [1])
    follow = Following(History(database, Wanted(event_types=("deleted",)), with_bodies=False), 0)
    outbox.record([message(record("a")), message(record("b"), "deleted")])
    outbox.mark_published([2])
    assert shown(follow.new()) == [(2, "sent")]


def test_a_flood_is_shown_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("file_watcher.cli.events._MOST_AT_ONCE", 2)
    outbox, follow = Outbox(database, [1]), following(database)
    outbox.record([message(record(name)) for name in "abcde"])
    outbox.mark_published([1, 2, 3, 4, 5])
    assert [len(follow.new()) for _ in range(4)] == [2, 2, 1, 0]


# lines


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def told(path: bytes, event_type: str = "created", **changes: object) -> Told:
    values: dict[str, object] = {
        "sequence": 1,
        "event_id": "0191",
        "event_type": event_type,
        "routing_key": f"file.{event_type}",
        "library": "music",
        "root": "/data/music",
        "path": path,
        "old_path": None,
        "created_ns": 10**18,
        "published_ns": 10**18,
        "is_unrouted": False,
        "queue": None,
        "snapshot": None,
        "body": None,
    }
    return Told(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> EventTable:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return EventTable(Terminal())


@pytest.mark.parametrize(
    "event",
    [
        told(b"/data/music/" + b"x" * 300),
        told(b"/data/music/" + "漢".encode() * 60, library="a library with a very long name"),
        told(b"/data/music/new/" + b"n" * 99, "moved", old_path=b"/data/music/old/" + b"o" * 99),
        told(b"/data/music/d/" + b"n" * 99, "renamed", old_path=b"/data/music/d/o"),
        told(b"/data/music", "library.suspended", library="a long name indeed"),
        told(b"/elsewhere/" + b"y" * 99, snapshot="0191"),
    ],
)
def test_a_line_fits_into_80_columns(table: EventTable, event: Told) -> None:
    assert display_width(table.line(event)) <= 80


def test_a_line_shows_the_path_below_its_library(table: EventTable) -> None:
    assert table.line(told(b"/data/music/A/b.mp3")).endswith("  sent      created   music       A/b.mp3")
    assert table.line(told(b"/elsewhere/b.mp3", root=None)).endswith("  /elsewhere/b.mp3")
    assert table.line(told(b"/data/music/a.mp3", snapshot="0191")).endswith("a.mp3  (snapshot)")
    renamed = told(b"/data/music/A/new", "renamed", old_path=b"/data/music/A/old")
    assert table.line(renamed).endswith("  A/old → new")


def test_what_was_not_sent_is_coloured_unless_that_is_not_wanted(
    table: EventTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = told(b"/data/music/a", published_ns=None)
    assert "\x1b[33mwaiting \x1b[0m" in table.line(waiting)
    assert "\x1b" not in table.line(told(b"/data/music/a"))
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in EventTable(Terminal()).line(waiting)


def test_a_body_that_is_no_json_costs_only_itself() -> None:
    assert json.loads(as_json_line(told(b"/a", body=b"[")))["message"] is None


def test_a_database_that_is_away_is_told_once_and_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Looks twice in vain, then finds what was recorded meanwhile; the second message ends it."""
    outbox, looks = Outbox(database, [1]), 0
    history = History(database, Wanted(), with_bodies=False)
    last = history.last

    def away_twice() -> int:
        nonlocal looks
        looks += 1
        if looks <= 2:
            raise CatalogUnavailable("The catalog is away.")
        return last()

    def shown_then_stopped(told: Told) -> str:
        if told.sequence == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return f"shown {told.sequence}"

    monkeypatch.setattr("file_watcher.cli.events._LOOK_SECONDS", 0.01)
    monkeypatch.setattr(history, "last", away_twice)
    outbox.record([message(record("a")), message(record("b"))])
    _follow(history, 0, shown_then_stopped)
    told = capsys.readouterr()
    assert told.out == "shown 1\nshown 2\n"
    assert told.err.count("The catalog is away. It is tried again until it answers; Ctrl-C stops.") == 1
