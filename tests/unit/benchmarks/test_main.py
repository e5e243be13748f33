from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.benchmarks import __main__ as command
from tests.benchmarks.bench import Bench
from tests.benchmarks.figure import Figure, Trial
from tests.benchmarks.trust import Untrue


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return command.main()


def good(_bench: Bench, runs: int) -> list[Figure]:
    return [Figure("good", "runs", "s", 2, "at most", tuple(Trial(1.0) for _ in range(runs)))]


def untrue(_bench: Bench, _runs: int) -> list[Figure]:
    raise Untrue("0 of 5,000 messages came")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["hash", "import-songz"], "no benchmark is named import-songz"),
        (["--repeat", "0"], "--repeat takes a whole number from 1"),
        (["--scale", "2"], "--scale takes a number above 0"),
    ],
)
def test_wrong_use_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, *arguments)

    assert refused.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_benchmark_that_measured_nothing_fails_the_run_and_leaves_the_others_their_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "ROWS", {"untrue": untrue, "good": good})
    file = tmp_path / "table.json"

    assert run(monkeypatch, "--json", str(file), "--repeat", "2") == 1

    told = capsys.readouterr()
    assert "untrue FAILED: 0 of 5,000 messages came" in told.out
    assert "Traceback" in told.err
    document = json.loads(file.read_text())
    assert document["failed"] == {"untrue": "0 of 5,000 messages came"}
    assert [(row["row"], len(row["runs"])) for row in document["rows"]] == [("good", 2)]


def test_a_trial_says_that_its_figures_do_not_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "ROWS", {"good": good})

    assert run(monkeypatch, "--scale", "0.1") == 0
    assert "A trial at 0.1 of the real size" in capsys.readouterr().out
