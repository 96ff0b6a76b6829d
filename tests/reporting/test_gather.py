"""Several Tables as one, and the key numbers and sentences that a page begins with."""

import doctest
import importlib
import pkgutil

import numpy as np
import pandas as pd
import pytest

import vitscope.reporting
from tests.reporting.synthetic import results
from vitscope.reporting import best_probe_rows, facts, highlights
from vitscope.reporting.gather import gathered, models_of, untrained
from vitscope.reporting.plates import PLATE_KEYS
from vitscope.reporting.probe_notes import probe_settings, with_chance
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


def test_one_name_for_two_sets_of_images_is_refused():
    """They would be paired image by image as if they were the same."""
    noted = [{"data": {"tensor": {"num_images": 1, "fingerprint": text}}} for text in ("aa", "bb")]
    first, second = (Table(rows(model=[m]), n) for m, n in zip("AB", noted, strict=True))
    with pytest.raises(ValueError, match="'tensor', got 2 with different images"):
        gathered([first, second])
    same = Table(rows(model=["B"]), noted[0])
    unknown = Table(rows(model=["C"]), {"data": {"tensor": {"num_images": 1}}})
    assert len(gathered([first, same, unknown])) == 3


@pytest.mark.parametrize("name", ["chance", "raw pixels", "uniform attention"])
def test_a_model_with_the_name_of_a_baseline_is_refused(name):
    measured = Table(rows(model=[name], layer=[1]))
    noted = Table(rows(model=[name]), notes_of(name, spec="a"))
    shown = Table(exhibits=(Exhibit("other", name, {"x": np.zeros(1)}),))
    trained = Table(rows(), {"training": {name: []}})
    for table in (measured, noted, shown, trained):
        with pytest.raises(ValueError, match=f"'{name}', which is the name of a baseline"):
            gathered(table)
    assert len(gathered(Table(rows(model=[name])))) == 1  # the baseline itself


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


def probe_rows(hits, **columns):
    """Rows of a probe: per (pooling, layer) whether each image from 0 on was classified right."""
    found = [
        pd.DataFrame({"variant": variant, "layer": layer, "image": range(len(right))})
        .assign(value=np.asarray(right, dtype=float))
        .assign(**{"model": "CL", "dataset": "shape", "measure": "linear_probe_accuracy"} | columns)
        for (variant, layer), right in hits.items()
    ]
    return pd.concat(found)


def test_even_test_images_choose_the_best_probe_and_odd_ones_score_it():
    hits = {
        ("mean", 0): [1, 1] * 2
        + [0, 1] * 3
        + [0],  # the best on odd images, and the highest in all
        ("cls", 1): [1, 1] + [1, 0] * 4 + [0],
        ("cls", 2): [1, 0] * 2 + [0] * 7,
    }
    other = probe_rows({("mean", 3): [1, 0, 1, 1, 0, 0, 0]}, dataset="texture")
    table = Table(pd.concat([probe_rows(hits), other]))
    shape, texture = highlights.best_depths(table).to_dict("records")
    assert (shape["layer"], shape["variant"], shape["num_images"]) == (1, "cls", 5)
    assert shape["mean"] == pytest.approx(1 / 5)
    assert (texture["layer"], texture["num_images"]) == (3, 3)
    assert texture["mean"] == pytest.approx(1 / 3)
    assert set(best_probe_rows(table).frame["image"]) == {1, 3, 5, 7, 9}


def test_probes_without_a_layer_and_values_without_an_image_have_a_best_too():
    pixels = probe_rows({("ridge", None): [1, 1, 0, 0]}, model="raw pixels")
    chance = pd.DataFrame({"model": ["chance"], "value": [0.25], "dataset": ["shape"]})
    chance["measure"] = "linear_probe_accuracy"
    one_image = probe_rows({("mean", 0): [1]}, model="MIM")
    best = highlights.best_depths(Table(pd.concat([pixels, chance, one_image])))
    assert dict(zip(best["model"], best["mean"], strict=True)) == {
        "raw pixels": 0.5,
        "chance": 0.25,
    }


def test_the_page_says_that_other_images_chose_the_best_probe():
    table = results({"CL": "cl", "random init": "random"})
    best = highlights.best_depths(table)
    assert "even numbers" in facts.probe_table(best, models_of(table)).note
    sentences = list(highlights.probe_sentences(best, {"CL": 7}, {"random init"}))
    assert len(sentences) == 2
    for text in sentences:
        assert "in CL (" in text and "random" not in text
        assert "one half of the test images chose depth and pooling" in text


def test_models_are_untrained_if_their_notes_say_so_whatever_their_name():
    table = Table(rows(), notes_of("mine", branch="random weights"))
    table.notes["models"]["random_crop_run"] = {"branch": "encoder"}
    table.notes["models"]["random_unknown"] = {}
    assert untrained(table) == {"mine"}


def test_chance_is_one_in_the_number_of_classes_that_the_probe_notes():
    table = Table(probe_rows({("mean", 1): [1, 0, 1]}))
    assert "chance" not in models_of(with_chance(table))
    table.notes["probe CL on shape"] = {"num_classes": 5}
    (row,) = with_chance(table).select(model="chance").frame.to_dict("records")
    assert row["value"] == pytest.approx(1 / 5) and row["dataset"] == "shape"
    assert len(with_chance(with_chance(table)).select(model="chance")) == 1
    table.notes["probe CL on shape"] = {"num_classes": [5, 7]}  # two Tables disagree
    assert "chance" not in models_of(with_chance(table))


def test_settings_of_probes_are_told_once_where_they_agree():
    hits = {("ridge, mean", layer): [1, 0] for layer in (0, 3, 4)}
    table = Table(pd.concat([probe_rows(hits), probe_rows(hits, model="MIM")]))
    for model, strengths in (("CL", [0.1, 10.0, 0.1]), ("MIM", [1.0, 1.0, 1.0])):
        chosen = {"protocol": "ridge", "num_train": 31, "strengths": {"mean": strengths}}
        table.notes[f"probe {model} on shape"] = chosen
    (shown,) = probe_settings(table)
    assert shown.dataset == "shape"
    assert shown.common == [("protocol", "ridge"), ("num_train", "31")]
    assert dict(shown.models) == {
        "CL": [("strength, mean", "0.1 at depth 0, 4, 10 at depth 3")],
        "MIM": [("strength, mean", "1 at depth 0, 3–4")],
    }


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


def late_text(values, num_images=31):
    """The sentence on attention distance of models whose images have these values, plus noise."""
    shared = np.random.default_rng(0).normal(size=num_images)
    frames = []
    for number, (model, (mean, noise)) in enumerate(values.items()):
        own = noise * np.random.default_rng(number + 1).normal(size=num_images)
        facts = {"model": model, "dataset": "d", "measure": "attention_distance", "unit": "px"}
        facts |= {"variant": "canonical", "site": "attention", "layer": 3}
        frame = pd.DataFrame(
            {"image": range(num_images), "value": mean + shared + own - own.mean()}
        )
        frames.append(frame.assign(**facts))
    late = highlights.late_rows(Table(pd.concat(frames)))
    (text,) = highlights.late_sentences(late, late.summary(by=highlights.GROUP))
    return text


def test_a_model_is_farthest_only_if_told_apart_from_every_other_one():
    both = late_text({"A": (5, 0.1), "B": (4, 0.1), "C": (3, 0.1)})
    assert "farthest in A (" in both and "nearest in C (" in both
    bottom = late_text({"A": (5, 0.5), "B": (4.98, 0.5), "C": (3, 0.1)})
    assert "farthest" not in bottom and "Late layers look nearest in C (" in bottom
    top = late_text({"A": (5, 0.1), "B": (3.02, 0.5), "C": (3, 0.5)})
    assert "Late layers look farthest in A (" in top and "nearest" not in top
    middle = late_text({"A": (5, 0.5), "B": (4.98, 0.5), "C": (3.02, 0.5), "D": (3, 0.5)})
    assert "is higher in A (" in middle and "than in D (" in middle
    assert "neither is told apart from all other models" in middle


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
