"""How `consume` shows a message. Subscribing itself is tested with a broker."""

from __future__ import annotations

import json

import pytest

from file_watcher.cli.consuming import _as_json, _as_line
from tests.unit.cli.conftest import Invoke


@pytest.mark.parametrize(
    "document", [{"file_path": "/m/Ünï.mp3", "size": 1}, {"text": "line\nbreak \u2028 \x1b[31m"}, [], None]
)
def test_a_message_is_one_line_of_the_same_json(document: object) -> None:
    line = _as_json(json.dumps(document, indent=2).encode())
    assert json.loads(line) == document
    assert line.splitlines() == [line.removesuffix("\n")]
    assert "\x1b" not in line


@pytest.mark.parametrize("body", [b"", b"no json", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_told_as_such(body: bytes) -> None:
    assert json.loads(_as_json(body)) == {"error": f"a message of {len(body)} bytes that is no JSON"}


def test_a_line_for_another_program_is_whole() -> None:
    path = "/m/" + "x" * 5_000 + ".mp3"
    line = _as_line(json.dumps({"event_type": "created", "file_path": path}).encode())
    assert path in line
    assert line.endswith("\n")


def test_a_named_queue_is_of_events_and_jobs_alike(invoke: Invoke) -> None:
    result = invoke("consume", "--jobs", "--queue", "mine")
    assert result.exit_code == 2
    assert " ".join(result.stderr.split()) == (
        "file_watcher: A named queue is read whatever is in it, jobs as well: leave out --jobs, or --queue"
    )


def test_a_named_queue_and_routing_keys_do_not_go_together(invoke: Invoke) -> None:
    result = invoke("consume", "file.*", "--queue", "mine")
    assert result.exit_code == 2
    assert result.stderr == (
        "file_watcher: A named queue is read as it is bound: leave out the routing keys, or --queue\n"
    )
