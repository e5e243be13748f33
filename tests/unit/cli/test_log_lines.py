"""`log`: what is shown of the log in the database, how it is narrowed, and how it is followed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.journal import LinesWanted, LogLine, LogLines
from file_watcher.cli import log_lines
from file_watcher.cli.log_lines import Following, LineForPeople, _follow
from file_watcher.errors import CatalogUnavailable
from tests.support.catalog import opened
from tests.unit.cli.conftest import Invoke

HOUR_NS = 3_600 * 10**9


@pytest.fixture(autouse=True)
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path}/catalog.sqlite3"
    monkeypatch.setenv("DATABASE_URL", url)
    return url


@pytest.fixture
def lines(url: str) -> Iterator[LogLines]:
    with opened(url) as database:
        yield LogLines(database)


def line(event: str = "root_was_away", **changes: Any) -> LogLine:
    values: dict[str, Any] = {
        "created_ns": time.time_ns(),
        "instance_id": "one",
        "level": "warning",
        "event": event,
        "library": None,
        "fields": {},
    }
    return LogLine(**(values | changes))


def told(invoke: Invoke, *arguments: object) -> list[str]:
    """What each line says, without its time."""
    result = invoke("log", *arguments)
    assert result.exit_code == 0, result.output
    return [text[15:] for text in result.stdout.splitlines()]


def test_a_line_says_who_and_what(invoke: Invoke, lines: LogLines) -> None:
    fields = {"library": "a b", "count": 3, "exception": "Traceback\n  forged: line"}
    lines.append([line(library="a b", fields=fields), line("second", level="info")])
    first, second, third, last = invoke("log").stdout.splitlines()
    assert first[15:] == 'warning  one  root_was_away  library="a b" count=3'
    assert (second, third) == ("    Traceback", "      forged: line")
    assert last[15:] == "info     one  second"


def test_nothing_in_a_line_is_obeyed_by_a_terminal() -> None:
    nasty = "a\x1b[2J\nb"
    shown = LineForPeople(color=False)(line(nasty, instance_id=nasty, level=nasty, fields={nasty: nasty}))
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert shown.count("\\x1b[2J\\n") == 5


def test_levels_are_coloured_where_that_is_wanted() -> None:
    assert "\x1b[31merror   \x1b[0m" in LineForPeople(color=True)(line(level="error"))
    assert "\x1b" not in LineForPeople(color=True)(line(level="info"))


def test_lines_are_narrowed(invoke: Invoke, lines: LogLines) -> None:
    old_ns = time.time_ns() - 3 * HOUR_NS
    lines.append(
        [
            line("old_one", created_ns=old_ns),
            line("scanned", level="info", library="music"),
            line("died", level="error", instance_id="two"),
        ]
    )
    assert told(invoke, "--level", "WARNING") == ["warning  one  old_one", "error    two  died"]
    assert told(invoke, "--event", "cann") == ["info     one  scanned"]
    assert told(invoke, "--library", "music") == ["info     one  scanned"]
    assert told(invoke, "--of", "two") == ["error    two  died"]
    assert told(invoke, "--since", "2h") == ["info     one  scanned", "error    two  died"]
    assert told(invoke, "--last", "1") == ["error    two  died"]


def test_the_newest_are_shown_unless_more_is_asked_for(invoke: Invoke, lines: LogLines) -> None:
    lines.append([line() for _ in range(30)])
    assert len(told(invoke)) == 25
    assert len(told(invoke, "--last", "0")) == len(told(invoke, "--since", "1h")) == 30


def test_a_line_of_json_holds_everything(invoke: Invoke, lines: LogLines) -> None:
    lines.append([line(library="music", fields={"path": "/m/\u202e"}, created_ns=10**18)])
    result = invoke("log", "--json")
    assert json.loads(result.stdout) == {
        "id": 1,
        "time": "2001-09-09T01:46:40Z",
        "level": "warning",
        "event": "root_was_away",
        "instance_id": "one",
        "library": "music",
        "fields": {"path": "/m/\u202e"},
    }
    assert "\u202e" not in result.stdout


@pytest.mark.usefixtures("lines")
@pytest.mark.usefixtures("lines")
def test_where_nothing_is_found_that_is_said_to_people(invoke: Invoke) -> None:
    words, document = invoke("log"), invoke("log", "--json")
    assert (words.exit_code, words.stdout) == (0, "")
    assert words.stderr.startswith("Nothing was found")
    assert (document.exit_code, document.output) == (0, "")


def test_what_cannot_be_asked_for_is_refused(invoke: Invoke) -> None:
    result = invoke("log", "--level", "loud")
    assert result.exit_code == 2
    assert "--level 'loud' is no level; there are: info, warning, error, critical" in result.stderr


def test_what_is_written_later_is_found_once_also_out_of_turn(lines: LogLines, url: str) -> None:
    lines.append([line("before"), line("shown")])
    following = Following(lines, LinesWanted())
    lines.append([line("between")])
    shown = lines.newest(LinesWanted(), 2)
    following.skip(shown)
    assert [each.event for each in shown] == ["shown", "between"]
    assert list(following.new()) == []
    lines.append([line("a"), line("late"), line("b")])
    first = following.new()
    assert [next(first).event, next(first).event] == ["a", "late"], "given up in between"
    assert [each.event for each in following.new()] == ["b"]
    assert list(following.new()) == []


class Away:
    """Lines of a database that is away for a while."""

    def __init__(self) -> None:
        self._tries = 0

    def last(self) -> int:
        return 0

    def after(self, number: int, wanted: LinesWanted) -> Iterator[LogLine]:
        self._tries += 1
        if self._tries < 3:
            raise CatalogUnavailable("The catalog is away.")
        if self._tries == 3:
            yield line("back", id=1)
            return
        os.kill(os.getpid(), signal.SIGINT)


def test_a_database_that_is_away_is_waited_for_and_that_is_said_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "_LOOK_SECONDS", 0.01)
    _follow(Following(Away(), LinesWanted()), lambda each: each.event)  # type: ignore[arg-type]
    heard = capsys.readouterr()
    assert heard.out == "back\n"
    assert heard.err.count("is away") == 1


def test_following_begins_with_the_newest(
    invoke: Invoke, lines: LogLines, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[str] = []

    def follow(following: Following, _show: object) -> None:
        lines.append([line("second")])
        followed.extend(each.event for each in following.new())

    monkeypatch.setattr(log_lines, "_follow", follow)
    lines.append([line("first")])
    assert told(invoke, "--follow") == ["warning  one  first"]
    assert followed == ["second"]
