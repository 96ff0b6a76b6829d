"""The demonstration in miniature: what it promises is on the page and in its summary."""

import contextlib
import io

import pytest

from tests.reporting.page_reader import Page
from vitscope.demo import IMAGES_IN_A_MINUTE, MODELS, Demo, minute_recipes, run_demo
from vitscope.recipes import RECIPES
from vitscope.recipes.smoke import smoke

TINY = "random:vit?image_size=40&patch_size=8&embed_dim=24&depth=2&num_heads=3"
SMALL = Demo(
    models={"first": f"{TINY}&seed=1", "second": f"{TINY}&seed=2"},
    measured_on="world:independent?size=40&seed=2&num_images=5",
    probed_on="world:independent?size=40&seed=0&num_images=70&label={label}",
    tested_on="world:independent?size=40&seed=1&num_images=22&label={label}",
    recipes={
        f"{name}, a minute": smoke(RECIPES[name]())
        for name in ("shape_texture_moco_v3", "shape_texture_simmim")
    },
)


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory):
    """The page of a small demonstration, its path and what was printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        path = run_demo(tmp_path_factory.mktemp("demo") / "out", SMALL)
    return Page.read(path), path, printed.getvalue()


def test_the_page_shows_the_short_trainings_and_says_that_they_are_no_result(demonstrated):
    page, _, _ = demonstrated
    figure = page.figure("training_loss")
    names = [p.text for p in figure.find_all("p") if p.attributes.get("class") == "panel-name"]
    assert names == ["shape_texture_moco_v3, a minute", "shape_texture_simmim, a minute"]
    (caption,) = figure.find_all("figcaption")
    assert "About a minute of training each" in caption.text and "no result" in caption.text
    (warnings,) = [a for a in page.find_all("aside") if a.attributes.get("class") == "warnings"]
    assert "about a minute each" in warnings.text


def test_the_page_shows_probes_for_shape_and_texture_with_their_settings(demonstrated):
    page, _, _ = demonstrated
    probes = [f for f in page.find_all("figure") if f.attributes["id"].startswith("linear_probe")]
    for label in ("shape", "texture"):
        figures = [f for f in probes if f.attributes["id"].endswith(label)]
        assert figures
        for figure in figures:
            keys = [key.text for key in figure.find_all("li")]
            assert keys[:2] == ["first", "second"]
            assert any(key.startswith("raw pixels") for key in keys)
        assert any(
            f"({label})" in fold.text and "num_train70" in fold.text
            for fold in page.find_all("details")
            if fold.attributes.get("class") == "probe"
        )


def test_the_demonstration_ends_with_three_lines_and_the_place_of_the_report(demonstrated):
    _, path, printed = demonstrated
    *_, distance, mutual, probe, place = printed.strip().splitlines()
    assert distance.startswith("attention distance, last layer: first ")
    assert "px, second " in distance
    assert mutual.startswith("normalised mutual information, last layer: first ")
    assert probe.startswith("best shape probe: first ") and "raw pixels" in probe
    assert place.startswith(f"report: {path}")


def test_every_bundled_encoder_is_shown_and_trained_for_a_minute():
    demo = Demo()
    assert demo.models == MODELS
    assert [recipe.name for recipe in minute_recipes().values()] == [
        f"{name}_minute" for name in IMAGES_IN_A_MINUTE
    ]
    shown = [recipe.optimisation.num_images for recipe in demo.recipes.values()]
    assert shown == list(IMAGES_IN_A_MINUTE.values())
