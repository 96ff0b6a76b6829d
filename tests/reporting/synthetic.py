"""Made-up results with the shape of real ones: what measuring a few models would leave behind."""

import numpy as np
import pandas as pd

from vitscope.table import Exhibit, Table, concat, typed

DEPTH, HEADS, GRID = 7, 3, 5
PUBLISHED = ("attention_distance", "fourier_log_amplitude")  # measures with a second definition
UNIFORM = {
    "attention_distance": 26.5,
    "normalized_mutual_information": 0.0,
    "row_entropy": 3.22,
    "key_entropy": 3.22,
}
MEASURES = {
    "attention_distance": ("Attention distance", "px", "Low: heads look near the query."),
    "normalized_mutual_information": ("Mutual information", "NMI", "Low: queries look alike."),
    "row_entropy": ("Row entropy", "nat", "High: each query spreads its attention widely."),
    "key_entropy": ("Key entropy", "nat", "Low: all queries look at the same few keys."),
    "token_similarity": ("Token similarity", "cosine", "High: tokens of an image are alike."),
    "centred_token_similarity": ("Centred token similarity", "cosine", "As above, mean removed."),
    "depth_similarity": ("Depth similarity", "cosine", "High: the step changes tokens little."),
    "fourier_log_amplitude": ("High frequencies", "Δ log amplitude", "Low: smooth tokens."),
    "fourier_spectrum": ("Spectrum", "Δ log amplitude", "Falls fast: smooth tokens."),
    "linear_probe_accuracy": ("Linear probe", "fraction", "High: classes lie apart linearly."),
}


def notes(kinds, num_images):
    return {
        "models": {
            name: {
                "spec": f"run:runs/{name}",
                "branch": "random weights" if kind == "random" else "encoder",
                "num_parameters": 1_234_567,
                "depth": DEPTH,
                "num_heads": HEADS,
                "sha256": "0123456789abcdef" * 4,
                "card": {"objective": name, "epochs": 30},
            }
            for name, kind in kinds.items()
        },
        "measures": {
            name: {"title": title, "unit": unit, "reading": reading, "source": "arXiv:2305.00729"}
            for name, (title, unit, reading) in MEASURES.items()
        },
        "data": {"world": {"spec": "world:independent?size=40", "num_images": num_images}},
        "versions": {"torch": "2.11.0", "timm": "1.0.20"},
        "settings": {"batch_size": 64, "seed": 0},
        "command": "vitscope compare CL=run:runs/CL --data world:independent",
        "warnings": ["Few images: intervals are wide."],
        "training": {
            name: [{"step": s, "loss": (1 + i) * (3.0 / (1 + s) + 0.5)} for s in range(0, 60, 2)]
            for i, name in enumerate(kinds)
        },
    }


PROFILES = {  # measure: noise, and per kind the value at the embedding and at the last block
    "attention_distance": (1.2, {"cl": (16.0, 25.5), "mim": (18.0, 15.0), "both": (16.5, 21.0)}),
    "normalized_mutual_information": (
        0.03,
        {"cl": (0.32, 0.05), "mim": (0.22, 0.38), "both": (0.3, 0.2)},
    ),
    "row_entropy": (0.1, {"cl": (2.5, 3.0), "mim": (2.5, 2.0), "both": (2.5, 2.6)}),
    "key_entropy": (0.06, {"cl": (3.15, 2.6), "mim": (3.15, 3.05), "both": (3.15, 2.9)}),
    "token_similarity": (0.1, {"cl": (0.1, 0.85), "mim": (0.2, 0.4), "both": (0.15, 0.6)}),
    "centred_token_similarity": (0.1, {"cl": (0.0, 0.5), "mim": (0.0, 0.1), "both": (0.0, 0.3)}),
    "depth_similarity": (0.05, {"cl": (0.7, 0.9), "mim": (0.5, 0.9), "both": (0.6, 0.9)}),
    "fourier_log_amplitude": (0.4, {"cl": (-1.5, -3.1), "mim": (-1.5, -1.7), "both": (-1.5, -2.4)}),
}
PROFILES["depth_similarity"][1]["random"] = (0.97, 0.97)


def _rows(rng, name, kind, measure, site, variant, num_images):
    """One value per (layer, head, image): a line over depth, and noise."""
    layers = np.arange(0 if site == "tokens" else 1, DEPTH + 1)
    heads = HEADS if site == "attention" and measure in UNIFORM else 1
    noise, ends = PROFILES[measure]
    flat = (0.97 * UNIFORM.get(measure, 0.5), 0.97 * UNIFORM.get(measure, 0.5))
    first, last = ends.get(kind, flat)
    if kind in ("uniform", "random"):
        noise = noise / 100
    if kind == "uniform" and measure in UNIFORM:
        first = last = UNIFORM[measure]
    layer, head, image = np.meshgrid(layers, range(heads), range(num_images), indexing="ij")
    value = first + (last - first) * layer / DEPTH + noise * rng.normal(size=layer.shape)
    value += noise * rng.normal(size=num_images)
    frame = {
        "model": name,
        "dataset": "world",
        "measure": measure,
        "unit": MEASURES[measure][1],
        "variant": variant,
        "site": site,
        "layer": layer.ravel(),
        "image": image.ravel(),
        "value": value.ravel(),
    }
    if heads > 1:
        frame["head"] = head.ravel()
    if measure == "depth_similarity":
        frame["other_layer"] = layer.ravel() - 1
    return pd.DataFrame(frame)


def _scalars(rng, name, kind, num_images):
    sites = {measure: ("attention",) for measure in UNIFORM}
    sites["depth_similarity"] = ("attention", "block")
    return [
        _rows(rng, name, kind, measure, site, variant, num_images)
        for measure in PROFILES
        for site in sites.get(measure, ("tokens", "after_attention"))
        for variant in ("canonical", "paper")
        if variant == "canonical" or measure in PUBLISHED
    ]


def _spectra(rng, name, kind):
    layer, place, draw = np.meshgrid(
        range(DEPTH + 1), np.linspace(0, 1, 5), range(-1, 20), indexing="ij"
    )
    slope = 1.5 + layer / DEPTH * {"cl": 1.7, "mim": -0.4, "both": 0.9}.get(kind, 0.1)
    value = -slope * place**0.7 + np.where(draw < 0, 0, 0.05 * rng.normal(size=layer.shape))
    frame = {"model": name, "dataset": "world", "measure": "fourier_spectrum"}
    frame |= {"unit": "Δ log amplitude", "coordinate_unit": "π rad/patch", "variant": "canonical"}
    frame |= {"site": "tokens", "layer": layer.ravel(), "coordinate": place.ravel()}
    frame |= {"replicate": pd.array(draw.ravel(), "Int32"), "value": value.ravel()}
    rows = pd.DataFrame(frame)
    rows["replicate"] = rows["replicate"].where(rows["replicate"] >= 0)
    return [rows]


def _probe(rng, name, kind, num_images):
    found = []
    for labels, gain in (("shape", 0.5), ("texture", 0.3)):
        for pooling in ("ridge, mean", "ridge, cls"):
            frames = []
            for layer in range(DEPTH + 1):
                x = layer / DEPTH
                rise = {"cl": x, "mim": 2.2 * x * (1.1 - x), "both": x**0.7}.get(kind, 0.1 * x)
                chance = 0.25 + gain * rise
                hits = rng.random(num_images) < chance
                frames.append({"layer": layer, "image": range(num_images), "value": 1.0 * hits})
            frame = pd.concat([pd.DataFrame(f) for f in frames])
            facts = {"model": name, "dataset": f"world independent ({labels})", "site": "tokens"}
            found.append(frame.assign(**facts, variant=pooling))
    rows = pd.concat(found)
    return [rows.assign(measure="linear_probe_accuracy", unit="fraction")]


def baselines(num_images):
    uniform = pd.DataFrame(
        {
            "model": "uniform attention",
            "dataset": "world",
            "measure": list(UNIFORM),
            "unit": [MEASURES[m][1] for m in UNIFORM],
            "variant": "canonical",
            "site": "attention",
            "value": list(UNIFORM.values()),
        }
    )
    rng = np.random.default_rng(7)
    found = [uniform, uniform[uniform["measure"].isin(PUBLISHED)].assign(variant="paper")]
    for labels in ("shape", "texture"):
        rows = {"dataset": f"world independent ({labels})", "unit": "fraction"}
        rows |= {"measure": "linear_probe_accuracy", "variant": "ridge, mean"}
        hits = 1.0 * (rng.random(num_images) < 0.33)
        raw = rows | {"model": "raw pixels", "image": range(num_images), "value": hits}
        found.append(pd.DataFrame(raw))
        found.append(pd.DataFrame(rows | {"model": "chance", "value": [0.125]}))
    return Table(pd.concat(found))


def _maps(rng, name, kind, size, num_images=2):
    row, column = np.meshgrid(range(GRID), range(GRID), indexing="ij")
    queries = np.array([[[1, 1], [3, 2]]] * num_images)
    maps = np.zeros((num_images, 2, DEPTH, GRID, GRID), np.float32)
    for layer in range(DEPTH):
        width = 1.0 + (1.2 * layer if kind == "cl" else 0.1 * layer)
        width = 50.0 if kind in ("random", "uniform") else width
        for query in range(2):
            y, x = queries[0, query]
            near = np.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * width**2))
            near = near + 0.02 * rng.random((num_images, GRID, GRID))
            maps[:, query, layer] = near / near.sum((1, 2), keepdims=True)
    arrays = {"images": pictures(num_images, size), "queries": queries, "maps": maps}
    return Exhibit("attention_maps", name, arrays, {"grid": [GRID, GRID]})


def pictures(num_images, size):
    """Discs on striped grounds, uint8 (image, height, width, 3)."""
    y, x = np.mgrid[0:size, 0:size] / size
    found = []
    for index in range(num_images):
        rng = np.random.default_rng(index)
        ground = 0.5 + 0.3 * np.sin(2 * np.pi * (3 + index) * (x + y * rng.normal()))
        disc = ((x - rng.uniform(0.3, 0.7)) ** 2 + (y - 0.5) ** 2 < 0.06)[..., None]
        colour = np.where(disc, rng.random(3), ground[..., None] * rng.random(3))
        found.append((255 * colour.clip(0, 1)).astype(np.uint8))
    return np.stack(found)


def _reconstructions(name, size, num_images=3):
    original = pictures(num_images, size)
    tile = size // GRID
    hidden = np.kron(np.indices((GRID, GRID)).sum(0) % 2, np.ones((tile, tile)))[..., None] > 0
    masked = np.where(hidden, np.uint8(128), original)
    blurred = (original // 2 + original.mean((1, 2), keepdims=True) // 2).astype(np.uint8)
    arrays = {"original": original, "masked": masked}
    arrays["reconstruction"] = np.where(hidden, blurred, original)
    return Exhibit("reconstructions", name, arrays, {})


def results(kinds=None, num_images=11, size=40):
    """A Table of all measures for models of the kinds cl, mim, both, random, uniform."""
    kinds = {"CL": "cl", "MIM": "mim", "random init": "random"} if kinds is None else kinds
    tables = [baselines(num_images)]
    for index, (name, kind) in enumerate(kinds.items()):
        rng = np.random.default_rng(index)
        frames = [
            *_scalars(rng, name, kind, num_images),
            *_spectra(rng, name, kind),
            *_probe(rng, name, kind, num_images),
        ]
        exhibits = [_maps(rng, name, kind, size)]
        exhibits += [_reconstructions(name, size)] if kind in ("mim", "both") else []
        tables.append(Table(typed(pd.concat(frames)), {}, tuple(exhibits)))
    table = concat(tables)
    return Table(table.frame, notes(kinds, num_images), table.exhibits)
