"""Attention maps on the page, and long names, which may break and are never cut off."""

import re

from tests.reporting.page_reader import Page
from tests.reporting.synthetic import results
from tests.reporting.test_page import FEW, small
from vitscope.reporting import report
from vitscope.table import Exhibit, Table


def test_long_names_may_be_broken_and_value_axes_are_named(tmp_path):
    table = small({"bundled:shape_texture_moco_v3": "cl"})
    table.frame["unit"] = table.frame["unit"].astype(object).where(table.frame["unit"] == "px", "")
    table.notes["measures"]["normalized_mutual_information"]["unit"] = ""
    page = Page.read(report(table, tmp_path))
    broken = "bundled:<wbr>shape_<wbr>texture_<wbr>moco_<wbr>v3"
    for place in ("h1", "th", "li"):
        assert re.search(f"<{place}[^>]*>(?:(?!</{place}>).)*{broken}", page.source, re.DOTALL), (
            place
        )
    figure = page.figure("normalized_mutual_information")
    assert any("NMI" in svg.text for svg in figure.find_all("svg"))


def test_maps_tell_their_depths_and_the_models_that_share_them(tmp_path):
    table = results({"CL:a_b": "cl", "MIM": "mim"})
    first, second = (e for e in table.exhibits if e.name == "attention_maps")
    arrays = {**second.arrays, "maps": second.arrays["maps"][..., :4]}
    other = Exhibit(second.name, second.model, arrays)
    frame = table.select(measure=FEW[:1]).frame
    page = Page.read(report(Table(frame, table.notes, (first, other)), tmp_path))
    captions = [next(f.find_all("figcaption")).text for f in page.find_all("figure")]
    maps = [text for text in captions if text.startswith("Image")]
    assert maps[0] == "Image 1, seen by CL:a_b on 5 × 5 patches."
    assert maps[2] == "Image 1, seen by MIM on 5 × 4 patches."
    figure = page.figure("attention_maps-1")
    strips = [e for e in figure.every() if e.attributes.get("class") == "strip"]
    assert "CL:<wbr>a_<wbr>b" in page.source and len(strips) == 2
    texts = [e.text for e in strips[0].every() if e.attributes.get("class") == "depths"]
    assert texts == ["depth 1234", "depth 567"]
    alts = [image.attributes["alt"] for image in strips[0].find_all("img")]
    assert "depth 1 to 4" in alts[0] and "depth 5 to 7" in alts[1]
    (head,) = [e for e in figure.every() if e.attributes.get("class") == "strip head"][:1]
    assert head.text.startswith("depth")
    alone = Page.read(report(Table(frame, table.notes, (first,)), tmp_path))
    assert next(alone.figure("attention_maps-1").find_all("figcaption")).text == "Image 1."
