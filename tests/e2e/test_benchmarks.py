"""The benchmarks measure what they say: every row at a small part of its size. Says nothing about speed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ROWS = {
    "hash",
    "import-albums",
    "import-songs",
    "import-trees",
    "publisher",
    "rescan",
    "ready",
    "idle-cpu",
    "idle-memory",
    "latency",
    "hints",
}


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_every_row_of_the_table_can_be_measured(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    command = [
        sys.executable,
        "-m",
        "tests.benchmarks",
        "--scale",
        "0.02",
        "--repeat",
        "1",
        "--json",
        str(file),
    ]

    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(file.read_text())
    assert {row["row"] for row in document["rows"]} == ROWS
    assert document["failed"] == {}
    assert "say nothing about speed" in done.stdout


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_growth_and_stress_can_be_measured_and_drawn(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.curves", "instances", "growth"]
    command += ["--scale", "0.02", "--sizes", "500,1000", "--folder", str(tmp_path)]

    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("instances", "growth"):
        assert {path.suffix for path in tmp_path.glob(f"{name}.*")} == {".json", ".svg", ".png"}
    growth = json.loads((tmp_path / "growth.json").read_text())
    assert [cost["files"] for cost in growth["costs"]] == [500, 1000]
