from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.trust import Untrue, require_alive, require_clean_log
from tests.support.service import ServiceProcess

INFO = json.dumps({"level": "info", "event": "ready"})


def service(folder: Path, *lines: str) -> ServiceProcess:
    made = ServiceProcess(folder, folder, "amqp://localhost", "exchange")
    made.log.write_text("".join(f"{line}\n" for line in lines))
    return made


def test_a_log_in_which_nothing_was_wrong_is_clean(tmp_path: Path) -> None:
    require_clean_log(service(tmp_path, INFO, INFO))


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"level": "warning", "event": "event_unroutable"}),
        json.dumps({"level": "error", "event": "file_unreadable"}),
        json.dumps({"level": "critical", "event": "thread_died"}),
        json.dumps(["a", "list"]),
        json.dumps({"no": "level"}),
        "Traceback (most recent call last):",
    ],
)
def test_a_complaint_in_the_log_makes_the_figure_untrue_and_is_shown(tmp_path: Path, line: str) -> None:
    with pytest.raises(Untrue, match="complained 1 times") as refused:
        require_clean_log(service(tmp_path, INFO, line, INFO))

    assert line in str(refused.value)


def test_a_service_that_ended_by_itself_makes_the_figure_untrue(tmp_path: Path) -> None:
    ended = service(tmp_path, "it broke")
    ended.command_line = lambda: ["false"]  # type: ignore[method-assign]
    ended.start()
    assert ended.process is not None
    ended.process.wait()

    with pytest.raises(Untrue, match="ended by itself:\nit broke"):
        require_alive(ended)
