from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from tests.benchmarks import curves, growth
from tests.benchmarks.bench import Bench
from tests.benchmarks.chart import Chart, Panel, curve
from tests.benchmarks.trust import Untrue


@pytest.fixture(autouse=True)
def nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing has tests of its own, and signals belong to the tests."""
    monkeypatch.setattr(curves, "draw", lambda *_: [])
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["curves", *arguments])
    return curves.main()


def good(_bench: Bench, runs: int) -> Chart:
    panel = Panel("", "files", "counts", "files/s", (curve("rate", {1: [float(runs)]}),))
    return Chart("good", "Good", (panel,))


def untrue(_bench: Bench, _runs: int) -> Chart:
    raise Untrue("the service complained")


def test_a_chart_that_fails_fails_the_run_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(curves, "CHARTS", {"untrue": untrue, "good": good})

    assert run(monkeypatch, "--folder", str(tmp_path), "--repeat", "3") == 1

    assert "the service complained" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["good.json"]
    (chart,) = json.loads((tmp_path / "good.json").read_text())["charts"]
    assert chart["panels"][0]["curves"][0]["points"][0]["y"] == 3.0


def test_growth_keeps_the_sizes_that_were_measured_before_one_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def cost_of(_bench: Bench, files: int) -> growth.Cost:
        if files > 1_000:
            raise Untrue("999 of 10,000 files")
        return growth.Cost(files, 1.0, 0.1, 0.5, 100.0, 110.0, 90.0)

    monkeypatch.setattr(growth, "cost_of", cost_of)

    assert run(monkeypatch, "growth", "--sizes", "10_000,1000", "--folder", str(tmp_path)) == 1
    document = json.loads((tmp_path / "growth.json").read_text())
    assert [cost["files"] for cost in document["costs"]] == [1_000]


@pytest.mark.parametrize(
    "wrong", [["grwoth"], ["growth", "--sizes", "many"], ["--repeat", "0"], ["--scale", "0"]]
)
def test_wrong_use_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        run(monkeypatch, *wrong, "--folder", str(tmp_path))

    assert refused.value.code == 2
