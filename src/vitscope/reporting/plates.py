"""Plates: what a figure shows, in words and rows, before it is drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from vitscope.reporting import figures
from vitscope.reporting.best_probe import PROBE
from vitscope.reporting.gather import part
from vitscope.reporting.levels import of_models_shown
from vitscope.reporting.wording import (
    axis_label,
    counts_text,
    file_name,
    slug,
    title_of,
    unit_text,
    variant_text,
)
from vitscope.table import SUMMARY_KEYS

PLATE_KEYS = (*SUMMARY_KEYS, "other_model")
SITES = {  # what a site adds to a figure's title; the usual site of a measure adds nothing
    ("depth_similarity", "attention"): "across attention",
    ("depth_similarity", "block"): "across a block",
    ("fourier_spectrum", "after_attention"): "after attention",
}


@dataclass(frozen=True, kw_only=True)
class Plate:
    """One figure: what it is called, what it says, and the rows that it is drawn from.

    Args:
        name: Of its files, without suffix.
        measure: The measure it shows.
        title: Heading, without the unit.
        label: The quantity with its unit.
        unit: Unit alone; "" for none.
        reading: What the reader sees: low means this, high means that.
        facts: Short facts for the caption: data set, images, what was averaged.
        draw: A function of `vitscope.reporting.figures`.
        panels: Rows of each panel by its label; one panel is called "".
        variant: Which definition, protocol or pooling.
        dataset: What was measured on.
        site: Where in the model.
    """

    name: str
    measure: str
    title: str
    label: str
    unit: str
    reading: str
    facts: tuple[str, ...]
    draw: Callable[..., Axes]
    panels: Mapping[str, pd.DataFrame]
    variant: str = ""
    dataset: str = ""
    site: str = ""
    share_values: bool = True  # one range of values for all panels
    tag: str = ""  # the data set, where the same measure was taken on several

    @property
    def rows(self) -> pd.DataFrame:
        """Exactly the rows behind the figure."""
        return pd.concat(list(self.panels.values()), ignore_index=True)

    @property
    def models(self) -> list[str]:
        """Models and baselines shown, in order of appearance."""
        return list(dict.fromkeys(self.rows["model"]))


def plates_of(summary: pd.DataFrame, notes: Mapping[str, object]) -> list[Plate]:
    """Every figure that a summary by `PLATE_KEYS` allows, in the order of its rows.

    One figure per measure, data set, variant and site; tokens before and after attention share
    one, for they alternate in depth. Baselines join the figures of their measure and data set.
    """
    summary = summary[summary["mean"].notna()]
    text = summary[["measure", "dataset", "variant", "site"]].fillna("").astype(str)
    is_curve = summary["coordinate"].isna()
    text.loc[is_curve & (text["site"] == "after_attention"), "site"] = "tokens"
    is_baseline = is_curve & summary["layer"].isna()
    baselines, keys = summary[is_baseline], text[~is_baseline]
    plates: list[Plate] = []
    for (measure, dataset, variant, site), members in keys.groupby(list(text.columns), sort=False):
        rows = summary.loc[members.index]
        same = baselines[(text["measure"] == measure)[is_baseline]]
        same = same[same["dataset"].fillna(dataset) == dataset]  # pyright: ignore[reportArgumentType]
        same = of_models_shown(same, set(rows["model"]))
        rows = pd.concat([rows, _fitting(same, str(variant))]) if len(same) else rows
        place = {"measure": measure, "dataset": dataset, "variant": variant, "site": site}
        plates.append(_plate(rows.reset_index(drop=True), place, notes, summary))  # pyright: ignore[reportArgumentType]
    return list(_distinct(plates))


def _fitting(baselines: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Of each baseline the rows of this variant; all of them if it has none of this variant."""
    found = []
    for _, rows in baselines.groupby("model", sort=False):
        exact = rows[rows["variant"].fillna("") == variant]
        found.append(exact if len(exact) else rows)
    return pd.concat(found)


def _plate(
    rows: pd.DataFrame,
    place: Mapping[str, str],
    notes: Mapping[str, object],
    summary: pd.DataFrame,
) -> Plate:
    measure, variant, site = place["measure"], place["variant"], place["site"]
    declared = part(notes, "measures")
    facts = part(declared, measure)
    unit = next((u for u in rows["unit"] if isinstance(u, str)), facts.get("unit"))
    title = title_of(measure, declared)
    is_spectrum = rows["coordinate"].notna().any()
    draw = figures.spectrum if is_spectrum else figures.depth_curve
    draw = figures.probe_curve if measure == PROBE else draw
    several = summary.loc[summary["measure"] == measure, "dataset"].nunique() > 1
    where = SITES.get((measure, site), "")
    parts = [variant_text(variant), site if where else "", place["dataset"] if several else ""]
    name = "-".join([file_name(measure), *(slug(part) for part in parts if part)])
    return Plate(
        name=name,
        title=" · ".join(filter(None, [title, where, variant_text(variant)])),
        label=axis_label(title, unit),
        unit=unit_text(unit),
        reading=str(facts.get("reading", "")),
        facts=(_images_text(rows, place["dataset"], notes),),
        draw=draw,
        panels=dict(_by_model(rows)) if is_spectrum else {"": rows},
        tag=place["dataset"] if several else "",
        **place,  # pyright: ignore[reportArgumentType]
    )


def _by_model(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """A panel for each model (and seed, if there are several)."""
    for (model, seed), panel in rows.groupby(["model", "seed"], sort=False, dropna=False):
        yield str(model) if pd.isna(seed) else f"{model}, seed {int(seed)}", panel  # pyright: ignore[reportArgumentType, reportCallIssue]


def _images_text(rows: pd.DataFrame, dataset: str, notes: Mapping[str, object]) -> str:
    """How many images a figure rests on, and of which data set."""
    counts = rows.loc[rows["num_images"] > 0, "num_images"]
    declared = part(part(notes, "data"), dataset).get("num_images")
    known = [int(counts.min()), int(counts.max())] if len(counts) else declared
    if known is None:
        return dataset
    number = counts_text(known)
    images = "image" if number == "1" else "images"
    return f"{number} {images} of {dataset}" if dataset else f"{number} {images}"


def _distinct(plates: list[Plate]) -> Iterator[Plate]:
    """The same plates; where two names agree, later ones are numbered."""
    seen: dict[str, int] = {}
    for plate in plates:
        seen[plate.name] = count = seen.get(plate.name, 0) + 1
        yield plate if count == 1 else Plate(**{**vars(plate), "name": f"{plate.name}-{count}"})


def training_plate(
    training: Mapping[str, Sequence[Mapping[str, float]]], remark: str = ""
) -> Plate | None:
    """The loss of each run against the step; None if no log holds one.

    Args:
        training: Entries of the log by run.
        remark: What a reader should know of the runs, said below the figure first.
    """
    found, run = [], 1
    for model, log in training.items():
        steps = [(entry["step"], entry["loss"]) for entry in log if {"step", "loss"} <= set(entry)]
        # About 300 points fill the width of a figure; longer logs become means of runs of steps.
        length = max(-(-len(steps) // 300), 1)
        rows = pd.DataFrame(steps, columns=["step", "loss"]).astype(float)
        found.append(rows.groupby(rows.index // length).mean().assign(model=model))
        run = max(run, length)
    rows = pd.concat(found)[["model", "step", "loss"]] if found else pd.DataFrame()
    if rows.empty:
        return None
    return Plate(
        name="training_loss",
        measure="training_loss",
        title="Training loss",
        label="Training loss",
        unit="loss",
        reading=f"{remark} Falls and flattens: trained to the end. Losses of different objectives "
        "have different scales and cannot be compared with each other.".strip(),
        facts=(f"Every point is a mean of up to {run} entries of the log.",) if run > 1 else (),
        draw=figures.training_loss,
        share_values=False,
        panels={str(model): panel for model, panel in rows.groupby("model", sort=False)},
    )
