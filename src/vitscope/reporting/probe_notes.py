"""How the probes were made, from the notes that evaluation leaves: their settings, and chance."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from vitscope.reporting.best_probe import PROBE
from vitscope.reporting.gather import part
from vitscope.reporting.style import CHANCE
from vitscope.reporting.wording import plain_text, runs_of
from vitscope.table import Table, concat


@dataclass(frozen=True)
class ProbeSettings:
    """How the probes on one data set were made.

    Args:
        dataset: The images that scored.
        common: What holds for every model, as names and texts.
        models: Per model the rest.
    """

    dataset: str
    common: list[tuple[str, str]]
    models: list[tuple[str, list[tuple[str, str]]]]


def probe_settings(table: Table) -> list[ProbeSettings]:
    """Settings per data set; those of the note `probe MODEL on DATASET` of the models in rows."""
    found = []
    for dataset, noted in _noted(table).items():
        texts = {}
        for model, facts in noted.items():
            rows = table.select(measure=PROBE, model=model, dataset=dataset).frame
            texts[model] = _texts(facts, rows["layer"].unique().tolist())
        first, *others = texts.values()
        common = [pair for pair in first.items() if all(pair in o.items() for o in others)]
        rest = [(m, [pair for pair in t.items() if pair not in common]) for m, t in texts.items()]
        found.append(ProbeSettings(dataset, common, [pair for pair in rest if pair[1]]))
    return found


def with_chance(table: Table) -> Table:
    """The same with a row per probed data set: guessing is right once in `num_classes` times.

    That holds whatever the shares of the classes. Data sets that have such a row, or whose probes
    note no number of classes or several, get none.
    """
    probes = table.frame[table.frame["measure"] == PROBE]
    known = set(probes.loc[probes["model"] == CHANCE, "dataset"])
    found = []
    for dataset, noted in _noted(table).items():
        numbers = [facts["num_classes"] for facts in noted.values() if "num_classes" in facts]
        if dataset in known or not numbers or any(n != numbers[0] for n in numbers):
            continue
        if isinstance(numbers[0], int):
            found.append({"dataset": dataset, "value": 1 / numbers[0]})
    if not found:
        return table
    rows = pd.DataFrame(found).assign(model=CHANCE, measure=PROBE, unit="fraction")
    return concat([table, Table(rows)])


def _noted(table: Table) -> dict[str, dict[str, Mapping]]:
    """By data set and model, the settings of each probe in the rows that has some."""
    probes = table.frame.loc[table.frame["measure"] == PROBE, ["model", "dataset"]].dropna()
    found: dict[str, dict[str, Mapping]] = {}
    for model, dataset in probes.drop_duplicates().itertuples(index=False):
        if facts := part(table.notes, f"probe {model} on {dataset}"):
            found.setdefault(dataset, {})[model] = facts
    return found


def _texts(facts: Mapping, layers: list) -> dict[str, str]:
    """Settings by name; the strengths of each pooling have an entry of their own."""
    found = {}
    for name, value in facts.items():
        if name == "strengths" and isinstance(value, Mapping):
            for pooling, strengths in value.items():
                found[f"strength, {pooling}"] = _strengths_text(strengths, layers)
        else:
            found[str(name)] = plain_text(value)
    return found


def _strengths_text(strengths: object, layers: list) -> str:
    """Ridge strengths by depth, equal ones together; as they are if they fit no depths.

    Example:
        >>> _strengths_text([0.1, 10.0, 0.1], [0, 1, 2])
        '0.1 at depth 0, 2, 10 at depth 1'
    """
    if not isinstance(strengths, list) or len(strengths) != len(layers) or pd.isna(layers).any():
        return plain_text(strengths)
    depths: dict[float, list[int]] = {}
    for strength, layer in zip(strengths, layers, strict=True):
        depths.setdefault(strength, []).append(int(layer))
    return ", ".join(f"{s:g} at depth {runs_of(at)}" for s, at in sorted(depths.items()))
