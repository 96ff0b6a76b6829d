"""What the page says about models, data, settings and versions; and its tables of key numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from vitscope.reporting.best_probe import CHOICE
from vitscope.reporting.gather import part
from vitscope.reporting.levels import levels, parts_by_grid
from vitscope.reporting.style import UNIFORM
from vitscope.reporting.uniform import DISTANCE
from vitscope.reporting.wording import (
    axis_label,
    count_text,
    counts_text,
    json_text,
    plain_text,
    title_of,
    value_text,
)
from vitscope.table import Table

OWN_GRID = (
    "The models differ in input size or patch grid, and so does the attention distance of uniform "
    "attention: compare each distance in px with the one of uniform attention of the same model."
)


@dataclass(frozen=True)
class Cell:
    """A number in a table of key numbers.

    Args:
        value: The mean as text.
        interval: Its interval as text; empty if it has none.
        remark: Where it was found, such as a depth.
        places: Mean, low and high as percent of the column's range, for the small mark below.
    """

    value: str = "–"
    interval: str = ""
    remark: str = ""
    places: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class KeyTable:
    """Models by numbers.

    Args:
        title: What the numbers are.
        columns: Heads.
        lines: Per model (and data set) a label, the model, and a cell per column.
        note: What a reader should know of them; "" for nothing.
    """

    title: str
    columns: list[str]
    lines: list[tuple[str, str, list[Cell]]]
    note: str = ""


def late_table(summary: pd.DataFrame, models: Sequence[str], declared: Mapping) -> KeyTable | None:
    """Key measures in the last third of depth, one column each; None without any."""
    if summary.empty:
        return None
    columns = list(dict.fromkeys(summary["measure"]))
    heads = []
    for measure in columns:
        unit = summary.loc[summary["measure"] == measure, "unit"].iloc[0]
        heads.append(axis_label(title_of(measure, declared), unit))
    remarks = [""] * len(summary)
    is_uniform = (summary["measure"] == DISTANCE) & (summary["model"] == UNIFORM)
    distances = summary[is_uniform]
    return KeyTable(
        "Late layers (last third of depth)",
        heads,
        _lines(summary.assign(column=summary["measure"], remark=remarks), columns, models),
        OWN_GRID if any(level.models for level in levels(distances)) else "",
    )


def probe_table(best: pd.DataFrame, models: Sequence[str]) -> KeyTable | None:
    """Best probe accuracy per labels, with depth and pooling; None without any."""
    if best.empty:
        return None
    remarks = [
        f"depth {layer:.0f} · {variant}" if pd.notna(layer) else ""
        for layer, variant in zip(best["layer"], best["variant"], strict=True)
    ]
    columns = list(dict.fromkeys(best["dataset"]))
    rows = best.assign(column=best["dataset"], dataset="", remark=remarks)
    heads = [str(column) for column in columns]
    return KeyTable(
        "Best linear probe (accuracy)",
        heads,
        _lines(rows, columns, models),
        f"{CHOICE} Curves by depth show all test images.",
    )


def _lines(
    rows: pd.DataFrame, columns: Sequence[str], models: Sequence[str]
) -> list[tuple[str, str, list[Cell]]]:
    several = rows["dataset"].nunique() > 1
    spans = {
        name: (part_["low"].min(), part_["high"].max()) for name, part_ in rows.groupby("column")
    }
    lines = []
    for dataset in dict.fromkeys(rows["dataset"]):
        for model in models:
            here = rows[(rows["model"] == model) & (rows["dataset"] == dataset)]
            if here.empty:
                continue
            for name, rows_ in parts_by_grid(here, columns).items():
                found = {r["column"]: _cell(r, spans[r["column"]]) for _, r in rows_.iterrows()}
                label = f"{name} · {dataset}" if several else name
                lines.append((label, model, [found.get(each, Cell()) for each in columns]))
    return lines


def _cell(row: pd.Series, span: tuple[float, float]) -> Cell:
    value, _, interval = value_text(row["mean"], row["low"], row["high"]).partition(" ")
    width = span[1] - span[0]
    places = None
    if width > 0:
        mean, low, high = (100 * (row[name] - span[0]) / width for name in ("mean", "low", "high"))
        places = round(mean, 1), round(low, 1), round(high, 1)
    return Cell(value, interval, row["remark"], places)


def model_facts(table: Table, models: Sequence[str]) -> list[dict[str, str]]:
    """Per model with notes: name, spec, depth, heads, sizes, parameters, hash and card."""
    found = []
    for name in models:
        facts = part(table.notes, "models").get(name)
        if not isinstance(facts, Mapping):
            continue
        number = facts.get("num_parameters")
        found.append(
            {
                "name": name,
                "spec": plain_text(facts.get("spec", "–")),
                "depth": plain_text(facts.get("depth", "–")),
                "heads": plain_text(facts.get("num_heads", "–")),
                "image_size": _pixels(facts.get("image_size")),
                "patch_size": _pixels(facts.get("patch_size")),
                "parameters": count_text(number) if isinstance(number, int | float) else "–",
                "sha256": plain_text(facts.get("sha256", "")),
                "card": json_text(facts["card"]) if facts.get("card") else "",
            }
        )
    return found


def _pixels(size: object) -> str:
    """A size noted as "height x width", in pixels."""
    return f"{plain_text(size).replace('x', ' × ')} px" if size else "–"


def data_facts(table: Table) -> list[dict[str, str]]:
    """Per data set: name, spec and number of images, from notes or else from the rows."""
    rows = table.frame[table.frame["image"].notna()]
    counted = rows.groupby("dataset", observed=True)["image"].nunique()
    noted = part(table.notes, "data")
    found = []
    for name in dict.fromkeys([*noted, *map(str, counted.index)]):
        facts = noted.get(name, {})
        number = facts.get("num_images", counted.get(name))
        spec = plain_text(facts.get("spec") or "–")
        found.append({"name": str(name), "spec": spec, "images": counts_text(number)})
    return found


def settings(table: Table, name: str) -> list[tuple[str, str]]:
    """One mapping of the notes as names and texts."""
    return [(str(key), plain_text(value)) for key, value in part(table.notes, name).items()]


def texts(table: Table, name: str) -> list[str]:
    """One note that is a text or a list of them."""
    value = table.notes.get(name)
    values = value if isinstance(value, list | tuple) else [value]
    return [str(each) for each in values if each not in (None, "")]


def sources(table: Table) -> list[tuple[str, str]]:
    """Where each measure in the rows is defined, as far as the notes say."""
    declared = part(table.notes, "measures")
    found = []
    for measure in table.frame["measure"].dropna().unique():
        facts = declared.get(measure, {})
        if facts.get("source"):
            found.append((title_of(str(measure), declared), str(facts["source"])))
    return found
