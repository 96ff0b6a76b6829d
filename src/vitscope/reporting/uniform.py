"""Uniform attention as each model's own measure: its distance depends on the patch grid."""

from collections.abc import Sequence

import pandas as pd

from vitscope.reporting.gather import part
from vitscope.reporting.levels import SAME
from vitscope.reporting.style import UNIFORM
from vitscope.table import Table

DISTANCE = "attention_distance"
GRID_FACTS = ("image_size", "patch_size")


def with_uniform(rows: pd.DataFrame, baselines: pd.DataFrame) -> pd.DataFrame:
    """Rows with the value of uniform attention on their own model's grid, as `mean_uniform`.

    Args:
        rows: Columns model, dataset, variant and others.
        baselines: Rows of uniform attention: dataset, variant (null: for every variant),
            other_model (whose grid it is; null: for every model) and mean.

    Returns:
        The rows for which it is known; a value for their model goes before one for all.
    """
    known = baselines[["dataset", "variant", "other_model", "mean"]].rename(
        columns={"variant": "of_variant", "other_model": "of_model", "mean": "mean_uniform"}
    )
    numbered = rows.assign(number=range(len(rows)))
    pairs = numbered.merge(known, on="dataset")
    fits = pairs["of_model"].isna() | (pairs["of_model"] == pairs["model"])
    fits &= pairs["of_variant"].isna() | (pairs["of_variant"] == pairs["variant"])
    pairs = pairs[fits].sort_values(["of_model", "of_variant"], na_position="last", kind="stable")
    nearest = pairs.drop_duplicates("number").sort_values("number", ignore_index=True)
    return nearest.drop(columns=["number", "of_model", "of_variant"])


def grids_differ(rows: pd.DataFrame, models: Sequence[str], table: Table) -> bool:
    """Whether distances in pixels of these models stand for different things.

    Args:
        rows: A summary of the attention distance with its baselines.
        models: The models to compare.
        table: Its notes may tell the sizes of images and patches.
    """
    noted = part(table.notes, "models")
    for fact in GRID_FACTS:
        sizes = {str(part(noted, name)[fact]) for name in models if fact in part(noted, name)}
        if len(sizes) > 1:
            return True
    own = rows[(rows["model"] == UNIFORM) & rows["other_model"].isin(list(models))]
    return bool(own["mean"].max() - own["mean"].min() > SAME * own["mean"].max())


def relative_distance(late: Table, rows: pd.DataFrame) -> Table | None:
    """The attention distance of each image over that of uniform attention on its model's grid.

    Args:
        late: Rows of the late layers.
        rows: A summary of the attention distance of the models to compare, and of all baselines.

    Returns:
        Rows without unit, 1 for uniform attention; None if a model's own baseline is not known.
    """
    is_baseline = rows["model"] == UNIFORM
    # Where grids differ, a value that does not say whose it is may be another model's.
    owned = rows[is_baseline & rows["other_model"].notna()]
    known = with_uniform(rows[~is_baseline], owned)
    if len(known) < (~is_baseline).sum():
        return None
    uniform = dict(zip(known["model"], known["mean_uniform"], strict=True))
    frame = late.select(measure=DISTANCE, dataset=rows["dataset"].iloc[0]).frame
    frame = frame[frame["model"].isin(list(uniform))]
    value = frame["value"] / frame["model"].astype(object).map(uniform).astype(float)
    return Table(frame.assign(value=value, unit=None), late.notes)
