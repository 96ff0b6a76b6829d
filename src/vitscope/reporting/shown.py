"""What the page shows of a plate: panels, legend, values, words for those who do not see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from vitscope.reporting import figures
from vitscope.reporting.drawing import drawn
from vitscope.reporting.levels import levels
from vitscope.reporting.plates import Plate
from vitscope.reporting.style import BASELINES, Look, depth_colour
from vitscope.reporting.svg import panel_svgs
from vitscope.reporting.wording import coordinate_label, value_text


@dataclass(frozen=True)
class Key:
    """One entry of a legend.

    Args:
        name: Model, or depth.
        sample: The line as an SVG element.
        value: Of a baseline, which is one number.
        group: Class of the series that the entry stands for; "" for none.
    """

    name: str
    sample: Markup
    value: str = ""
    group: str = ""


@dataclass(frozen=True)
class Shown:
    """A plate, drawn.

    Args:
        plate: What it shows.
        panels: SVG elements by panel label.
        keys: Legend.
        alt: The figure in words.
        header: Head of the table of values; empty if there is no table.
        values: Lines of the table of values: depth, then a text per model.
    """

    plate: Plate
    panels: Mapping[str, Markup]
    keys: list[Key]
    alt: str
    header: list[str]
    values: list[list[str]]


def shown(plate: Plate, looks: Mapping[str, Look], out: Path) -> Shown:
    """Draw a plate, write its files and rows below `out`, and return what the page needs."""
    drawing = drawn(plate, looks, out / "figures")
    plate.rows.to_csv(out / "data" / f"{plate.name}.csv", index=False)
    svgs = panel_svgs(drawing, plate.name)
    header, values = _values(plate)
    return Shown(
        plate=plate,
        panels={label: Markup(svg) for label, svg in svgs.items()},
        keys=_keys(plate, looks),
        alt=_in_words(plate),
        header=header,
        values=values,
    )


def sample(look: Look) -> Markup:
    """A short line with its marker, as a legend shows it."""
    colour = f"var(--c{look.colour[1:]}, {look.colour})"
    dash = "" if look.line == "-" or isinstance(look.line, str) else _dashes(look.line[1])
    line = f'<path d="M1 6H27" style="stroke:{colour};stroke-width:2{dash}"/>'
    mark = MARKER_PATHS.get(look.marker)
    if mark:
        line += f'<path d="{mark}" style="fill:{colour};stroke:none"/>'
    return Markup(f'<svg class="sample" viewBox="0 0 28 12" aria-hidden="true">{line}</svg>')


MARKER_PATHS = {  # the markers of `style.MARKERS`, around (14, 6)
    "o": "M18 6a4 4 0 1 1-8 0a4 4 0 1 1 8 0z",
    "s": "M10.4 2.4h7.2v7.2h-7.2z",
    "^": "M14 1.6l4.4 8h-8.8z",
    "D": "M14 1.2l4.6 4.8l-4.6 4.8l-4.6-4.8z",
    "v": "M14 10.4l4.4-8h-8.8z",
    "P": "M12.5 2h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z",
    "X": "M11.5 2l2.5 2.5l2.5-2.5l1.5 1.5l-2.5 2.5l2.5 2.5l-1.5 1.5l-2.5-2.5l-2.5 2.5"
    "l-1.5-1.5l2.5-2.5l-2.5-2.5z",
}


def _dashes(lengths: tuple[float, ...]) -> str:
    return ";stroke-dasharray:" + " ".join(f"{1.6 * length:g}" for length in lengths)


def _keys(plate: Plate, looks: Mapping[str, Look]) -> list[Key]:
    if plate.draw is figures.spectrum:
        layers = sorted({int(layer) for layer in plate.rows["layer"]})
        ramp = {layer: Look(depth_colour(layer, layers[-1]), "") for layer in layers}
        return [Key(f"depth {layer}", sample(look)) for layer, look in ramp.items()]
    if plate.draw is figures.training_loss:
        return []  # each panel is named after its model
    keys = []
    for entry in figures.legend(plate.rows, looks):
        value = "" if entry.value is None else value_text(entry.value)
        group = f"series-{list(looks).index(entry.owner)}"
        keys.append(Key(entry.name, sample(entry.look), value, group))
    return keys


def _in_words(plate: Plate) -> str:
    """The figure for those who hear it: where each line begins and ends."""
    rows = plate.rows
    if plate.draw is figures.training_loss:
        return f"Line chart of the training loss against the step for {len(plate.models)} models."
    if plate.draw is figures.spectrum:
        along = coordinate_label(rows["coordinate_unit"].iloc[0])
        return (
            f"Line charts of {plate.label} against {along}, one chart for each of "
            f"{', '.join(plate.panels)}, one line per depth. The values are in the CSV file."
        )
    told = []
    names = figures.line_names(rows)
    for _, line in figures.series(rows):
        first, last, model = line.iloc[0], line.iloc[-1], names[line.index[0]]
        if pd.isna(first["layer"]):
            told += [f"{each.name}: {value_text(each.value)} throughout" for each in levels(line)]
            continue
        ends = [f"{value_text(row['mean'])} at depth {row['layer']:.0f}" for row in (first, last)]
        told.append(f"{model}: from {' to '.join(ends)}")
    return f"Line chart of {plate.label} by depth. {'; '.join(told)}."


def _values(plate: Plate) -> tuple[list[str], list[list[str]]]:
    """A table of depth by model at the ends of blocks, without baselines."""
    if plate.draw in (figures.spectrum, figures.training_loss):
        return [], []
    rows = plate.rows
    rows = rows[rows["layer"].notna() & (rows["site"] != "after_attention")]
    rows = rows[~rows["model"].isin(list(BASELINES))]
    names = figures.line_names(rows)
    columns = list(dict.fromkeys(names))
    numbers = zip(names, rows["layer"], rows["mean"], rows["low"], rows["high"], strict=True)
    texts = {(layer, name): value_text(*value) for name, layer, *value in numbers}
    depths = sorted(set(rows["layer"]))
    lines = [[f"{d:.0f}", *(texts.get((d, name), "–") for name in columns)] for d in depths]
    return ["Depth", *columns], lines
