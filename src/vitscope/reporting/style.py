"""How models look, the same in every figure: colours, markers, lines; and on a dark page."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache

from matplotlib import colormaps
from matplotlib.colors import to_hex

UNIFORM = "uniform attention"
CHANCE = "chance"

INK, FAINT, GRID, PAPER = "#1f2328", "#5f6670", "#e4e6e9", "#ffffff"
DARK_INK, DARK_FAINT, DARK_GRID, DARK_PAPER = "#e7e8ea", "#a3a9b2", "#33373d", "#16181b"
RAMP_STEPS = 49  # more than the deepest ViT in use (40 blocks) has depths

# Chosen by computation: with normal vision and with simulated protanopia, deuteranopia and
# tritanopia (Machado et al. 2009, severity 1), any two of the first three differ by at least 22 in
# CIELAB and any two of the six by at least 10; each has a contrast of 3 or more with the page.
# Markers differ as well, so that no line is told by its colour alone.
COLOURS = ("#0f5fa6", "#e0610f", "#0a9c86", "#53207a", "#d06aa6", "#6b4a0a")
DARK_COLOURS = ("#5aa9f0", "#ee7a2e", "#8febd6", "#8f62e8", "#e58fc0", "#f0dc9a")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREYS = ("#767c85", "#969ca4", "#565c64")
DARK_GREYS = ("#9aa0a9", "#7d838c", "#b9bec6")

RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: files look alike on every machine
    "font.size": 9.5,
    "text.parse_math": False,  # names may hold dollar signs
    "text.color": INK,
    "axes.facecolor": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud and edited
    "svg.hashsalt": "vitscope",  # the same rows give the same file
}


@dataclass(frozen=True)
class Look:
    """How one model is drawn.

    Args:
        colour: Hexadecimal, lower case, on white.
        marker: Of matplotlib; "" for none.
        line: Line style of matplotlib.
        is_trained: Whether it stands for a trained model.
    """

    colour: str
    marker: str
    line: str | tuple[int, tuple[float, ...]] = "-"
    is_trained: bool = True


BASELINES = {
    UNIFORM: Look(FAINT, "", (0, (5, 3)), is_trained=False),
    "raw pixels": Look(FAINT, "", (0, (5, 2, 1, 2)), is_trained=False),
    CHANCE: Look(FAINT, "", (0, (1, 2.5)), is_trained=False),
}


def looks_of(models: Iterable[str], untrained: Collection[str] = ()) -> dict[str, Look]:
    """The look of each model, by its place in the order given.

    Args:
        models: Names.
        untrained: Those of them with random weights.

    Returns:
        Trained models have a colour and a marker of their own; after 42 = lcm(6, 7) pairs repeat.
        Untrained ones are grey and dotted; baselines are lines without markers.

    Example:
        >>> looks_of(["CL", "start"], untrained=["start"])["start"].line
        (0, (1, 1.6))
    """
    looks: dict[str, Look] = {}
    num_trained = num_random = 0
    for model in dict.fromkeys(models):
        if model in BASELINES:
            looks[model] = BASELINES[model]
        elif model not in untrained:
            at = num_trained
            looks[model] = Look(COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)])
            num_trained += 1
        else:
            grey = GREYS[num_random % len(GREYS)]
            looks[model] = Look(grey, "", (0, (1, 1.6)), is_trained=False)
            num_random += 1
    return looks


def depth_colour(layer: int, depth: int) -> str:
    """Colour of one depth of 0..`depth`, from light (shallow) to dark (deep), on white."""
    return _ramp(0.82, 0.0)[round((RAMP_STEPS - 1) * layer / max(depth, 1))]


def dark_counterparts() -> dict[str, str]:
    """What each colour that figures use on white becomes on a dark page."""
    pairs = zip((*COLOURS, *GREYS), (*DARK_COLOURS, *DARK_GREYS), strict=True)
    ramp = zip(_ramp(0.82, 0.0), _ramp(0.36, 1.0), strict=True)
    inks = {INK: DARK_INK, FAINT: DARK_FAINT, GRID: DARK_GRID, PAPER: DARK_PAPER}
    return {**inks, **dict(pairs), **dict(ramp)}


@cache
def _ramp(start: float, stop: float) -> tuple[str, ...]:
    places = [start + (stop - start) * i / (RAMP_STEPS - 1) for i in range(RAMP_STEPS)]
    return tuple(to_hex(colormaps["viridis"](place)) for place in places)
