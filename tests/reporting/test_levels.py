"""Uniform attention depends on the patch grid: no value of one grid is shown for another."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tests.reporting.page_reader import Page
from tests.reporting.synthetic import results
from vitscope.axes import PatchGrid
from vitscope.measures import ATTENTION_DISTANCE, KEY_ENTROPY
from vitscope.measures.attention_distance import uniform_distance
from vitscope.reporting import facts, figures, highlights, report
from vitscope.reporting.gather import models_of
from vitscope.reporting.levels import Level, levels
from vitscope.reporting.plates import PLATE_KEYS, plates_of
from vitscope.reporting.style import UNIFORM, looks_of
from vitscope.rows import Rows
from vitscope.table import Table, concat

SMALL, LARGE = PatchGrid(3, 5, 4, 4), PatchGrid(3, 5, 8, 8)  # of 15 patches, as far apart or twice
KEYS = ["attention_distance", "normalized_mutual_information"]


def measured(model, grid):
    """The rows that measuring one model leaves, its attention three quarters of uniform."""
    rows = Rows(SimpleNamespace(name=model, grid=grid), SimpleNamespace(name="d"))
    noise = np.random.default_rng(0).normal(size=7)
    value = 0.75 * uniform_distance(grid) * (1 + 0.01 * (noise - noise.mean()))
    rows.add(("attention_distance", "canonical", "attention", 1, None), value, np.arange(7))
    return rows.table([ATTENTION_DISTANCE, KEY_ENTROPY])


def late_text(table):
    late = highlights.late_rows(table)
    return " ".join(highlights.late_sentences(late, late.summary(by=highlights.GROUP)))


def drawn_levels(table):
    """Colours of the dashed lines by height, and the words of the legend."""
    plate = next(p for p in plates_of(table.summary(by=PLATE_KEYS), {}) if "distance" in p.name)
    looks = looks_of(models_of(table))
    drawn = figures.depth_curve(plate.rows, Figure().subplots(), looks)
    flat = {
        line.get_ydata()[0]: to_hex(line.get_color()) for line in drawn.lines if line.is_dashed()
    }
    return flat, [e.name for e in figures.legend(plate.rows, looks) if e.value is not None], looks


def test_a_baseline_row_says_whose_patch_grid_it_is():
    table = concat([measured("A", SMALL), measured("B", LARGE)]).select(model=UNIFORM)
    own = table.select(measure="attention_distance").frame.set_index("other_model")["value"]
    assert own["A"] == pytest.approx(uniform_distance(SMALL))
    assert own["B"] == pytest.approx(2 * own["A"])


def test_models_of_one_grid_share_a_grey_line():
    flat, names, looks = drawn_levels(concat([measured("A", SMALL), measured("B", SMALL)]))
    assert list(flat) == [pytest.approx(uniform_distance(SMALL))]
    assert list(flat.values()) == [looks[UNIFORM].colour]
    assert names == ["uniform attention"]


def test_models_of_different_grids_have_a_line_each_in_their_colour():
    tables = [measured("A", SMALL), measured("B", LARGE), measured("C", LARGE)]
    flat, names, looks = drawn_levels(concat(tables))
    assert sorted(flat) == pytest.approx([uniform_distance(SMALL), uniform_distance(LARGE)])
    assert [flat[value] for value in sorted(flat)] == [looks["A"].colour, looks["B"].colour]
    assert names == ["uniform attention of A", "uniform attention of B and C"]


def test_lines_of_models_that_are_not_shown_are_left_out():
    table = concat([measured("A", SMALL), measured("B", LARGE)]).select(model=["A", UNIFORM])
    flat, names, _ = drawn_levels(table)
    assert list(flat) == [pytest.approx(uniform_distance(SMALL))] and names == [UNIFORM]


def test_values_that_differ_by_rounding_are_one_level():
    rows = pd.DataFrame({"model": UNIFORM, "other_model": ["A", "B"]})
    nearby = float(np.nextafter(np.float32(26.5), np.float32(27)))
    assert levels(rows.assign(mean=[26.5, nearby])) == [Level(UNIFORM, 26.5)]
    assert len(levels(rows.assign(mean=[26.5, 26.51]))) == 2


def test_key_numbers_of_uniform_attention_are_told_per_grid():
    late = highlights.late_rows(concat([measured("A", SMALL), measured("B", LARGE)]))
    table = facts.late_table(late.summary(by=highlights.GROUP), models_of(late), {})
    numbers = {label: cells[0].value for label, _, cells in table.lines}
    of = {model: float(numbers[f"uniform attention of {model}"]) for model in "AB"}
    assert of["B"] == pytest.approx(2 * of["A"], rel=1e-3) and UNIFORM not in numbers
    assert "compare each distance in px with the one of uniform attention" in table.note
    one = highlights.late_rows(concat([measured("A", SMALL), measured("B", SMALL)]))
    table = facts.late_table(one.summary(by=highlights.GROUP), models_of(one), {})
    assert [label for label, *_ in table.lines].count(UNIFORM) == 1 and not table.note


def test_distances_on_different_grids_are_ranked_relative_to_uniform_attention():
    """A is twice as far as B in px, and equally far relative to its grid; C is nearer on both."""
    tables = [measured("A", LARGE), measured("B", SMALL), measured("C", LARGE)]
    tables[2].frame.loc[tables[2].frame["model"] == "C", "value"] *= 0.8
    text = late_text(concat(tables))
    assert text.startswith("Relative to uniform attention on each model's own patch grid, late")
    assert "nearest in C (0.6" in text and "farthest" not in text and "px" not in text
    assert "does not tell" in late_text(concat(tables[:2]))
    one_grid = late_text(concat([tables[0], tables[2]]))
    assert "farthest in A" in one_grid and "px" in one_grid and "elative" not in one_grid


def test_distances_are_not_compared_if_uniform_attention_is_not_known_for_each_grid():
    table = concat([measured("A", LARGE), measured("B", SMALL)]).select(model=["A", "B"])
    assert "cannot be compared" not in late_text(table)
    table.notes["models"] = {"A": {"image_size": "24x40"}, "B": {"image_size": "12x20"}}
    assert "in px cannot be compared between A and B" in late_text(table)
    assert "nearest" not in late_text(table)


def test_attention_is_called_uniform_by_the_grid_of_its_own_model():
    """Without a variant, as measuring writes baselines; each value is uniform for one model."""
    frames = []
    for model, value, uniform in (("A", 26.5, 26.5), ("B", 26.5, 53.0), ("C", 53.0, 53.0)):
        rows = {"dataset": "d", "variant": "canonical", "layer": 1, "image": range(3)}
        for measure, number in zip(KEYS, (value, 0.0), strict=True):
            frames.append(
                pd.DataFrame(rows | {"model": model, "measure": measure, "value": number})
            )
        own = {"model": UNIFORM, "other_model": model, "dataset": "d", "value": [uniform]}
        frames.append(pd.DataFrame(own | {"measure": "attention_distance"}))
    summary = Table(pd.concat(frames)).summary(by=PLATE_KEYS)
    assert highlights.uniform_depths(summary) == {"A": [1], "C": [1]}
    rows = {"dataset": "d", "variant": "canonical", "layer": 1, "measure": "row_entropy"}
    entropies = [
        pd.DataFrame(rows | {"model": model, "image": range(3), "value": value})
        for model, value in (("A", 0.85), ("C", 0.99))
    ]
    summary = Table(pd.concat([*frames, *entropies])).summary(by=PLATE_KEYS)
    assert highlights.uniform_depths(summary) == {"C": [1]}  # A shares one weak focus


def test_the_page_tells_sizes_and_a_line_per_grid(tmp_path):
    parts = []
    for model, value, size in (("run:cl_v3", 26.5, "40x40"), ("MIM", 13.25, "20x24")):
        table = results({model: "cl"}).select(measure=KEYS, variant="canonical")
        frame = table.frame
        uniform = (frame["model"] == UNIFORM) & (frame["measure"] == KEYS[0])
        frame.loc[uniform, "value"] = value
        frame["other_model"] = model
        frame.loc[frame["model"] != UNIFORM, "other_model"] = None
        table.notes["models"][model] |= {"image_size": size, "patch_size": "8x8"}
        parts.append(Table(frame, table.notes))
    page = Page.read(report(parts, tmp_path))
    compared = page.find_all("table")[0].text
    assert "40 × 40 px" in compared and "20 × 24 px" in compared and "8 × 8 px" in compared
    keys = [key.text for key in page.figure(KEYS[0]).find_all("li")]
    assert keys[-2:] == ["uniform attention of run:cl_v3 26.5", "uniform attention of MIM 13.25"]
    assert "uniform attention of MIM: 13.25 throughout" in page.source
