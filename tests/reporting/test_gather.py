"""Several Tables as one, and the key numbers and sentences that a page begins with."""

import doctest
import importlib
import pkgutil

import numpy as np
import pandas as pd
import pytest

import vitscope.reporting
from tests.reporting.synthetic import results
from vitscope.reporting import facts, highlights
from vitscope.reporting.gather import gathered, models_of
from vitscope.reporting.plates import PLATE_KEYS
from vitscope.table import Exhibit, Table


def notes_of(name, **model_facts):
    return {"models": {name: model_facts}}


def rows(**columns):
    return pd.DataFrame({"model": ["CL"], "measure": ["m"], "value": [1.0]} | columns)


@pytest.mark.parametrize(
    "name", [module.name for module in pkgutil.iter_modules(vitscope.reporting.__path__)]
)
def test_examples_in_docstrings_hold(name):
    module = importlib.import_module(f"vitscope.reporting.{name}")
    assert doctest.testmod(module).failed == 0


def test_notes_of_all_tables_are_kept():
    first = Table(
        rows(), notes_of("CL", spec="a") | {"versions": {"torch": "1"}, "warnings": ["x"]}
    )
    second = Table(
        rows(model=["MIM"]),
        notes_of("MIM", spec="b") | {"versions": {"torch": "2"}, "warnings": ["x", "y"]},
    )
    both = gathered([first, second])
    assert set(both.notes["models"]) == {"CL", "MIM"}
    assert both.notes["versions"] == {"torch": ["1", "2"]}
    assert both.notes["warnings"] == ["x", "y"]
    assert models_of(both) == ["CL", "MIM"]


def test_one_name_for_two_models_is_refused():
    first = Table(rows(), notes_of("CL", sha256="aa"))
    second = Table(rows(), notes_of("CL", sha256="bb"))
    with pytest.raises(ValueError, match="two that differ in sha256"):
        gathered([first, second])


def test_the_first_of_two_exhibits_of_one_name_is_kept():
    exhibits = [Exhibit("other", "CL", {"x": np.full(1, value)}) for value in (3, 5)]
    table = gathered([Table(rows(), {}, (exhibit,)) for exhibit in exhibits])
    assert [exhibit.arrays["x"].item() for exhibit in table.exhibits] == [3]


@pytest.mark.parametrize(("depth", "late"), [(12, [9, 10, 11, 12]), (7, [5, 6, 7]), (2, [2])])
def test_late_layers_are_the_last_third_of_depth(depth, late):
    frame = pd.DataFrame(
        {
            "model": "CL",
            "measure": "attention_distance",
            "variant": "canonical",
            "site": "attention",
            "layer": range(1, depth + 1),
            "image": 0,
            "value": 1.0,
        }
    )
    table = Table(frame)
    assert sorted(highlights.late_rows(table).frame["layer"]) == late
    # A model of which only the first layers were measured has no late ones.
    noted = Table(frame, notes_of("CL", depth=10 * depth))
    assert highlights.late_rows(noted).frame.empty


def test_late_numbers_average_late_layers_of_the_canonical_variant():
    table = results({"CL": "cl"})
    late = highlights.late_rows(table)
    summary = late.summary(by=highlights.GROUP).set_index(["model", "measure"])
    frame = table.frame
    wanted = frame[
        (frame["model"] == "CL")
        & (frame["measure"] == "token_similarity")
        & (frame["variant"] == "canonical")
        & (frame["site"] == "tokens")
        & (frame["layer"] >= 5)
    ]
    found = summary.loc[("CL", "token_similarity"), "mean"]
    assert found == pytest.approx(wanted["value"].mean(), rel=1e-6)
    assert summary.loc[("uniform attention", "attention_distance"), "mean"] == 26.5


def test_the_best_depth_is_the_highest_mean_over_depths_and_poolings():
    found = []
    for variant, layer, hits in (("mean", 0, 2), ("mean", 1, 5), ("cls", 1, 7), ("cls", 2, 3)):
        values = [1.0] * hits + [0.0] * (11 - hits)
        found.append(
            rows()
            .assign(value=None)
            .drop(columns="value")
            .merge(pd.DataFrame({"value": values, "image": range(11)}), how="cross")
            .assign(variant=variant, layer=layer)
        )
    frame = pd.concat(found).assign(measure="linear_probe_accuracy", dataset="shape")
    (best,) = highlights.best_depths(Table(frame)).to_dict("records")
    assert (best["layer"], best["variant"]) == (1, "cls")
    assert best["mean"] == pytest.approx(7 / 11)


def test_sentences_name_the_extremes_and_their_numbers():
    table = results({"A": "mim", "B": "cl", "C": "both"}, num_images=31)
    late = highlights.late_rows(table)
    text = " ".join(highlights.late_sentences(late, late.summary(by=highlights.GROUP)))
    assert "Late layers look farthest in B (" in text
    assert "nearest in A (" in text
    assert "uniform attention: 26.5 px" in text


def test_models_whose_difference_spans_zero_are_not_ranked():
    table = results({"A": "cl", "B": "cl"}, num_images=5)
    frame = table.frame
    twin = frame[frame["model"] == "A"].assign(model="B")
    noise = np.random.default_rng(0).normal(size=len(twin)).astype(np.float32)
    twin = twin.assign(value=twin["value"] + noise)
    late = highlights.late_rows(Table(pd.concat([frame[frame["model"] == "A"], twin])))
    text = " ".join(highlights.late_sentences(late, late.summary(by=highlights.GROUP)))
    assert "Attention distance does not tell the late layers of" in text


def test_uniform_attention_is_told_and_not_ranked():
    table = results({"A": "uniform", "B": "cl", "C": "mim", "D": "uniform"})
    uniform = highlights.uniform_depths(table.summary(by=PLATE_KEYS))
    assert uniform == {"A": [1, 2, 3, 4, 5, 6, 7], "D": [1, 2, 3, 4, 5, 6, 7]}
    one, _, both = highlights.uniform_sentences(uniform)
    assert "At depth 1–7 the attention of A cannot be told from uniform attention" in one
    assert "differences between A and D" in both
    late = highlights.late_rows(table)
    summary = late.summary(by=highlights.GROUP)
    text = " ".join(highlights.late_sentences(late, summary, set(uniform)))
    assert "farthest in B" in text


def test_key_numbers_are_written_with_their_interval():
    table = results({"CL": "cl", "random init": "random"})
    late = highlights.late_rows(table)
    summary = late.summary(by=highlights.GROUP)
    shown = facts.late_table(summary, models_of(table), table.notes["measures"])
    assert shown.columns[0] == "Attention distance (px)"
    lines = {model: cells for _, model, cells in shown.lines}
    assert lines["uniform attention"][0].value == "26.5"
    assert lines["CL"][0].interval.startswith("[") and lines["CL"][0].interval.endswith("]")
    low, mean, high = (lines["CL"][0].places[i] for i in (1, 0, 2))
    assert 0 <= low < mean < high <= 100
