"""The log in the database: written, narrowed, read on, and pruned; on both databases."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import text

from file_watcher.catalog import journal
from file_watcher.catalog.database import Database
from file_watcher.catalog.journal import LEVELS, LinesWanted, LogLine, LogLines

DAY = 86_400.0


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


@pytest.fixture
def lines(database: Database, monkeypatch: pytest.MonkeyPatch) -> LogLines:
    monkeypatch.setattr(journal, "_PAGE", 3)
    monkeypatch.setattr(journal, "_PRUNE_CHUNK", 2)
    return LogLines(database)


def events(found: Any) -> list[str]:
    return [each.event for each in found]


def test_what_is_written_comes_back_in_order(lines: LogLines) -> None:
    fields = {"path": "/m/ü\ud800\0", "count": 3, "nested": {"a": [None, 1.5]}}
    lines.append([line(library="music", fields=fields, created_ns=5), line("second")])
    lines.append([])
    first, second = lines.newest(LinesWanted(), 10)
    assert (first.library, first.fields, first.created_ns, first.level) == ("music", fields, 5, "warning")
    assert (second.event, second.id) == ("second", lines.last())
    assert events(lines.newest(LinesWanted(), 1)) == ["second"]


def test_no_name_is_refused_by_the_database(lines: LogLines) -> None:
    lines.append([line("nul\0 and \ud800" + "x" * 500, library="a\0b")])
    (kept,) = lines.newest(LinesWanted(), 1)
    assert kept.event == ("nul\ufffd and ?" + "x" * 500)[:200]
    assert kept.library == "a\ufffdb"


def test_lines_are_narrowed_by_everything_that_is_asked(lines: LogLines) -> None:
    lines.append([line(level, level=level, created_ns=number) for number, level in enumerate(LEVELS)])
    lines.append([line("a_b", library="music", created_ns=10), line("axb", instance_id="two", created_ns=11)])
    assert events(lines.newest(LinesWanted("error"), 9)) == ["error", "critical"]
    assert events(lines.newest(LinesWanted(event="a_b"), 9)) == ["a_b"], "an underscore is itself"
    assert events(lines.newest(LinesWanted(library="music"), 9)) == ["a_b"]
    assert events(lines.newest(LinesWanted(instance_id="two"), 9)) == ["axb"]
    assert events(lines.newest(LinesWanted(since_ns=10), 9)) == ["a_b", "axb"]
    assert events(lines.after(2, LinesWanted("info"))) == ["warning", "error", "critical", "a_b", "axb"]
    assert events(lines.after(6, LinesWanted("info", since_ns=3))) == ["axb"]


def test_what_somebody_else_wrote_is_shown_too(lines: LogLines, database: Database) -> None:
    with database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO fw_log (created_ns, instance_id, level, event, fields) VALUES "
                "(1, 'x', 'info', 'e', 'no JSON'), (1, 'x', 'info', 'e', '[1]')"
            )
        )
    assert [each.fields for each in lines.newest(LinesWanted(), 9)] == [{"text": "no JSON"}, {"text": [1]}]


def test_old_lines_and_too_many_are_forgotten(lines: LogLines) -> None:
    old_ns = time.time_ns() - int(2 * DAY * 1e9)
    lines.append([line(f"old-{n}", created_ns=old_ns) for n in range(5)])
    lines.append([line(f"new-{n}") for n in range(5)])
    assert lines.prune(3 * DAY) == 0
    assert lines.prune(DAY, should_stop=lambda: True) == 0
    assert lines.prune(DAY) == 5
    assert events(lines.newest(LinesWanted(), 9)) == [f"new-{n}" for n in range(5)]
    assert lines.prune(DAY, keep=2) == 3
    assert events(lines.newest(LinesWanted(), 9)) == ["new-3", "new-4"]
    assert lines.prune(DAY, keep=0) == 2
    assert (lines.last(), lines.prune(DAY, keep=0)) == (0, 0)
