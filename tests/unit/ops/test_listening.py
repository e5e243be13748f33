"""What is heard of the log beside its stream: from which level on, without secrets, and never of oneself."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from file_watcher.ops.listening import HeardLine, Listener
from file_watcher.ops.log import configure


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("file_watcher")
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    own.handlers.clear()
    own.setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure("WARNING", "json", "me", stream)
    return stream


def told(stream: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


log: Any = structlog.get_logger("file_watcher.test")


class Ear:
    def __init__(self, level: str = "warning", **options: Any) -> None:
        self.heard: list[HeardLine] = []
        self.listener = Listener(self.heard.append, level, "deaf", **options)

    def events(self) -> list[str]:
        return [line.event for line in self.heard]


def test_a_line_is_heard_as_values_with_its_time_and_level(stream: io.StringIO) -> None:
    ear, before = Ear(), time.time_ns()
    with ear.listener:
        log.warning("root_was_away", library="music", path=b"/m/\xff", at={"a": 1})
    (heard,) = ear.heard
    assert (heard.level, heard.event) == ("warning", "root_was_away")
    assert dict(heard.fields) == {"library": "music", "path": "/m/\ufffd", "at": {"a": 1}}
    assert before - 10**6 <= heard.created_ns <= time.time_ns()
    assert told(stream) == ["root_was_away"]


def test_secrets_are_hidden_as_in_the_stream(stream: io.StringIO) -> None:
    ear = Ear()
    with ear.listener:
        log.error("refused", url="amqp://me:secret@host/", password="secret", text="password=secret")
    assert "secret" not in str(ear.heard[0].fields)
    assert ear.heard[0].fields["url"] == "amqp://me:***@host/"


def test_a_traceback_is_heard_without_local_variables(stream: io.StringIO) -> None:
    ear = Ear()
    with ear.listener:
        try:
            raise ValueError("what happened")
        except ValueError:
            log.exception("thread_died", thread="fw-x")
    (heard,) = ear.heard
    assert heard.level == "error"
    assert "ValueError: what happened" in str(heard.fields["exception"])
    assert "exc_info" not in heard.fields


def test_what_is_logged_below_the_stream_s_level_is_heard_and_does_not_reach_it(stream: io.StringIO) -> None:
    ear = Ear("info")
    with ear.listener:
        log.debug("neither")
        log.info("heard")
        ear.listener.listen_from("warning")
        log.info("not any more")
        log.warning("both")
    log.info("after the end")
    assert ear.events() == ["heard", "both"]
    assert told(stream) == ["both"]
    assert logging.getLogger("file_watcher").level == logging.WARNING


def test_warnings_are_heard_even_where_the_stream_wants_errors_alone() -> None:
    stream = io.StringIO()
    configure("ERROR", "json", "me", stream)
    ear = Ear()
    with ear.listener:
        log.warning("heard")
        logging.getLogger("a.library").warning("told, as ever")
    assert ear.events() == ["heard"]
    assert told(stream) == ["told, as ever"]


def test_a_level_that_nobody_set_stays_unset() -> None:
    ear = Ear("info")
    with ear.listener:
        assert logging.getLogger("file_watcher").level == logging.NOTSET


def test_other_libraries_lines_and_the_own_thread_s_are_not_heard(stream: io.StringIO) -> None:
    ear = Ear()
    with ear.listener:
        logging.getLogger("a.library").error("not ours")
        deaf = threading.Thread(target=lambda: log.error("of the journal itself"), name="deaf")
        deaf.start()
        deaf.join()
        logging.getLogger("file_watcher.plain").warning("%s files", 3)
    assert ear.events() == ["3 files"]


def test_nothing_is_worked_out_for_lines_without_room(stream: io.StringIO) -> None:
    ear = Ear(wants=lambda: False)
    with ear.listener:
        log.error("no room")
    assert ear.heard == []


def test_a_line_that_cannot_be_shown_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own handler raises here
    ear = Ear()
    with ear.listener:
        logging.getLogger("file_watcher.plain").warning("%d", "no number")
    assert (ear.events(), ear.heard[0].fields["error"]) == (["log_line_unreadable"], "TypeError")


def test_a_second_end_changes_nothing(stream: io.StringIO) -> None:
    ear = Ear("info")
    ear.listener.begin()
    ear.listener.end()
    logging.getLogger("file_watcher").setLevel(logging.ERROR)
    ear.listener.end()
    assert logging.getLogger("file_watcher").level == logging.ERROR
