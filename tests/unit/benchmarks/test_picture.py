from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.benchmarks import picture
from tests.benchmarks.chart import Chart, Panel, curve


def chart() -> Chart:
    costs = curve("import", {1_000: [1.0], 10_000: [9.0], 500_000: [400.0]})
    ideal = curve("ideal", {1_000: [0.5], 500_000: [200.0]}, "ideal")
    growth = Panel("time", "files", "numbers", "seconds", (costs, ideal), has_slope_one=True)
    sizes = curve("hash", {1 << 14: [1.2, 1.4], 1 << 20: [1.5, 1.6]})
    blocks = Panel("blocks", "size of a block", "bytes", "GB/s", (sizes,), from_zero=True)
    return Chart("growth", "Cost by number of files", (growth, blocks), "a note below")


@pytest.fixture(scope="module", autouse=True)
def open_fonts(tmp_path_factory: pytest.TempPathFactory) -> None:
    """matplotlib keeps the fonts that it has used open for as long as the process lives: before any test."""
    picture.draw(chart(), tmp_path_factory.mktemp("fonts"))


def test_a_picture_names_its_axes_units_and_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(picture._STYLE, "svg.fonttype", "none")  # letters stay letters

    svg, png = picture.draw(chart(), tmp_path)

    text = "\n".join(ET.parse(svg).getroot().itertext())
    for word in ("Cost by number of files", "a note below", "seconds", "GB/s", "import", "ideal", "slope 1"):
        assert word in text
    for tick in ("1,000", "500,000", "16 KiB", "1 MiB"):
        assert tick in text
    assert png.read_bytes().startswith(b"\x89PNG")


def test_the_same_data_gives_the_same_picture(tmp_path: Path) -> None:
    pictures = [picture.draw(chart(), folder)[0].read_bytes() for folder in folders(tmp_path)]

    assert pictures[0] == pictures[1]


def folders(parent: Path) -> list[Path]:
    made = [parent / name for name in "ab"]
    for folder in made:
        folder.mkdir()
    return made


def test_a_picture_is_drawn_anew_from_its_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "growth.json"
    file.write_text(json.dumps({"charts": [chart().as_json()]}))
    monkeypatch.setattr(sys, "argv", ["picture", str(file)])

    assert picture.main() == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / name) for name in ("growth.svg", "growth.png")]
    assert (tmp_path / "growth.svg").exists()
