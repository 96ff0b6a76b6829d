"""CL, MIM and their combination on real images: the table of docs/cifar10.md, and its report.

    python benchmarks/cifar10_comparison.py runs/cifar10_moco_v3 runs/cifar10_simmim \
        runs/cifar10_hybrid --cifar10 cifar10:PATH --images folder:IMAGENET_SAMPLE --out report

Measures on CIFAR-10 test images and on the other folder (resized to the models' 32 px), probes
every depth on CIFAR-10, and prints late-layer means with 95 % intervals (late: the last third).
Even test images choose the best probe and odd ones score it; the columns by layer show all.
"""

import argparse
from pathlib import Path

import pandas as pd
import torch

import vitscope as vs
from vitscope.data.sources import as_source
from vitscope.evaluation import pixel_probe
from vitscope.reporting import best_probe_rows
from vitscope.table import Table, concat

LATE_ROWS = (
    ("attention_distance", "attention", "canonical", "attention distance, px", ".2f"),
    ("normalized_mutual_information", "attention", "canonical", "NMI", ".4f"),
    ("row_entropy", "attention", "canonical", "row entropy", ".3f"),
    ("key_entropy", "attention", "canonical", "key entropy", ".3f"),
    ("token_similarity", "tokens", "canonical", "token similarity", ".3f"),
    ("centred_token_similarity", "tokens", "canonical", "centred token similarity", ".3f"),
    ("depth_similarity", "attention", "canonical", "similarity before and after attention", ".3f"),
    ("fourier_log_amplitude", "tokens", "canonical", "high-frequency amplitude", ".3f"),
    ("fourier_log_amplitude", "tokens", "paper", "the paper's Δ log amplitude", ".3f"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--cifar10", required=True, help="cifar10:PATH")
    parser.add_argument("--images", required=True, help="folder:PATH of natural images")
    parser.add_argument("--measured", type=int, default=1000, help="images measured")
    parser.add_argument("--train", type=int, default=20000, help="images the probe is fitted on")
    parser.add_argument("--test", type=int, default=5000, help="images the probe is scored on")
    parser.add_argument("--out", type=Path, default=Path("report"))
    arguments = parser.parse_args()
    models = {folder.name: vs.load(f"run:{folder}", folder.name) for folder in arguments.runs}
    settings = vs.recipes.RECIPES["cifar10_hybrid"]().architecture
    like_them = "&".join(
        f"{name}={getattr(settings, name)}"
        for name in ("image_size", "patch_size", "embed_dim", "depth", "num_heads")
    )
    models["random initialisation"] = vs.load(f"random:vit?{like_them}", "random initialisation")
    limit = f"limit={arguments.measured}"
    specs = (f"{arguments.cifar10}?split=test&{limit}", f"{arguments.images}?{limit}")
    tables = [vs.compare(models, as_source(spec)) for spec in specs]
    for table in tables:
        print_late_layers(table)
    train = as_source(f"{arguments.cifar10}?split=train&limit={arguments.train}")
    test = as_source(f"{arguments.cifar10}?split=test&limit={arguments.test}")
    probes = [vs.evaluate(model, train, test) for model in models.values()]
    probes.append(pixel_probe(next(iter(models.values())), train, test))
    print_probes(concat(probes))
    print(vs.report(concat([*tables, *probes]), arguments.out))


def print_late_layers(table: Table) -> None:
    depth = int(table.frame["layer"].max())
    late = list(range(depth - depth // 3 + 1, depth + 1))
    names = [name for name in table.notes["models"] if isinstance(name, str)]
    (data,) = table.notes["data"]
    print(f"\n{data}, layers {late[0]} to {late[-1]} of {depth}\n\n| | {' | '.join(names)} |")
    print("|---" * (len(names) + 1) + "|")
    for measure, site, variant, title, form in LATE_ROWS:
        rows = table.select(measure=measure, site=site, variant=variant, layer=late)
        summary = rows.summary(("model",)).set_index("model")
        cells = []
        for name in names:
            row = summary.loc[name]
            cells.append(f"{row['mean']:{form}} [{row['low']:{form}}, {row['high']:{form}}]")
        print(f"| {title} | {' | '.join(cells)} |")


def print_probes(table: Table) -> None:
    summary = table.summary(("model", "variant", "layer"))
    chosen = best_probe_rows(table).summary(("model", "variant", "layer")).set_index("model")
    print("\n| accuracy, % | best | at | " + " | ".join(f"layer {n}" for n in range(7)) + " |")
    print("|---" * 10 + "|")
    for name, rows in summary.groupby("model", observed=True, sort=False):
        best = chosen.loc[name]
        interval = f"{100 * best['mean']:.1f} [{100 * best['low']:.1f}, {100 * best['high']:.1f}]"
        layers = rows[rows["variant"] == "ridge, mean"].set_index("layer")["mean"]
        cells = [f"{100 * layers[n]:.1f}" if n in layers.index else "" for n in range(7)]
        place = best["variant"] + ("" if pd.isna(best["layer"]) else f", layer {best['layer']:.0f}")
        print(f"| {name} | {interval} | {place} | {' | '.join(cells)} |")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
