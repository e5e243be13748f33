"""The log's two formats, what passes through them, and what happens when nobody can read them."""

from __future__ import annotations

import datetime as dt
import fcntl
import io
import json
import logging
import os
import pty
import re
import struct
import termios
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.errors import UsageError
from file_watcher.ops.log import LogFormat, configure, wants_color

any_text = st.text(st.characters(exclude_categories=()), max_size=60)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Breakable(io.StringIO):
    broken = False

    def write(self, text: str) -> int:
        if self.broken:
            raise BrokenPipeError
        return super().write(text)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Undo what configure did to the process-wide logging."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("file_watcher").setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)


def logger(name: str = "file_watcher.test") -> Any:
    return structlog.get_logger(name)


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def json_log(level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    assert configure(level, "json", "abc12345", stream) == "json"
    return stream


def console_log(level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    assert configure(level, "console", "abc12345", stream) == "console"
    return stream


def test_a_json_line_says_when_how_grave_what_who_and_where_first() -> None:
    stream = json_log()
    logger().info("file_hashed", path=b"/music/a.mp3", size=3)
    [line] = logged(stream)
    assert list(line) == ["timestamp", "level", "event", "instance_id", "logger", "path", "size"]
    moment = line.pop("timestamp")
    assert moment.endswith("Z")
    assert abs(dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(moment)) < dt.timedelta(minutes=1)
    assert line == {
        "level": "info",
        "event": "file_hashed",
        "instance_id": "abc12345",
        "logger": "file_watcher.test",
        "path": "/music/a.mp3",
        "size": 3,
    }


@given(any_text)
def test_no_name_forges_a_json_line(name: str) -> None:
    stream = json_log()
    logger().info("file_seen", path=name)
    assert len(stream.getvalue().splitlines()) == 1
    assert logged(stream)[0]["path"] == name


@pytest.mark.parametrize("character", ["\x1b", "\x9b", "\x85", "\u202e", "\u2066", "\u200f", "\u2028"])
@pytest.mark.parametrize("configured", [json_log, console_log])
def test_no_character_that_drives_or_deceives_a_terminal_is_written(configured: Any, character: str) -> None:
    stream = configured()
    logger().info("file_seen", path=f"a{character}b".encode())
    assert character not in stream.getvalue()
    assert f"{ord(character):02x}" in stream.getvalue()


@given(any_text)
def test_no_name_forges_a_console_line(name: str) -> None:
    stream = console_log()
    logger().info("file_seen", path=name)
    assert len(stream.getvalue().splitlines()) == 1


def test_no_value_can_pass_for_another_key_on_the_console() -> None:
    stream = console_log()
    logger().info("file_seen", path="a level=error", quoted='x"y', empty="", size=3)
    assert (
        stream.getvalue().rstrip().endswith(r'file_seen  path="a level=error" quoted="x\"y" empty="" size=3')
    )


def test_a_console_line_begins_with_time_and_level() -> None:
    stream = console_log()
    logger().warning("broker_unreachable", host="localhost", port=5672)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d warning   broker_unreachable  host=localhost port=5672\n", stream.getvalue()
    )


def test_an_exception_is_structured_in_json_and_holds_no_local_variables() -> None:
    stream = json_log()
    word = "hunter2"
    try:
        raise ValueError(f"cannot open amqp://guest:{word}@localhost\nforged line")
    except ValueError:
        logger().exception("broker_failed")
    [line] = logged(stream)
    [exception] = line["exception"]
    assert exception["exc_type"] == "ValueError"
    assert exception["exc_value"] == "cannot open amqp://guest:***@localhost\nforged line"
    assert "hunter2" not in stream.getvalue()


def test_a_traceback_on_the_console_is_indented_so_that_it_forges_nothing() -> None:
    stream = console_log()
    try:
        raise ValueError("first\n12:00:00 error     forged\x1b[2J amqp://guest:hunter2@localhost")
    except ValueError:
        logger().exception("broker_failed")
    first, *others = stream.getvalue().rstrip("\n").split("\n")
    assert first.endswith("broker_failed")
    assert others[-1] == r"    12:00:00 error     forged\x1b[2J amqp://guest:***@localhost"
    assert len(others) >= 4
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_are_not_written(log_format: LogFormat) -> None:
    stream = io.StringIO()
    configure("INFO", log_format, "abc", stream)
    logger().info(
        "connecting", url="amqp://guest:hunter2@localhost", password="hunter2", options={"token": "hunter2"}
    )
    assert "hunter2" not in stream.getvalue()
    assert "guest" in stream.getvalue()


def test_our_own_lines_follow_the_level() -> None:
    stream = json_log("warning")
    logger().info("quiet")
    logger().warning("loud")
    assert [line["event"] for line in logged(stream)] == ["loud"]


def test_libraries_take_the_same_way_from_warning() -> None:
    stream = json_log("DEBUG")
    logging.getLogger("watchdog").info("not told")
    logging.getLogger("watchdog").warning("%s is\ntold", "this")
    [line] = logged(stream)
    assert (line["event"], line["level"], line["logger"]) == ("this is\ntold", "warning", "watchdog")


def test_a_library_is_named_on_the_console() -> None:
    stream = console_log()
    logging.getLogger("watchdog").warning("overflow")
    assert "[watchdog]  overflow" in stream.getvalue()


def test_the_amqp_library_does_not_repeat_what_the_publisher_tells() -> None:
    stream = json_log()
    logging.getLogger("pika.adapters").error("connection workflow failed")
    assert stream.getvalue() == ""


@pytest.mark.filterwarnings("always")
def test_python_warnings_become_lines_of_the_log() -> None:
    stream = json_log()
    warnings.warn("old thing", UserWarning, stacklevel=1)
    assert "old thing" in logged(stream)[0]["event"]


def test_a_record_that_cannot_be_shown_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own handler raises here
    stream = json_log()
    logging.getLogger("watchdog").warning("%d files", "many")
    [line] = logged(stream)
    assert line["event"] == "log_line_unreadable"
    assert (line["source"], line["error"]) == ("watchdog", "TypeError")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_logging_to_a_closed_stream_raises_nothing(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.StringIO()
    configure("INFO", log_format, "abc", stream)
    stream.close()
    logger().error("nobody_reads")
    assert capsys.readouterr() == ("", "")


def test_a_stream_that_works_again_learns_how_many_lines_it_missed() -> None:
    stream = Breakable()
    configure("INFO", "json", "abc", stream)
    stream.broken = True
    logger().info("lost")
    logger().info("lost_too")
    stream.broken = False
    logger().info("back")
    logger().info("and_on")
    missed, back, _and_on = logged(stream)
    assert (missed["event"], missed["count"], missed["instance_id"]) == ("log_lines_lost", 2, "abc")
    assert back["event"] == "back"


def test_configuring_again_replaces_the_first_way_out() -> None:
    first, second = json_log(), json_log()
    logger().info("once")
    assert first.getvalue() == ""
    assert len(logged(second)) == 1


def test_auto_is_console_on_a_terminal_and_json_elsewhere() -> None:
    assert configure("INFO", "auto", "abc", Terminal()) == "console"
    assert configure("INFO", "auto", "abc", io.StringIO()) == "json"


def test_on_a_terminal_a_long_line_goes_on_in_the_next_one_and_in_a_file_it_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with os.fdopen(theirs, "w") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        configure("INFO", "console", "abc12345", terminal)
        logger().warning("event_unroutable", note="no queue is bound for this routing key", path="/a/b")
        first, second, rest = screen.read(4096).decode().split("\r\n")
    assert first.endswith("no queue is bound")
    assert second == '         for this routing key" path=/a/b'
    assert rest == ""
    with (tmp_path / "log").open("w+") as file:
        configure("INFO", "console", "abc12345", file)
        logger().warning("event_unroutable", note="no queue is bound for this routing key " * 5)
        file.seek(0)
        assert len(file.readlines()) == 1


def test_a_closed_stream_counts_as_no_terminal() -> None:
    stream = Path(os.devnull).open("w")  # noqa: SIM115  # closed at once
    stream.close()
    assert configure("INFO", "auto", "abc", stream) == "json"


@pytest.mark.parametrize(
    ("stream", "environ", "colored"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colour_is_for_terminals_whose_user_did_not_refuse_it(
    stream: io.StringIO, environ: dict[str, str], colored: bool
) -> None:
    assert wants_color(stream, environ) is colored


def test_a_terminal_sees_the_level_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    configure("INFO", "auto", "abc", stream)
    logger().error("broken")
    assert "\x1b[31merror   \x1b[0m" in stream.getvalue()


def test_an_unknown_level_says_which_there_are() -> None:
    with pytest.raises(UsageError, match="LOG_LEVEL: 'LOUD' is no level; use one of DEBUG, INFO"):
        configure("LOUD", "json", "abc", io.StringIO())
