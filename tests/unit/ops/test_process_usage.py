"""What this process and its children use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from file_watcher.ops.process_usage import ProcessTreeCollector


def usage(proc: Path = Path("/proc")) -> dict[str, float]:
    return {
        sample.name: sample.value
        for metric in ProcessTreeCollector(proc).collect()
        for sample in metric.samples
    }


def child(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


ASK_ITSELF = """
import json, os, psutil
from pathlib import Path
from file_watcher.ops.process_usage import ProcessTreeCollector

found = {s.name: s.value for m in ProcessTreeCollector(Path("/proc")).collect() for s in m.samples}
me = psutil.Process()
known = {"threads": me.num_threads(), "fds": me.num_fds(), "rss": me.memory_info().rss,
         "cpu": sum(os.times()[:2]), "start": me.create_time()}
print(json.dumps([found, known]))
"""


def test_the_numbers_are_those_of_this_process() -> None:
    """Asked in a process of its own: the tests' process may have servers for children."""
    with child(ASK_ITSELF) as process:
        answer, _ = process.communicate()
    found, known = json.loads(answer)
    assert found["process_threads"] == known["threads"]
    assert found["process_processes"] == 1
    assert found["process_open_fds"] == pytest.approx(known["fds"], abs=2)
    assert found["process_resident_memory_bytes"] == pytest.approx(known["rss"], rel=0.2)
    assert found["process_cpu_seconds_total"] == pytest.approx(known["cpu"], abs=0.5)
    assert found["process_start_time_seconds"] == pytest.approx(known["start"], abs=1.5)


def test_children_and_their_children_are_included() -> None:
    before = usage()
    code = (
        "import subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'print(1, flush=True); input()'])\n"
        "inner.wait()"
    )
    with child(code) as outer:
        assert outer.stdout is not None
        assert outer.stdout.readline() == "1\n"
        during = usage()
        outer.communicate("\n")
    assert during["process_processes"] == before["process_processes"] + 2
    assert during["process_threads"] >= before["process_threads"] + 2
    assert during["process_resident_memory_bytes"] > before["process_resident_memory_bytes"] + 2_000_000


def test_a_child_that_another_thread_started_is_found_too() -> None:
    before = usage()["process_processes"]
    started = threading.Event()
    finish = threading.Event()
    seen: list[subprocess.Popen[str]] = []

    def start_child() -> None:
        seen.append(child("print(1, flush=True); input()"))
        started.set()
        finish.wait(10)

    thread = threading.Thread(target=start_child)
    thread.start()
    assert started.wait(10)
    during = usage()["process_processes"]
    finish.set()
    thread.join(10)
    with seen[0] as process:
        process.communicate("\n")
    assert during == before + 1


def test_cpu_time_does_not_fall_when_a_child_ends() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True); input()"
    before = usage()["process_cpu_seconds_total"]
    with child(burn) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        during = usage()["process_cpu_seconds_total"]
        process.communicate("\n")
    after = usage()["process_cpu_seconds_total"]
    assert during >= before + 0.25
    assert after >= during


def test_a_process_that_is_gone_or_foreign_is_left_out(tmp_path: Path) -> None:
    own = tmp_path / str(os.getpid())
    (own / "fd").mkdir(parents=True)
    (own / "fd" / "0").touch()
    numbers = ["S", *("0" for _ in range(49))]
    for field, number in {14: 100, 15: 50, 16: 10, 17: 5, 20: 7, 22: 200, 24: 3}.items():
        numbers[field - 3] = str(number)
    (own / "stat").write_text(f"{os.getpid()} (odd) name)) {' '.join(numbers)}\n")
    (own / "task" / "1").mkdir(parents=True)
    (own / "task" / "1" / "children").write_text("999999 ")
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1000\n")
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    assert usage(tmp_path) == {
        "process_cpu_seconds_total": 165 / ticks,
        "process_resident_memory_bytes": 3 * page,
        "process_threads": 7,
        "process_open_fds": 1,
        "process_processes": 1,
        "process_start_time_seconds": 1000 + 200 / ticks,
    }


def test_without_proc_there_are_no_numbers(tmp_path: Path) -> None:
    assert usage(tmp_path) == {}
