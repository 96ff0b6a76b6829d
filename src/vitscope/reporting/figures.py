"""One function per kind of figure, each `(rows, axes) -> axes`; rows come from `Table.summary`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vitscope.reporting.levels import levels
from vitscope.reporting.style import PAPER, Look, depth_colour, looks_of
from vitscope.reporting.wording import coordinate_label

BAND = 0.16  # opacity: three overlapping bands still show the lines and the grid


def depth_curve(rows: pd.DataFrame, axes: Axes, looks: Mapping[str, Look] | None = None) -> Axes:
    """A value against depth, one line per model with its interval as a band.

    Args:
        rows: Columns model, seed, site, layer, mean, low, high. Rows of site "after_attention" lie
            half a step before the block they are in and are hollow; rows without a layer are
            baselines and become horizontal lines, one per distinct value (see `levels`).
        axes: Where to draw.
        looks: The look of each model; by default in order of appearance.

    Returns:
        The axes, x in blocks: 0 is the embedding.
    """
    looks = looks or looks_of(rows["model"])
    places = {model: number for number, model in enumerate(looks)}
    for model, line in series(rows):
        look, group = looks[model], f"series-{places[model]}"
        if line["layer"].isna().all():
            for level in levels(line):
                look = level.look(looks)
                drawn = axes.axhline(
                    level.value, color=look.colour, ls=look.line, lw=1.2, zorder=1.5
                )
                drawn.set_gid(f"series-{places[level.owner(looks)]}")
            continue
        x = depth_of(line)
        order = 2.5 if look.is_trained else 2
        band = axes.fill_between(x, line["low"], line["high"], color=look.colour, alpha=BAND, lw=0)
        band.set_gid(group)
        (drawn,) = axes.plot(x, line["mean"], color=look.colour, ls=look.line, lw=1.7, zorder=order)
        drawn.set_gid(group)
        _mark(line, axes, look, group)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=13, min_n_ticks=1))
    axes.set_xlabel("depth (0 = embedding)" if 0 in set(rows["layer"]) else "depth")
    return axes


def probe_curve(rows: pd.DataFrame, axes: Axes, looks: Mapping[str, Look] | None = None) -> Axes:
    """Like `depth_curve`, with a ring at the depth where each trained model is best."""
    looks = looks or looks_of(rows["model"])
    depth_curve(rows, axes, looks)
    for model, line in series(rows):
        if not looks[model].is_trained or line["layer"].isna().all():
            continue
        best = line.loc[[line["mean"].idxmax()]]
        ring = axes.plot(
            depth_of(best), best["mean"], "o", ms=11, mfc="none", mec=looks[model].colour, mew=1.4
        )
        ring[0].set_gid(f"series-{list(looks).index(model)}")
    return axes


def spectrum(rows: pd.DataFrame, axes: Axes, looks: Mapping[str, Look] | None = None) -> Axes:
    """A value against a coordinate (a frequency, a rank) for one model, one line per depth.

    Args:
        rows: Columns layer, coordinate, coordinate_unit, mean, low, high.
        axes: Where to draw.
        looks: Not used: colours stand for depth, from light (shallow) to dark (deep).
    """
    del looks
    depth = int(rows["layer"].max())
    for layer, line in rows.sort_values("coordinate").groupby("layer"):
        colour = depth_colour(int(layer), depth)  # pyright: ignore[reportArgumentType]
        axes.fill_between(
            line["coordinate"], line["low"], line["high"], color=colour, alpha=BAND / 2, lw=0
        )
        axes.plot(line["coordinate"], line["mean"], color=colour, lw=1.5)
    axes.set_xlabel(coordinate_label(rows["coordinate_unit"].iloc[0]))
    return axes


def training_loss(rows: pd.DataFrame, axes: Axes, looks: Mapping[str, Look] | None = None) -> Axes:
    """Training loss against the step, one line per model (columns model, step, loss)."""
    looks = looks or looks_of(rows["model"])
    for model, line in rows.groupby("model", sort=False):
        look = looks[str(model)]
        (drawn,) = axes.plot(line["step"], line["loss"], color=look.colour, ls=look.line, lw=1.3)
        drawn.set_gid(f"series-{list(looks).index(str(model))}")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.set_xlabel("step")
    return axes


def depth_of(rows: pd.DataFrame) -> np.ndarray:
    """Where rows stand on the depth axis: after attention is half a block before the block's end.

    Example:
        >>> rows = pd.DataFrame({"layer": [1, 1], "site": ["after_attention", "tokens"]})
        >>> depth_of(rows)
        array([0.5, 1. ])
    """
    half = (rows["site"] == "after_attention").to_numpy() * 0.5
    return rows["layer"].to_numpy(dtype=np.float64) - half


def series(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The lines of a figure: model (and seed) by model, each in order of depth."""
    for (model, _), line in rows.groupby(["model", "seed"], sort=False, dropna=False):
        yield str(model), line.iloc[np.argsort(depth_of(line), kind="stable")]


def line_names(rows: pd.DataFrame) -> pd.Series:
    """What each row's line is called: its model, and its seed where the model has several."""
    model = rows["model"].astype(str)
    several = rows.groupby("model")["seed"].transform("nunique") > 1
    return model.where(~several, model + ", seed " + rows["seed"].map("{:.0f}".format))


def _mark(line: pd.DataFrame, axes: Axes, look: Look, group: str) -> None:
    """Filled markers at block ends, small hollow ones after attention."""
    if not look.marker:
        return
    inside = line["site"] == "after_attention"
    for part, size, face in ((line[inside], 3.2, PAPER), (line[~inside], 5.2, look.colour)):
        if part.empty:
            continue
        edge = look.colour if face == PAPER else PAPER
        (drawn,) = axes.plot(
            depth_of(part),
            part["mean"],
            look.marker,
            ms=size,
            mfc=face,
            mec=edge,
            mew=0.8,
            zorder=3,
        )
        drawn.set_gid(group)


@dataclass(frozen=True)
class Entry:
    """One entry of a legend.

    Args:
        name: Of a model or a baseline.
        look: Of its line.
        owner: The name in `looks` whose group of lines it belongs to.
        value: Of a baseline, which is one number.
    """

    name: str
    look: Look
    owner: str
    value: float | None = None


def legend(rows: pd.DataFrame, looks: Mapping[str, Look]) -> Iterator[Entry]:
    """One entry per model, and per distinct value of each baseline."""
    for model, each in rows.groupby("model", sort=False):
        if "layer" not in each or each["layer"].notna().any():
            yield Entry(str(model), looks[str(model)], str(model))
            continue
        for level in levels(each):
            yield Entry(level.name, level.look(looks), level.owner(looks), level.value)
