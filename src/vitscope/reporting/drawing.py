"""A plate drawn once: the PNG and SVG to take away, and the readings that the page adds to it."""

import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vitscope.reporting import figures
from vitscope.reporting.plates import Plate
from vitscope.reporting.style import FAINT, RC, Look, depth_colour
from vitscope.reporting.wording import shortened, value_label, value_text

# Inches. Two columns of a desktop page show a panel 1.4 times as large, a phone about as it is,
# so that text of 9.5 pt stays readable on both.
WIDE, NARROW = (4.7, 3.2), (3.7, 2.8)
LEFT, RIGHT, BOTTOM, TOP = 0.52, 0.08, 0.5, 0.34  # around the axes, for ticks and labels
HEAD, LEGEND_LINE = 0.5, 0.22
MOST_LEGEND = 40  # characters of a name in the legend; more is wider than one panel
DPI = 180  # twice a usual screen's pixels; 7 cm wide in print


NO_XML = "[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"  # characters that XML 1.0 forbids


@dataclass(frozen=True)
class Drawing:
    """A drawn plate as SVG text, and where its panels lie.

    Args:
        svg: The whole figure with title and legend.
        boxes: Per panel left, top, width, height, in points from the top left.
        readings: Per panel, places on x in points and the readings there.
    """

    svg: str
    boxes: dict[str, tuple[float, float, float, float]]
    readings: dict[str, list[tuple[float, str]]]


def drawn(plate: Plate, looks: Mapping[str, Look], folder: Path) -> Drawing:
    """Draw a plate; write NAME.png and NAME.svg, and return what the page shows of it."""
    handles, names = _legend(plate, looks)
    size = WIDE if len(plate.panels) == 1 else NARROW
    columns = math.ceil(len(plate.panels) / math.ceil(len(plate.panels) / 3))
    width = size[0] * columns
    # A character of 9.5 pt is about 0.08 in wide; line sample and gaps take 0.7 in.
    across = max(1, int(width / (0.7 + 0.08 * max(map(len, names)))))
    foot = LEGEND_LINE * math.ceil(len(names) / across) + 0.08
    height = HEAD + size[1] * math.ceil(len(plate.panels) / columns) + foot
    with matplotlib.rc_context(RC):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(width, height))
        panels, boxes = {}, {}
        for place, (label, rows) in enumerate(plate.panels.items()):
            left, top = size[0] * (place % columns), HEAD + size[1] * (place // columns)
            axes = figure.add_axes(_axes_box(left, top, size, (width, height)))
            panels[label] = plate.draw(rows, axes, looks)
            _name_axis(axes, value_label(plate.unit, plate.measure), label, size[0])
            boxes[label] = (left * 72, top * 72, size[0] * 72, size[1] * 72)
        if plate.share_values:
            _share_values(list(panels.values()))
        _head(figure, plate)
        figure.legend(handles, names, loc="lower center", ncols=across, frameon=False)
        save_png(figure, folder / f"{plate.name}.png")
        svg = save_svg(figure, folder / f"{plate.name}.svg")
        readings = {label: _readings(axes, plate, label) for label, axes in panels.items()}
    return Drawing(svg, boxes, readings)


def save_png(figure: Figure, path: Path) -> None:
    """Write a PNG on white."""
    figure.savefig(path, format="png", dpi=DPI)


def save_svg(figure: Figure, path: Path) -> str:
    """Write an SVG on white and return its text; the same figure gives the same text."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    valid = re.sub(NO_XML, "", text.getvalue())
    path.write_text(valid, encoding="utf-8")
    return valid


def _axes_box(
    left: float, top: float, size: tuple[float, float], whole: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Rectangle of the axes inside its panel, as shares of the figure, from the bottom left."""
    width, height = size[0] - LEFT - RIGHT, size[1] - TOP - BOTTOM
    bottom = whole[1] - top - size[1] + BOTTOM
    return (left + LEFT) / whole[0], bottom / whole[1], width / whole[0], height / whole[1]


def _name_axis(axes: Axes, label: str, panel: str, width: float) -> None:
    """The label stands above the value axis, level, where it is read without turning the head."""
    left = -LEFT / (width - LEFT - RIGHT) + 0.01
    axes.set_title(label, loc="left", x=left, fontsize=9.5, color=FAINT, pad=8)
    if panel:
        name = axes.text(
            0.98, 0.95, shortened(panel), ha="right", va="top", transform=axes.transAxes
        )
        name.set_gid("panel-name")


def _head(figure: Figure, plate: Plate) -> None:
    height = figure.get_figheight()
    title = ", ".join(filter(None, [plate.title, plate.tag]))
    figure.text(0.02, 1 - 0.1 / height, title, va="top", weight="bold", fontsize=10)
    facts = " · ".join(plate.facts)
    figure.text(0.02, 1 - 0.29 / height, facts, va="top", color=FAINT, fontsize=8.5)


def _share_values(panels: list[Axes]) -> None:
    limits = np.array([axes.get_ylim() for axes in panels])
    for axes in panels:
        axes.set_ylim(limits[:, 0].min(), limits[:, 1].max())


def _legend(plate: Plate, looks: Mapping[str, Look]) -> tuple[list[Line2D], list[str]]:
    if plate.draw is figures.spectrum:
        depth = int(plate.rows["layer"].max())
        shown = sorted({0, depth // 3, 2 * depth // 3, depth} & set(plate.rows["layer"]))
        lines = [Line2D([], [], color=depth_colour(layer, depth)) for layer in shown]
        return lines, [f"depth {layer}" for layer in shown]
    lines, names = [], []
    for entry in figures.legend(plate.rows, looks):
        look = entry.look
        lines.append(Line2D([], [], color=look.colour, ls=look.line, marker=look.marker, ms=5))
        # matplotlib hides names that begin with an underscore
        names.append(shortened(entry.name.lstrip("_"), MOST_LEGEND) or "model")
    return lines, names


def _readings(axes: Axes, plate: Plate, label: str) -> list[tuple[float, str]]:
    """Place on x in points, and what the figure reads there, a line of text per series."""
    rows = plate.panels[label]
    if plate.draw is figures.training_loss:
        return []
    is_curve = plate.draw is not figures.spectrum
    rows = rows[rows["layer"].notna()]
    labels = figures.line_names(rows)
    x = figures.depth_of(rows) if is_curve else rows["coordinate"].to_numpy()
    found = []
    for place in np.unique(x):
        here = rows[x == place]
        names = labels[here.index] if is_curve else "depth " + here["layer"].astype(int).astype(str)
        points = axes.transData.transform((place, 0))[0] * 72 / figure_dpi(axes)
        found.append((float(points), "\n".join([_place_text(place, here), *_values(names, here)])))
    return found


def figure_dpi(axes: Axes) -> float:
    """Pixels per inch of the figure that holds these axes."""
    figure = axes.get_figure()
    return float(figure.dpi) if figure is not None else 72.0


def _place_text(place: float, rows: pd.DataFrame) -> str:
    unit = rows["coordinate_unit"].iloc[0]
    if isinstance(unit, str):
        return f"{place:.3g} {unit}"
    return f"depth {place:g}" if place == int(place) else f"depth {place:g}, after attention"


def _values(names: pd.Series, rows: pd.DataFrame) -> list[str]:
    values = map(value_text, rows["mean"], rows["low"], rows["high"])
    return [f"{name}\t{value}" for name, value in zip(names, values, strict=True)]
