"""The page as a whole: complete, self-contained, accessible, and safe with any name."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.reporting.page_reader import Page
from tests.reporting.synthetic import MEASURES, pictures, results
from vitscope.reporting import report
from vitscope.reporting.plates import PLATE_KEYS
from vitscope.reporting.style import looks_of
from vitscope.table import Exhibit, Table

FEW = ["attention_distance", "normalized_mutual_information"]


def small(kinds=None, measures=FEW):
    """A Table that is quick to draw."""
    table = results(kinds or {"CL": "cl"}).select(measure=measures)
    return Table(table.frame, table.notes, ())


def test_every_figure_has_a_caption_and_links_to_files_that_exist(full):
    _, folder, page = full
    figures = page.find_all("figure")
    assert len(figures) == 5 + 7 + 4 + 1 + 2 + 1  # by section; losses; maps; reconstructions
    for figure in figures:
        (caption,) = figure.find_all("figcaption")
        assert caption.text
        links = [a.attributes["href"] for a in figure.find_all("a")]
        assert {Path(link).suffix for link in links} >= {".png", ".svg"}
        assert {".csv", ".npz"} & {Path(link).suffix for link in links}
        for link in links:
            assert (folder / link).stat().st_size > 0


def test_captions_say_how_many_images_and_how_to_read_the_measure(full):
    _, _, page = full
    (caption,) = page.figure("attention_distance").find_all("figcaption")
    assert caption.text == "Low: heads look near the query. 11 images of world"


def test_csv_files_hold_exactly_the_rows_of_the_summary(full):
    table, folder, _ = full
    summary = table.summary(by=PLATE_KEYS)
    files = [file for file in (folder / "data").glob("*.csv") if "maps" not in file.name]
    read = pd.concat([pd.read_csv(file) for file in files if file.stem != "training_loss"])
    key = ["measure", "dataset", "variant", "site", "model", "layer", "coordinate"]
    expected = summary.sort_values(key, ignore_index=True)
    # A baseline is behind every figure in which it is drawn, and thus in several files.
    found = read.drop_duplicates().sort_values(key, ignore_index=True)
    assert found[key].equals(expected[key].astype(found[key].dtypes))
    for column in ("mean", "low", "high", "num_images"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-12)


def test_csv_of_one_figure_holds_its_lines_and_its_baseline_and_no_more(full):
    table, folder, _ = full
    rows = pd.read_csv(folder / "data" / "attention_distance.csv")
    summary = table.select(measure="attention_distance", variant="canonical").summary()
    assert len(rows) == len(summary) == 3 * 7 + 1
    assert set(rows["model"]) == {"CL", "MIM", "random init", "uniform attention"}


def test_sections_come_in_the_order_of_the_questions(full):
    _, _, page = full
    headings = [heading.text for heading in page.find_all("h2")]
    assert headings == [
        "What was compared",
        "Read with care",
        "In short",
        "How do attentions behave?",
        "How are representations transformed?",
        "Which layers matter?",
        "What is reconstructed?",
        "Settings and versions",
    ]


def test_every_measure_is_drawn(full):
    _, _, page = full
    names = {figure.attributes["id"] for figure in page.find_all("figure")}
    for measure in MEASURES:
        assert any(name.startswith(measure) for name in names), measure


def test_nothing_is_fetched(full):
    _, _, page = full
    for element in page.root.every():
        assert element.tag not in ("link", "iframe", "object", "embed", "base")
        if "src" in element.attributes:
            assert element.attributes["src"].startswith("data:image/")
        if "href" in element.attributes:
            assert not re.match(r"[a-z]+:|//", element.attributes["href"])
    for style in page.find_all("style"):
        assert "url(" not in style.text and "@import" not in style.text
    for script in page.find_all("script"):
        assert "fetch(" not in script.text and "import(" not in script.text
        assert "src" not in script.attributes
    assert "default-src 'none'" in page.source


def test_pictures_have_words_and_references_lead_somewhere(full):
    _, _, page = full
    for image in page.find_all("img"):
        assert image.attributes["alt"]
    charts = [e for e in page.root.every() if e.attributes.get("role") == "img"]
    assert charts and all(len(chart.attributes["aria-label"]) > 40 for chart in charts)
    ids = [e.attributes["id"] for e in page.root.every() if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    targets = {e.attributes.get("href", "") for e in page.root.every()}
    targets |= {"#" + name for name in re.findall(r"url\(#([^)]+)\)", page.source)}
    for target in targets:
        assert not target.startswith("#") or target[1:] in ids, target


def test_headings_skip_no_level(full):
    _, _, page = full
    levels = [int(e.tag[1]) for e in page.root.every() if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_from_files_are_text_and_never_markup(tmp_path):
    name = '<script>alert(1)</script> & "q" $y$ {{ 7 * 7 }} \x01 _ <b>'
    table = small({name: "cl"}, [FEW[0], "fourier_spectrum", "linear_probe_accuracy"])
    table.notes["command"] = "</script><script>alert(2)</script>"
    table.notes["warnings"] = ["<img src=x onerror=alert(3)>"]
    table.notes["measures"]["attention_distance"]["title"] = "</title><i>Distance</i>"
    page = Page.read(report(table, tmp_path))
    assert len(page.find_all("script")) == 1
    assert not page.find_all("b") or all("script" not in b.text for b in page.find_all("b"))
    assert not page.find_all("img")
    assert "{{ 7 * 7 }}" in page.find_all("h1")[0].text
    assert "</title><i>Distance</i>" in page.figure("attention_distance").text


@pytest.mark.filterwarnings("ignore:Glyph")
def test_awkward_model_names_are_drawn(tmp_path):
    names = ["_hidden", "名前", "a\nb", "..", "CON/../x"]
    page = Page.read(report(small(dict.fromkeys(names, "cl"), FEW[:1]), tmp_path))
    keys = [key.text for key in page.figure(FEW[0]).find_all("li")]
    assert keys == ["_hidden", "名前", "a b", "..", "CON/../x", "uniform attention 26.5"]


def test_a_measure_cannot_name_a_file_outside_the_report(tmp_path):
    table = small(measures=FEW[:1])
    table.frame["measure"] = "../../../stolen"
    report(table, tmp_path / "a" / "b" / "out")
    assert not list(tmp_path.glob("stolen*")) and not list((tmp_path / "a").glob("stolen*"))
    assert (tmp_path / "a" / "b" / "out" / "figures" / "stolen.png").exists()


def test_what_is_missing_is_said_where_a_reader_would_look(tmp_path):
    table = small(measures=FEW[:1])
    page = Page.read(report(Table(table.frame), tmp_path))
    text = page.root.text
    assert page.figure("attention_distance").text.startswith("Attention distance")  # by its name
    assert "Not in these results: normalized mutual information, row entropy and key" in text
    assert "No attention maps were saved" in text
    assert "No reconstructions were saved" in text
    assert "no notes about the models" in text
    assert "no notes about settings or versions" in text
    assert "None" not in text.replace("None of", "") and "nan" not in text.split()


def test_an_unknown_measure_is_drawn_in_the_section_of_its_site(tmp_path):
    table = small(measures=FEW[:1])
    table.frame["measure"] = "sink_mass"
    page = Page.read(report(table, tmp_path))
    (section,) = [s for s in page.find_all("section") if s.attributes["id"] == "attentions"]
    assert page.figure("sink_mass") in list(section.find_all("figure"))


def test_every_training_log_is_drawn_whether_or_not_its_run_was_measured(tmp_path):
    table = small(measures=FEW[:1])
    log = [{"step": step, "loss": 3.0 / (1 + step)} for step in range(7)]
    table.notes["training"] = {"CL": log, "short run": log}
    table.notes["training_remark"] = "A minute each."
    page = Page.read(report(table, tmp_path))
    figure = page.figure("training_loss")
    names = [p.text for p in figure.find_all("p") if p.attributes.get("class") == "panel-name"]
    assert names == ["CL", "short run"]
    (caption,) = figure.find_all("figcaption")
    assert caption.text.startswith("A minute each. Falls")
    looks = looks_of(["CL", "uniform attention", "short run"])
    assert looks["short run"].colour != looks["CL"].colour
    for place, model in ((0, "CL"), (2, "short run")):
        (line,) = [
            g for g in figure.find_all("g") if g.attributes.get("class") == f"series series-{place}"
        ]
        assert looks[model].colour in " ".join(e.attributes.get("style", "") for e in line.every())
    assert "short run" not in page.find_all("h1")[0].text


def test_data_sets_of_one_name_and_several_sizes_are_shown_with_the_range(tmp_path):
    tables = [small(measures=FEW[:1]) for _ in range(2)]
    tables[1].notes["data"] = {"world": {"spec": "world:shifted", "num_images": 8}}
    text = Page.read(report(tables, tmp_path)).root.text
    assert "8 to 11 images of world" in text
    assert "world:independent?size=40, world:shifted" in text


def test_curves_without_images_tell_the_range_of_sizes_too(tmp_path):
    table = small(measures=["fourier_spectrum"])
    table.notes["data"]["world"]["num_images"] = [8, 11]
    (caption,) = Page.read(report(table, tmp_path)).find_all("figure")[0].find_all("figcaption")
    assert "8 to 11 images of world" in caption.text


def test_chance_is_drawn_and_probe_settings_are_shown(tmp_path):
    table = results({"CL": "cl"}).select(measure="linear_probe_accuracy", model="CL")
    settings = {"protocol": "ridge by validation", "num_train": 31, "num_classes": 5}
    for label in ("shape", "texture"):
        table.notes[f"probe CL on world independent ({label})"] = settings
    page = Page.read(report(Table(table.frame, table.notes), tmp_path))
    figure = page.figure("linear_probe_accuracy-ridge-mean-world-independent-shape")
    assert [key.text for key in figure.find_all("li")] == ["CL", "chance 0.2"]
    folds = [d for d in page.find_all("details") if d.attributes.get("class") == "probe"]
    assert len(folds) == 2
    assert "Linear probe on world independent (shape)" in folds[0].text
    assert "protocolridge by validationnum_train31num_classes5" in folds[0].text.replace(" </", "")


def test_trained_and_untrained_models_are_told_apart_by_their_notes(tmp_path):
    table = small({"random_crop_run": "cl", "mine": "random"}, measures=FEW[:1])
    page = Page.read(report(table, tmp_path))
    assert page.find_all("h1")[0].text == "What did random_crop_run learn?"
    lines = {
        line.find_all("th").__next__().text: line.attributes["class"]
        for line in page.find_all("tr")
        if line.attributes.get("class")
    }
    assert lines["random_crop_run"] == "trained" and lines["mine"] == "baseline"


def test_a_card_that_is_json_text_is_shown_as_it_is(tmp_path):
    table = small(measures=FEW[:1])
    table.notes["models"]["CL"]["card"] = '{\n "images seen": 8\n}'
    page = Page.read(report(table, tmp_path))
    assert '{ "images seen": 8 }' in page.root.text


def test_a_page_that_cannot_be_written_leaves_the_one_before(tmp_path):
    table = small(measures=FEW[:1])
    path = report(table, tmp_path)
    before = path.read_bytes()
    table.notes["warnings"] = ["\ud800"]  # no encoding of text has it
    with pytest.raises(OSError, match="the previous file is intact"):
        report(table, tmp_path)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.partial"))


def test_nothing_to_report_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected Tables with rows"):
        report([], tmp_path)
    with pytest.raises(ValueError, match="measure a model first"):
        report(Table(), tmp_path)


def test_a_malformed_exhibit_is_refused_with_what_was_expected(tmp_path):
    exhibit = Exhibit("reconstructions", "CL", {"original": np.zeros((2, 5, 5, 3))})
    with pytest.raises(ValueError, match=r"'original' with axes \(image height width 3\), uint8"):
        report(Table(small().frame, {}, (exhibit,)), tmp_path)


def test_many_large_pictures_stay_a_small_page(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (11, 331, 331, 3), dtype=np.uint8)
    arrays = dict.fromkeys(("original", "masked", "reconstruction"), noise)
    path = report(Table(exhibits=(Exhibit("reconstructions", "MIM", arrays),)), tmp_path)
    assert path.stat().st_size < 15e6 / 7  # seven such models of noise stay below 15 MB
    assert "6 of 11 images." in Page.read(path).root.text


def test_the_saved_table_gives_the_same_page_again(tmp_path):
    table = small(measures=FEW[:1])
    maps = Exhibit(
        "reconstructions",
        "CL",
        {name: pictures(2, 30) for name in ("original", "masked", "reconstruction")},
    )
    first = report(Table(table.frame, table.notes, (maps,)), tmp_path / "first")
    again = report(Table.load(tmp_path / "first" / "table.parquet"), tmp_path / "again")
    assert first.read_bytes() == again.read_bytes()
    for file in (tmp_path / "first" / "figures").iterdir():
        assert file.read_bytes() == (tmp_path / "again" / "figures" / file.name).read_bytes()


def test_reporting_imports_no_torch():
    code = "import sys, vitscope.reporting; sys.exit(int('torch' in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
