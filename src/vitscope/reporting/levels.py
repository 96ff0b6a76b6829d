"""Baselines as horizontal lines: one for all models, or one for each value that they differ in."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from vitscope.reporting.style import Look
from vitscope.reporting.wording import listed

SAME = 1e-5  # relative; values come as float32, which holds seven digits


@dataclass(frozen=True)
class Level:
    """The value of a baseline, and the models it holds for.

    Args:
        baseline: Its name, such as "uniform attention".
        value: The value.
        models: The models that it holds for, where others have another value; else empty.
    """

    baseline: str
    value: float
    models: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As a legend says it: the models are told only where they differ."""
        return self.baseline + (f" of {listed(self.models)}" if self.models else "")

    def owner(self, looks: Mapping[str, Look]) -> str:
        """Whose colour the line has: of its models the first one shown, or the baseline's own."""
        return next((model for model in self.models if model in looks), self.baseline)

    def look(self, looks: Mapping[str, Look]) -> Look:
        """Dashed as the baseline is; in the colour of its owner where models differ."""
        return replace(looks[self.baseline], colour=looks[self.owner(looks)].colour)


def levels(rows: pd.DataFrame) -> list[Level]:
    """The distinct values of baselines, each with the models it holds for.

    Args:
        rows: Columns model (the baseline), mean, and other_model (for which model; null: for all),
            of one measure and data set.

    Returns:
        One per baseline where all values agree to rounding, else one per distinct value.

    Example:
        >>> rows = pd.DataFrame({"model": "uniform attention", "other_model": ["A", "B", "C"]})
        >>> [level.name for level in levels(rows.assign(mean=[26.5, 26.5, 13.0]))]
        ['uniform attention of A and B', 'uniform attention of C']
        >>> levels(rows.assign(mean=26.5))
        [Level(baseline='uniform attention', value=26.5, models=())]
    """
    found = []
    for baseline, each in rows.groupby("model", sort=False, observed=True):
        owners = each["other_model"] if "other_model" in each else [None] * len(each)
        values: dict[float, list[str]] = {}
        for value, owner in zip(each["mean"].astype(float), owners, strict=True):
            known = (v for v in values if math.isclose(v, value, rel_tol=SAME, abs_tol=SAME**2))
            values.setdefault(next(known, value), []).extend([owner] if _is_name(owner) else [])
        differ = len(values) > 1
        for value, models in values.items():
            chosen = tuple(dict.fromkeys(models)) if differ else ()
            found.append(Level(str(baseline), value, chosen))
    return found


def parts_by_grid(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Rows of one baseline apart by the models they hold for, as lines of a table.

    Args:
        rows: Of one model or baseline and data set, with the column `column`.
        columns: The table's columns.

    Returns:
        By name one row per column at most. A model, or a baseline whose values agree, is one part.
    """
    name = str(rows["model"].iloc[0])
    sets = [level for c in columns for level in levels(rows[rows["column"] == c]) if level.models]
    parts = {name: rows.drop_duplicates("column", keep="last")} if not sets else {}
    for level in sets:
        of_first = rows["other_model"].isna() | (rows["other_model"] == level.models[0])
        parts.setdefault(level.name, rows[of_first].drop_duplicates("column", keep="last"))
    return parts


def of_models_shown(baselines: pd.DataFrame, models: Collection[str]) -> pd.DataFrame:
    """Rows of baselines without those of models that are not shown."""
    owner = baselines["other_model"].astype(object)
    return baselines[owner.isna() | owner.isin(list(models))]


def _is_name(owner: object) -> bool:
    return isinstance(owner, str)
