"""`python -m tests.benchmarks.picture FILE…`: draw the charts of JSON files anew, without measuring.

Each chart becomes an SVG and a PNG beside its JSON file. Needs no display.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tests.benchmarks.chart import Chart, Curve, Panel, Scale, from_json

_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette: told apart with any kind of colour vision; markers differ, too."""
_MARKERS: Final = "osD^vP"
_LEAST_RANGE: Final = 100.0
"""Highest by lowest value of an axis that shows growth: on a narrow one, any growth looks steep."""
_HEADROOM: Final = 1.25
_PANEL_INCHES: Final = (5.4, 4.4)
_DOTS_PER_INCH: Final = 110
_STYLE: Final[dict[Any, Any]] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
    "figure.constrained_layout.w_pad": 0.12,
    "svg.hashsalt": "file_watcher",  # the same data gives the same file
}


def draw(chart: Chart, folder: Path) -> list[Path]:
    """Write the chart as `<name>.svg` and `<name>.png` into the folder; returns both paths."""
    with rc_context(_STYLE):
        width, height = _PANEL_INCHES
        figure = Figure(figsize=(width * len(chart.panels), height), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(chart.title, fontweight="bold")
        for axes, panel in zip(
            figure.subplots(1, len(chart.panels), squeeze=False)[0], chart.panels, strict=True
        ):
            _draw_panel(axes, panel)
        if chart.note:
            figure.supxlabel(chart.note, fontsize=8, color="#555555")
        paths = [folder / f"{chart.name}.{kind}" for kind in ("svg", "png")]
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else None
            figure.savefig(path, dpi=_DOTS_PER_INCH, metadata=metadata)
    return paths


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel(panel.x_label)
    axes.set_ylabel(panel.y_label)
    if panel.from_zero:
        axes.yaxis.set_major_formatter(FuncFormatter(_number))
    else:
        axes.set_yscale("log")
    ideals = [each for each in panel.curves if each.look == "ideal"]
    for number, each in enumerate(panel.curves):
        partner = number if each.look == "measured" else ideals.index(each)
        _draw_curve(axes, each, partner % len(_COLOURS))
    _scale_x(axes, panel.x_scale, sorted({point.x for each in panel.curves for point in each.points}))
    if panel.has_slope_one:
        _draw_slope_one(axes, panel.curves)
    if panel.from_zero:
        axes.set_ylim(0, 1.08 * max(point.high for each in panel.curves for point in each.points))
    else:
        axes.set_ylim(top=_HEADROOM * axes.get_ylim()[1])
        _tick_y(axes)
    axes.legend(fontsize=8, framealpha=0.9)


def _draw_curve(axes: Axes, curve: Curve, number: int) -> None:
    xs, ys = [point.x for point in curve.points], [point.y for point in curve.points]
    colour = _COLOURS[number]
    if curve.look == "ideal":
        axes.plot(xs, ys, linestyle="--", linewidth=1.2, color=colour, alpha=0.7, label=curve.label)
        return
    axes.plot(xs, ys, marker=_MARKERS[number], markersize=5, color=colour, label=curve.label)
    lows, highs = [point.low for point in curve.points], [point.high for point in curve.points]
    axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0)


def _draw_slope_one(axes: Axes, curves: Sequence[Curve]) -> None:
    """Through the last point of the curve that ends highest: below it growth is slower than linear."""
    last = max((curve.points[-1] for curve in curves), key=lambda point: point.y)
    first_x = min(point.x for curve in curves for point in curve.points)
    bottom = min(axes.get_ylim()[0], last.y / _LEAST_RANGE)
    start = max(first_x, last.x * bottom / last.y)
    axes.plot(
        [start, last.x],
        [last.y * start / last.x, last.y],
        linestyle=":",
        color="#555555",
        linewidth=1.5,
        label="slope 1: twice the files, twice the cost",
    )
    axes.set_ylim(bottom=bottom)


def _scale_x(axes: Axes, scale: Scale, xs: Sequence[float]) -> None:
    axes.set_xscale("log", base=10 if scale == "numbers" else 2)
    axes.xaxis.set_major_locator(FixedLocator(list(xs)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_size if scale == "bytes" else _number))
    if len(xs) > 7:
        axes.tick_params(axis="x", labelrotation=45)


def _tick_y(axes: Axes) -> None:
    """1, 2 and 5 of each decade, so that there are numbers on a short axis, too."""
    low, high = axes.get_ylim()
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_number))


def _size(value: float, _position: int | None = None) -> str:
    for unit, bytes_each in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= bytes_each:
            return f"{value / bytes_each:g} {unit}"
    return f"{value:g} B"


def _number(value: float, _position: int | None = None) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def main() -> int:
    """Draw all charts of the named JSON files."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.picture", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    for file in parser.parse_args().files:
        for document in json.loads(file.read_text())["charts"]:
            for path in draw(from_json(document), file.parent):
                print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
