"""What is drawn: lines, bands and baselines from the rows, pictures from the arrays."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tests.reporting.synthetic import results
from vitscope.reporting import figures, pictures
from vitscope.reporting.gather import untrained
from vitscope.reporting.plates import PLATE_KEYS, plates_of, training_plate
from vitscope.reporting.sections import sections_of
from vitscope.reporting.style import (
    COLOURS,
    DARK_PAPER,
    MARKERS,
    PAPER,
    UNIFORM,
    dark_counterparts,
    looks_of,
)
from vitscope.reporting.svg import colours_in
from vitscope.table import Exhibit


@pytest.fixture(scope="module")
def summary():
    return results().summary(by=PLATE_KEYS)


def axes():
    return Figure().subplots()


def rows_of(summary, measure, **columns):
    for name, value in {"measure": measure, "variant": "canonical", **columns}.items():
        summary = summary[summary[name] == value]
    return summary


def lines_with(drawn, colour):
    return [line for line in drawn.lines if to_hex(line.get_color()) == colour]


def test_a_curve_goes_through_the_means_and_its_band_through_the_interval(summary):
    rows = rows_of(summary, "row_entropy", model="CL")
    drawn = figures.depth_curve(rows, axes())
    np.testing.assert_array_equal(drawn.lines[0].get_xdata(), range(1, 8))
    np.testing.assert_array_equal(drawn.lines[0].get_ydata(), rows["mean"])
    corners = drawn.collections[0].get_paths()[0].vertices
    for layer, low, high in zip(rows["layer"], rows["low"], rows["high"], strict=True):
        at = set(corners[corners[:, 0] == layer, 1])
        assert at == {low, high}


def test_after_attention_lies_between_two_blocks(summary):
    rows = rows_of(summary, "token_similarity", model="CL")
    line = figures.depth_curve(rows, axes()).lines[0]
    np.testing.assert_array_equal(line.get_xdata(), np.arange(0, 7.5, 0.5))
    at_half = rows[(rows["site"] == "after_attention") & (rows["layer"] == 3)]["mean"].item()
    assert line.get_ydata()[5] == at_half


def test_uniform_attention_is_dashed_and_level_and_random_is_dotted_grey(summary):
    rows = rows_of(summary, "attention_distance")
    looks = looks_of(rows["model"], untrained={"random init"})
    drawn = figures.depth_curve(rows, axes(), looks)
    (level,) = [line for line in drawn.lines if set(line.get_ydata()) == {26.5}]
    assert level.is_dashed() and looks[UNIFORM].line[1][0] > 3
    (dotted,) = lines_with(drawn, looks["random init"].colour)
    assert dotted.is_dashed() and looks["random init"].line[1][0] == 1


def test_a_ring_marks_the_best_depth(summary):
    rows = rows_of(summary, "linear_probe_accuracy", variant="ridge, cls", model="MIM")
    rows = rows[rows["dataset"] == rows["dataset"].iloc[0]]
    (ring,) = [line for line in figures.probe_curve(rows, axes()).lines if line.get_ms() == 11]
    assert ring.get_ydata() == rows["mean"].max()
    assert ring.get_xdata() == rows.loc[rows["mean"].idxmax(), "layer"]


def test_a_spectrum_has_one_line_per_depth(summary):
    rows = rows_of(summary, "fourier_spectrum", model="CL")
    drawn = figures.spectrum(rows, axes())
    assert len(drawn.lines) == 8
    assert len({to_hex(line.get_color()) for line in drawn.lines}) == 8
    assert drawn.get_xlabel() == "π rad/patch"
    drawn = figures.spectrum(rows.assign(coordinate_unit="π"), axes())
    assert drawn.get_xlabel() == "spatial frequency (units of π)"


def test_each_seed_has_its_own_line_and_name(summary):
    rows = rows_of(summary, "row_entropy", model="CL")
    both = pd.concat([rows.assign(seed=0.0), rows.assign(seed=1.0, mean=rows["mean"] + 1)])
    drawn = figures.depth_curve(both, axes())
    assert len([line for line in drawn.lines if line.get_ls() == "-"]) == 2
    assert set(figures.line_names(both)) == {"CL, seed 0", "CL, seed 1"}


def test_models_keep_their_colour_and_marker_in_every_figure(full):
    table, _, page = full
    looks = looks_of(table.notes["models"], untrained(table))
    for number, (name, look) in enumerate(looks.items()):
        for figure in page.find_all("figure"):
            for group in figure.find_all("g"):
                if group.attributes.get("class") == f"series series-{number}":
                    styles = " ".join(e.attributes.get("style", "") for e in group.every())
                    assert look.colour in styles, name


def test_colours_and_markers_differ_between_models():
    looks = looks_of([f"model {number}" for number in range(42)])
    assert len({(look.colour, look.marker) for look in looks.values()}) == 42
    assert len(set(COLOURS)) == 6 and len(set(MARKERS)) == 7


def contrast(first, second):
    """WCAG 2 contrast ratio of two hexadecimal colours."""
    luminances = []
    for colour in (first, second):
        srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        luminances.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def test_lines_stand_out_from_light_and_dark_pages():
    for light in COLOURS:
        assert contrast(light, PAPER) >= 3
        assert contrast(dark_counterparts()[light], DARK_PAPER) >= 3


def test_every_colour_on_the_page_has_a_dark_counterpart(full):
    _, _, page = full
    assert colours_in(page.source) <= set(dark_counterparts())
    assert not re.search(
        r"(?<!, )(?<!-)#[0-9a-f]{6}(?=[;\"])",
        "".join(
            str(e.attributes.get("style")) for svg in page.find_all("svg") for e in svg.every()
        ),
    )


def test_baselines_without_a_variant_of_their_own_join_every_figure(full):
    _, folder, _ = full
    for pooling in ("ridge-mean", "ridge-cls"):
        name = f"linear_probe_accuracy-{pooling}-world-independent-shape.csv"
        assert {"chance", "raw pixels"} <= set(pd.read_csv(folder / "data" / name)["model"])


def test_published_variants_stand_aside_where_the_canonical_one_is_shown(summary):
    sections = sections_of(plates_of(summary, {}))
    attentions, representations, _ = sections
    assert [p.name for p in attentions.plates][:2] == [
        "attention_distance",
        "normalized_mutual_information",
    ]
    assert {p.variant for p in attentions.aside} == {"paper"}
    fourier = [p for p in representations.plates if p.measure == "fourier_log_amplitude"]
    assert [p.variant for p in fourier] == ["canonical", "paper"]


def test_a_long_log_becomes_means_of_runs():
    log = [{"step": step, "loss": 2.0 * step, "lr": 0.1} for step in range(600)]
    rows = training_plate({"CL": log}).rows
    assert len(rows) == 300 and set(rows["model"]) == {"CL"}
    np.testing.assert_allclose(rows["loss"], 2 * rows["step"])


def test_uniform_weights_are_white_and_a_peak_is_dark():
    maps = np.full((2, 5, 7), 1 / 35)
    maps[1] = 0.0
    maps[1, 4, 6] = 1.0
    image = pictures.strip(maps, query=(0, 0))
    scale = pictures.CELL // 7
    height, width = 5 * scale, 7 * scale + pictures.GAP
    assert image.shape == (height, 2 * width, 4)
    middle = image[height // 2, width // 2]
    np.testing.assert_array_less(245, middle[:3])
    peak = image[-2, 2 * width - pictures.GAP // 2 - 2]
    assert peak[:3].sum() < 150
    assert image[0, 0, 3] == 0  # the gap lets the page through


def test_the_square_is_around_the_query_patch():
    image = np.zeros((70, 110, 3), np.uint8)
    marked = pictures.marked(image, query=(3, 5), grid=(7, 11))
    factor = marked.shape[0] // 70
    rows, columns = np.nonzero((marked == pictures.MARK).all(-1))
    line = max(2, round(max(marked.shape[:2]) / 60))
    assert (rows.min(), rows.max() + 1) == (30 * factor - line, 40 * factor + line)
    assert (columns.min(), columns.max() + 1) == (50 * factor - line, 60 * factor + line)


def test_models_that_saw_other_images_get_pictures_of_their_own():
    first, second = (
        e for e in results().exhibits if e.name == "attention_maps" and e.model != "MIM"
    )
    other = Exhibit(
        second.name, second.model, {**second.arrays, "images": second.arrays["images"] + 1}
    )
    together = list(pictures.attention_pictures([first, second]))
    apart = list(pictures.attention_pictures([first, other]))
    assert [len(p.exhibits) for p in together] == [2, 2]
    assert [len(p.exhibits) for p in apart] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("depth", "lengths"), [(12, [6, 6]), (7, [4, 3]), (6, [6]), (13, [5, 5, 3])]
)
def test_maps_of_many_depths_come_in_parts_of_about_the_same_length(depth, lengths):
    maps = np.zeros((1, 1, depth, 2, 3))
    picture = pictures.AttentionPicture(0, (Exhibit("attention_maps", "A", {"maps": maps}),))
    assert [len(part) for part in picture.parts] == lengths
    assert [layer for part in picture.parts for layer in part] == list(range(depth))


def test_rows_behind_a_picture_are_its_weights():
    picture = next(pictures.attention_pictures(results().exhibits))
    rows = picture.rows()
    totals = rows.groupby(["model", "query_row", "query_column", "layer"])["weight"].sum()
    assert len(totals) == 3 * 2 * 7
    np.testing.assert_allclose(totals, 1, rtol=1e-5)
