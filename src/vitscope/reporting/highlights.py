"""The few numbers and sentences that a reader takes away."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from vitscope.bootstrap import mean_interval
from vitscope.reporting.best_probe import best_probe_rows
from vitscope.reporting.gather import part, untrained
from vitscope.reporting.levels import levels, of_models_shown
from vitscope.reporting.style import BASELINES, UNIFORM
from vitscope.reporting.uniform import DISTANCE, grids_differ, relative_distance, with_uniform
from vitscope.reporting.wording import listed, runs_of, title_of, value_text
from vitscope.table import Table

LATE_MEASURES = {  # measure: site
    "attention_distance": "attention",
    "normalized_mutual_information": "attention",
    "token_similarity": "tokens",
    "fourier_log_amplitude": "tokens",
}
WORDS = {  # what the largest and the smallest value of a measure mean, as a sentence goes
    "attention_distance": ("late layers look", "farthest in {}", "nearest in {}"),
    "normalized_mutual_information": (
        "late attention depends",
        "most on the query in {}",
        "least on the query in {}",
    ),
    "token_similarity": ("late tokens of an image are", "most alike in {}", "least alike in {}"),
    "fourier_log_amplitude": (
        "late tokens keep",
        "most of the high frequencies in {}",
        "least of the high frequencies in {}",
    ),
}
GROUP = ("model", "dataset", "measure", "unit", "variant", "other_model")
# Closer than this in all three, attention is called uniform. Distance and mutual information alone
# would take one weak focus that all queries share for none; the entropy of its rows tells.
UNIFORM_SHARE, UNIFORM_NMI, UNIFORM_ENTROPY = 0.01, 0.01, 0.98


def depths_of(table: Table) -> dict[str, int]:
    """Number of blocks of each model: as noted, else the deepest layer that was measured."""
    deepest = table.frame.groupby("model", observed=True)["layer"].max().dropna()
    noted = {name: facts.get("depth") for name, facts in part(table.notes, "models").items()}
    return {str(model): int(noted.get(model) or layer) for model, layer in deepest.items()}


def late_rows(table: Table) -> Table:
    """Rows of the key measures in the last third of depth, and their baselines.

    The last third of 12 blocks is layers 9 to 12; of 6 blocks, 5 and 6. Of each measure the
    canonical variant is taken, or the first one if there is no canonical one.
    """
    frame = table.frame[table.frame["measure"].isin(list(LATE_MEASURES))]
    frame = of_models_shown(frame, set(frame["model"]))
    depth = frame["model"].astype(object).map(depths_of(table)).astype("Float64")
    late = (3 * frame["layer"] > 2 * depth).fillna(False).astype(bool)
    site = frame["measure"].astype(object).map(LATE_MEASURES)
    frame = frame[frame["layer"].isna() | (late & (frame["site"].astype(object) == site))]
    variants = frame.groupby("measure", observed=True)["variant"].unique()
    chosen = {
        measure: "canonical" if "canonical" in set(found) else next(iter(found), None)
        for measure, found in variants.items()
    }
    kept = frame["variant"].astype(object) == frame["measure"].astype(object).map(chosen)
    return Table(frame[kept | frame["variant"].isna()], table.notes)


def best_depths(table: Table) -> pd.DataFrame:
    """Per model and labels, the depth and pooling with the best probe, and its accuracy.

    Returns:
        A summary of `best_probe_rows` with one row per model and dataset; layer is null for
        baselines.
    """
    return best_probe_rows(table).summary(by=(*GROUP, "layer"))


def late_sentences(
    late: Table, summary: pd.DataFrame, uniform: Collection[str] = ()
) -> Iterator[str]:
    """In words: which trained model is highest or lowest in each key measure.

    A model is called so only if it is told apart from every other one: if the interval of their
    difference, paired by image, leaves out 0. What is known without training follows as numbers.
    Where patch grids differ, distances are compared relative to uniform attention on each grid.

    Args:
        late: Rows of the late layers.
        summary: Their summary by `GROUP`.
        uniform: Models whose late attention is uniform; they are not ranked by it.
    """
    unranked = untrained(late) | set(BASELINES)
    for (measure, dataset), rows in summary.groupby(["measure", "dataset"], sort=False):
        skipped = set(uniform) if LATE_MEASURES[str(measure)] == "attention" else set()
        ranked = list(rows.loc[~rows["model"].isin(list(unranked | skipped)), "model"])
        where = f"On {dataset}, " if summary["dataset"].nunique() > 1 else ""
        title = title_of(str(measure), part(late.notes, "measures"))
        compared = [*ranked, *rows.loc[rows["model"].isin(list(untrained(late))), "model"]]
        if measure == DISTANCE and ranked and grids_differ(rows, compared, late):
            yield _sentence(where + _relative_ranking(late, rows, ranked, title))
        elif ranked:
            yield _sentence(f"{where}{_ranking(late, rows, ranked, title)}{_aside(late, rows)}.")


def _relative_ranking(late: Table, rows: pd.DataFrame, ranked: Sequence[str], title: str) -> str:
    """Distances of models whose grids differ: never in px, whose meaning differs as well."""
    known = [*ranked, *untrained(late), UNIFORM]
    relative = relative_distance(late, rows[rows["model"].isin(known)])
    if relative is None:
        names = listed(rows.loc[~rows["model"].isin(list(BASELINES)), "model"])
        return (
            f"{title} in px cannot be compared between {names}: their input sizes or patch grids "
            "differ, and the distance of uniform attention is not known for each of them."
        )
    summary = relative.summary(by=GROUP)
    said = f"{_ranking(relative, summary, ranked, title)}{_aside(relative, summary)}"
    return f"relative to uniform attention on each model's own patch grid, {_start_low(said)}."


def _start_low(text: str) -> str:
    return text[0].lower() + text[1:]


def _aside(late: Table, rows: pd.DataFrame) -> str:
    """What is known without training, as numbers."""
    random = [row for _, row in rows[rows["model"].isin(list(untrained(late)))].iterrows()]
    uniform = rows[rows["model"] == UNIFORM]
    units = dict(zip(uniform["model"], uniform["unit"], strict=True))
    known = [
        (each.name, value_text(each.value) + _unit(units[UNIFORM])) for each in levels(uniform)
    ]
    known += [(row["model"], _value(row)) for row in random]
    return "".join(f"; {name}: {value}" for name, value in known)


def _ranking(late: Table, rows: pd.DataFrame, ranked: Sequence[str], title: str) -> str:
    """The value of one model, or who is highest and lowest of several."""
    high_to_low = rows[rows["model"].isin(list(ranked))].sort_values("mean", ascending=False)
    models = [row for _, row in high_to_low.iterrows()]
    if len(models) == 1:
        return f"{title} in the late layers of {models[0]['model']}: {_value(models[0])}"
    gaps = {
        (a, b): _difference(late, models[a], models[b])
        for a, b in combinations(range(len(models)), 2)
    }
    apart = {pair for pair, (_, low, high) in gaps.items() if low > 0 or high < 0}
    top, bottom = models[0], models[-1]
    if not apart:
        gap = value_text(*gaps[0, len(models) - 1])
        names = listed(high_to_low["model"])
        return f"{title} does not tell the late layers of {names} apart (difference {gap})"
    start, most, least = WORDS[str(top["measure"])]
    found = []
    if all(pair in apart for pair in gaps if pair[0] == 0):
        found.append(f"{most.format(top['model'])} ({_value(top)})")
    if all(pair in apart for pair in gaps if pair[1] == len(models) - 1):
        found.append(f"{least.format(bottom['model'])} ({_value(bottom)})")
    if found:
        return f"{start} {', '.join(found)}"
    first, second = (models[place] for place in max(apart, key=lambda pair: gaps[pair][0]))
    return (
        f"{title} in the late layers is higher in {first['model']} ({_value(first)}) than in "
        f"{second['model']} ({_value(second)}); neither is told apart from all other models"
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def probe_sentences(
    best: pd.DataFrame, depths: Mapping[str, int], unranked: Collection[str] = ()
) -> Iterator[str]:
    """In words: at which depth each model's classes are easiest to tell apart.

    Args:
        best: What `best_depths` returns.
        depths: Number of blocks by model.
        unranked: Models with random weights, which are left out.
    """
    best = best[best["layer"].notna() & ~best["model"].isin(list(unranked))]
    for dataset, rows in best.groupby("dataset", sort=False):
        found = [
            f"depth {layer:.0f} of {depths[model]} in {model} ({value_text(mean, low, high)})"
            for model, layer, mean, low, high in zip(
                *(rows[name] for name in ("model", "layer", "mean", "low", "high")), strict=True
            )
        ]
        yield (
            f"A linear probe on {dataset} is best at {listed(found)}; one half of the test images "
            "chose depth and pooling, the other half gave these scores."
        )


def uniform_depths(summary: pd.DataFrame) -> dict[str, list[int]]:
    """Per model the depths at which its attention cannot be told from uniform attention.

    There its distance is within 1 % of uniform attention's, its mutual information below 0.01 and,
    where it was measured, the entropy of its rows at least 0.98 of uniform attention's.

    Args:
        summary: Rows per model, dataset, measure, variant and layer, with the baselines; each
            model is compared with uniform attention on its own patch grid.
    """
    keys = ["dataset", "variant"]
    distance = summary[summary["measure"] == "attention_distance"]
    nmi = summary[summary["measure"] == "normalized_mutual_information"]
    both = distance.merge(nmi, on=[*keys, "model", "seed", "layer"], suffixes=("", "_nmi"))
    near = with_uniform(both[both["layer"].notna()], distance[distance["model"] == UNIFORM])
    is_near = (near["mean"] / near["mean_uniform"] - 1).abs() < UNIFORM_SHARE
    entropy = summary[summary["measure"] == "row_entropy"]
    entropy = entropy.groupby(["model", "dataset", "layer"], observed=True)["mean"].mean()
    places = pd.MultiIndex.from_frame(near[["model", "dataset", "layer"]])
    is_spread = ~(entropy.reindex(places).to_numpy(dtype=float) < UNIFORM_ENTROPY)  # or unknown
    near = near[is_near & (near["mean_nmi"] < UNIFORM_NMI) & is_spread]
    layers = near.groupby("model", sort=False)["layer"].unique()
    return {str(model): sorted(int(each) for each in found) for model, found in layers.items()}


def uniform_sentences(uniform: Mapping[str, list[int]]) -> Iterator[str]:
    """Warnings about models whose attention is uniform, so that their curves say nothing."""
    for model, layers in uniform.items():
        yield (
            f"At depth {runs_of(layers)} the attention of {model} cannot be told from uniform "
            f"attention: its distance is within {100 * UNIFORM_SHARE:g} % of uniform attention's, "
            f"its mutual information below {UNIFORM_NMI} and its entropy not below "
            f"{UNIFORM_ENTROPY}."
        )
    if len(uniform) > 1:
        yield (
            f"There, differences between {listed(uniform)} in attention distance, mutual "
            "information and entropy say nothing about what they learned."
        )


def _value(row: pd.Series) -> str:
    return value_text(row["mean"], row["low"], row["high"]) + _unit(row["unit"])


def _unit(unit: object) -> str:
    return " px" if unit == "px" else ""


def _difference(late: Table, first: pd.Series, second: pd.Series) -> tuple[float, float, float]:
    """Difference of two models and its interval, paired by image where they saw the same ones."""
    rows = late.select(measure=first["measure"], dataset=first["dataset"]).frame
    each = rows.groupby(["image", "model"], observed=True)["value"].mean().unstack()
    pair = each.reindex(columns=[first["model"], second["model"]]).dropna()
    if pair.empty:  # no image in common: the ends of the two intervals, which is wider
        gaps = (first["mean"] - second["mean"], first["low"] - second["high"])
        return *gaps, first["high"] - second["low"]
    gap = pair[first["model"]] - pair[second["model"]]
    return mean_interval(gap.to_numpy(), gap.index.to_numpy(dtype=np.int64))
