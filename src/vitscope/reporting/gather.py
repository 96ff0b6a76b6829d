"""Several Tables as one: rows, notes and exhibits, so that a report speaks of all of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from vitscope.reporting.style import BASELINES
from vitscope.table import Exhibit, Table, concat

RANDOM = "random weights"  # what models of the source `random:` note as their branch

PICTURES = "image height width 3"
FORMS = {  # axes of the arrays of each exhibit that the page draws
    "attention_maps": {
        "images": PICTURES,
        "queries": "image query 2",
        "maps": "image query depth row column",
    },
    "reconstructions": {"original": PICTURES, "masked": PICTURES, "reconstruction": PICTURES},
}
# Facts that tell two models apart: under one name they would be averaged into one curve.
IDENTITY = ("sha256", "spec", "branch", "num_parameters", "depth", "num_heads")


def gathered(tables: Table | Sequence[Table]) -> Table:
    """All rows, notes and exhibits of one or several Tables.

    Args:
        tables: At least one Table. Rows measured twice are averaged per image, as usual.

    Returns:
        A Table. Notes are merged entry by entry; where two Tables disagree on a setting or a
        version, the entry becomes the list of both. Of exhibits with the same name and model the
        first is kept.

    Raises:
        ValueError: If there is no Table or no row, if one name stands for two models or for two
            sets of images, or if a model has the name of a baseline.
    """
    tables = [tables] if isinstance(tables, Table) else list(tables)
    table = concat(tables)
    if not len(table) and not table.exhibits:
        raise ValueError(
            f"expected Tables with rows or exhibits to report on, got {len(tables)} without any; "
            "measure a model first"
        )
    _refuse_namesakes(tables)
    _refuse_other_images(table)
    _refuse_reserved(table)
    for exhibit in table.exhibits:
        _check(exhibit)
    exhibits: dict[tuple[str, str], Exhibit] = {}
    for exhibit in table.exhibits:
        exhibits.setdefault((exhibit.name, exhibit.model), exhibit)
    return Table(table.frame, table.notes, tuple(exhibits.values()))


def models_of(table: Table) -> list[str]:
    """Every model in a Table: those with notes first, in their order, then in order of the rows."""
    with_rows = table.frame["model"].dropna().unique()
    shown = [exhibit.model for exhibit in table.exhibits]
    noted = [name for name in part(table.notes, "models") if name in {*with_rows, *shown}]
    return list(dict.fromkeys([*noted, *map(str, with_rows), *shown]))


def untrained(table: Table) -> set[str]:
    """Models whose notes say that their weights are random; without notes a model is trained."""
    noted = part(table.notes, "models")
    return {str(name) for name in noted if part(noted, name).get("branch") == RANDOM}


def part(notes: Mapping[str, object], name: str) -> Mapping:
    """One mapping of the notes; empty if it is missing."""
    found = notes.get(name)
    return found if isinstance(found, Mapping) else {}


def _check(exhibit: Exhibit) -> None:
    """Raise ValueError if a picture cannot be made from an exhibit of a known name."""
    for name, form in FORMS.get(exhibit.name, {}).items():
        array = exhibit.arrays.get(name)
        got = "no such array" if array is None else f"shape {array.shape}, {array.dtype}"
        if array is None or len(form.split()) != array.ndim or _is_no_picture(array, form):
            raise ValueError(
                f"expected exhibit {exhibit.name!r} of {exhibit.model!r} to hold {name!r} with "
                f"axes ({form}), uint8 for pictures; got {got}"
            )


def _is_no_picture(array: np.ndarray, form: str) -> bool:
    return form == PICTURES and (array.dtype != np.uint8 or array.shape[-1] != 3)


def _refuse_namesakes(tables: Sequence[Table]) -> None:
    known: dict[str, Mapping] = {}
    for table in tables:
        for name, facts in part(table.notes, "models").items():
            before = known.setdefault(name, facts)
            differ = [k for k in IDENTITY if k in before and k in facts and before[k] != facts[k]]
            if differ:
                key = differ[0]
                raise ValueError(
                    f"expected one model called {name!r}, got two that differ in {key} "
                    f"({before[key]!r} and {facts[key]!r}); give them different names"
                )


def _refuse_other_images(table: Table) -> None:
    """Images are paired by data set and number: under one name they must be the same images."""
    noted = part(table.notes, "data")
    for name in noted:
        prints = part(noted, name).get("fingerprint")
        if isinstance(prints, list | tuple):  # what `concat` makes of notes that disagree
            raise ValueError(
                f"expected one data set called {name!r}, got {len(prints)} with different images "
                f"(fingerprints {', '.join(map(str, prints))}); measure all models on the same "
                "images, or give the data sets different names and measure again"
            )


def _refuse_reserved(table: Table) -> None:
    has_layer = table.frame["layer"].notna()  # baselines are known without a layer
    measured = set(table.frame.loc[has_layer, "model"].dropna())
    shown = {exhibit.model for exhibit in table.exhibits}
    named = {*part(table.notes, "models"), *part(table.notes, "training")}
    taken = sorted((measured | shown | named) & set(BASELINES))
    if taken:
        raise ValueError(
            f"expected models with names of their own, got one called {taken[0]!r}, which is the "
            "name of a baseline; give the model another name"
        )
