"""The demonstration: the whole path on the bundled world, from images to a report."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from vitscope.analysis import compare
from vitscope.data.sources import as_source
from vitscope.evaluation import evaluate, pixel_probe
from vitscope.models.backbone import Backbone
from vitscope.models.load import load
from vitscope.recipe import Recipe
from vitscope.recipes import RECIPES
from vitscope.reporting import best_probe_rows, report
from vitscope.table import Table, concat
from vitscope.training.pretrain import pretrain

RANDOM_LIKE_THEM = "image_size=64&patch_size=8&embed_dim=128&depth=6&num_heads=4"
MODELS = {
    "MoCo v3 (CL)": "bundled:shape_texture_moco_v3",
    "SimMIM (MIM)": "bundled:shape_texture_simmim",
    "hybrid, λ = 0.5": "bundled:shape_texture_hybrid",
    "random initialisation": f"random:vit?{RANDOM_LIKE_THEM}",
}
MEASURED_ON = "world:independent?size=64&seed=2&num_images=256"
PROBED_ON = "world:independent?size=64&seed=0&num_images=3000&label={label}"
TESTED_ON = "world:independent?size=64&seed=1&num_images=1000&label={label}"
IMAGES_IN_A_MINUTE = {  # on two cores; a third of a minute is left for slower machines
    "shape_texture_moco_v3": 4_500,
    "shape_texture_simmim": 12_000,
    "shape_texture_hybrid": 3_000,
}
WARNING = (
    "The training curves come from about a minute each: they show that the path works, not what "
    "the objectives learn. The bundled encoders were trained longer by the same recipes."
)
CURVES_REMARK = "About a minute of training each, to show that training works; this is no result."


def minute_recipes() -> dict[str, Recipe]:
    """The bundled encoders' recipes, cut to about a minute on two cores, by the curve's name."""
    found = {}
    for name, num_images in IMAGES_IN_A_MINUTE.items():
        recipe = RECIPES[name]()
        found[f"{name}, a minute"] = replace(
            recipe,
            name=f"{name}_minute",
            data="world:independent?size=64&num_images=2000",
            optimisation=replace(recipe.optimisation, num_images=num_images),
        )
    return found


@dataclass(frozen=True)
class Demo:
    """What the demonstration shows.

    Args:
        models: Spec by name.
        measured_on: Data spec of the images that are measured.
        probed_on: Data spec of the images that probes are fitted on, with {label} in it.
        tested_on: The same for the images that score the probes.
        recipes: What is trained, by the name of its training curve.
    """

    models: Mapping[str, str] = field(default_factory=lambda: MODELS)
    measured_on: str = MEASURED_ON
    probed_on: str = PROBED_ON
    tested_on: str = TESTED_ON
    recipes: Mapping[str, Recipe] = field(default_factory=minute_recipes)


def run_demo(out: Path, demo: Demo | None = None) -> Path:
    """Compare the bundled encoders, train each objective briefly, write and name the report.

    Args:
        out: Folder for report, Table, pictures and the short runs; made anew where they are.
        demo: What to show; None: everything, in some minutes.

    Returns:
        Path of report.html.
    """
    demo = demo or Demo()
    console = Console()
    began = time.perf_counter()
    models = {name: load(spec, name) for name, spec in demo.models.items()}
    console.print("[bold]1/3[/] measuring the bundled encoders and a random one")
    tables = [compare(models, demo.measured_on)]
    console.print("[bold]2/3[/] probing every depth for shape and texture")
    tables += [_probes(models, demo, label) for label in ("shape", "texture")]
    console.print("[bold]3/3[/] training each objective for about a minute")
    tables.append(_short_trainings(demo.recipes, out / "runs"))
    table = concat(tables)
    table.notes |= {"command": "vitscope demo", "warnings": [WARNING]}
    path = report(table, out)
    console.print(f"\n{_summary(table)}", soft_wrap=True)
    console.print(
        f"report: {path.resolve()}  ({time.perf_counter() - began:.0f} s)", soft_wrap=True
    )
    return path


def _probes(models: dict[str, Backbone], demo: Demo, label: str) -> Table:
    train = as_source(demo.probed_on.format(label=label))
    test = as_source(demo.tested_on.format(label=label))
    tables = [evaluate(model, train, test) for model in models.values()]
    tables.append(pixel_probe(next(iter(models.values())), train, test))
    return concat(tables)


def _short_trainings(recipes: Mapping[str, Recipe], folder: Path) -> Table:
    curves = {}
    for name, recipe in recipes.items():
        shutil.rmtree(folder / recipe.name, ignore_errors=True)
        run = pretrain(recipe, folder / recipe.name)
        if not run.complete:
            raise KeyboardInterrupt  # a signal stops the demonstration, not one training of it
        curves[name] = run.log()
    return Table(notes={"training": curves, "training_remark": CURVES_REMARK})


def _summary(table: Table) -> str:
    """Three lines: where each model looks, whether queries differ, what a probe reads."""
    late = max(layer for layer in table.frame["layer"].dropna().unique())
    lines = []
    for measure, title, unit in (
        ("attention_distance", "attention distance, last layer", " px"),
        ("normalized_mutual_information", "normalised mutual information, last layer", ""),
    ):
        rows = table.select(measure=measure, variant="canonical", layer=late).summary(("model",))
        values = (f"{row.model} {row.mean:.3g}{unit}" for row in rows.itertuples())
        lines.append(f"{title}: {', '.join(values)}")
    probe = best_probe_rows(table).summary(("model", "dataset"))
    shape = probe[probe["dataset"].astype(str).str.contains("shape")]
    best = (f"{row.model} {row.mean:.1%}" for row in shape.itertuples())
    lines.append(f"best shape probe: {', '.join(best)}")
    return "\n".join(lines)
