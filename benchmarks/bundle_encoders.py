"""Make the bundled encoders from finished runs, probe them, and write their cards.

    python benchmarks/bundle_encoders.py runs/shape_texture_moco_v3 runs/shape_texture_simmim ...

Weights are stored as float16 and probed as stored. Even test images choose depth and pooling, odd
ones give the score, and every model is compared with random initialisation and raw pixels on the
same images.
"""

import argparse
import json
import shutil
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

import vitscope as vs
from vitscope.bootstrap import mean_interval
from vitscope.data.source import Source
from vitscope.data.sources import as_source
from vitscope.demo import RANDOM_LIKE_THEM
from vitscope.evaluation import pixel_probe
from vitscope.models.vitscope_weights import BUNDLED, save_weights
from vitscope.reporting import best_probe_rows
from vitscope.runs import Run
from vitscope.table import Table, concat

TRAIN = "world:independent?size=64&seed=0&num_images={train}&label={label}"
TEST = "world:independent?size=64&seed=1&num_images={test}&label={label}"
MARGIN = 0.10  # by which an encoder should beat random initialisation and raw pixels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--train", type=int, default=8000)
    parser.add_argument("--test", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = [bundle(Run(folder)) for folder in arguments.runs]
    models = {name: vs.load(f"bundled:{name}", name) for name in names}
    models["random"] = vs.load(f"random:vit?{RANDOM_LIKE_THEM}", "random")
    results = {}
    for label in ("shape", "texture"):
        counts = {"train": arguments.train, "test": arguments.test, "label": label}
        results[label] = best_probes(models, counts)
    for name in names:
        card = card_of(name, results)
        (BUNDLED / name / "card.json").write_text(json.dumps(card, indent=2) + "\n")
        print(json.dumps(card, indent=2))
    for label, best in results.items():
        for model, rows in best.items():
            mean, low, high = mean_interval(rows["value"], rows["image"])
            print(f"{label:<8} {model:<28} {place(rows):<28} {mean:.1%} [{low:.1%}, {high:.1%}]")


def bundle(run: Run) -> str:
    """Copy weights (float16), recipe and log into the package; returns the name."""
    recipe = run.recipe()
    folder = BUNDLED / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    backbone = vs.load(f"run:{run.folder}")
    save_weights(backbone.module, recipe, folder / "backbone.safetensors", torch.float16)
    (folder / "recipe.json").write_text(recipe.to_json())
    shutil.copy(run.log_path, folder / "log.jsonl")
    if run.decoder_path.exists():
        decoder = {name: tensor.half() for name, tensor in load_file(run.decoder_path).items()}
        save_file(decoder, folder / "decoder.safetensors")
    return recipe.name


def best_probes(models: dict, counts: dict) -> dict[str, pd.DataFrame]:
    """Per model the test rows of the depth and pooling that were best on the others."""
    train, test = (as_source(spec.format(**counts)) for spec in (TRAIN, TEST))
    chosen = best_probe_rows(probes(models, train, test))
    names = [*models, "raw pixels"]
    return {name: chosen.select(model=name).frame.sort_values("image") for name in names}


def probes(models: dict, train: Source, test: Source) -> Table:
    tables = [vs.evaluate(model, train, test) for model in models.values()]
    return concat([*tables, pixel_probe(next(iter(models.values())), train, test)])


def card_of(name: str, results: dict) -> dict:
    """What a user should know of the encoder: how it was made and what it can do."""
    run = Run(BUNDLED / name)
    log = run.log()
    card = {
        "name": name,
        "made by": f"vitscope pretrain {name}",
        "images seen": log[-1]["images"],
        "hours (one core)": round(hours(log), 2),
        "licence": "Apache-2.0; trained on generated images only",
    }
    for label, best in results.items():
        mean, low, high = mean_interval(best[name]["value"], best[name]["image"])
        entry = {"accuracy": numbers(mean, low, high), "at": place(best[name])}
        for baseline in ("random", "raw pixels"):
            difference = best[name]["value"].to_numpy() - best[baseline]["value"].to_numpy()
            gain = mean_interval(difference, best[name]["image"])
            entry[f"gain over {baseline}"] = numbers(*gain)
            if label == "shape":
                entry[f"beats {baseline} by 10 points"] = bool(gain[1] > MARGIN)
        card[f"{label} probe"] = entry
    return card


def hours(log: list[dict]) -> float:
    seconds, before = 0.0, 0
    for entry in log:
        seconds += (entry["images"] - before) / entry["images_per_second"]
        before = entry["images"]
    return seconds / 3600


def place(rows: pd.DataFrame) -> str:
    layer = rows["layer"].iloc[0]
    return str(rows["variant"].iloc[0]) + ("" if pd.isna(layer) else f", layer {layer}")


def numbers(mean: float, low: float, high: float) -> list[float]:
    return [round(value, 4) for value in (mean, low, high)]


if __name__ == "__main__":
    main()
