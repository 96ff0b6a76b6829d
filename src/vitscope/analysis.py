"""Measuring: the only loop over batches and layers. Backbone + images + measures -> Table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn
from torch.utils.data import Dataset

from vitscope.axes import Images, PatchGrid, PatchTokens
from vitscope.data.loader import evaluation_batches
from vitscope.data.source import Source, require_images, skipped_summary
from vitscope.data.sources import as_source
from vitscope.data.transforms import evaluation_transform
from vitscope.exhibits import NUM_CHECKED, attention_exhibit, reconstruction_exhibit
from vitscope.measures import MEASURES, Measure
from vitscope.measures.attention_sums import smoothed
from vitscope.models.backbone import Backbone
from vitscope.models.load import load
from vitscope.rows import Place, Rows
from vitscope.runs import environment
from vitscope.table import Table, concat
from vitscope.tracing import CapturedAttention, Site, Trace, require_self_check, trace

MODES = ("canonical", "paper")
RESERVED_NAMES = ("uniform attention", "raw pixels", "chance")
NUM_EXHIBITED = 4  # images in pictures


def measure(
    backbone: Backbone | nn.Module | str,
    images: Source | str | Images | Dataset,
    measures: Sequence[str] | None = None,
    layers: Sequence[int] | str | None = None,
    mode: str | Sequence[str] = "canonical",
    batch_size: int = 64,
    device: str | None = None,
) -> Table:
    """All measurements of one model in one pass over the images.

    Before anything is measured every block is checked: attention recomputed from what was captured
    must reproduce what the block itself gave.

    Args:
        backbone: A Backbone, a spec for `vitscope.load`, or a module.
        images: Tensor (image, channel, height, width) in [0, 1] or uint8, data set, or data spec.
        measures: Names from `vitscope.measures.MEASURES`; None: all.
        layers: Depths, 0 (embedding) to depth; None or "all": all.
        mode: "canonical", "paper" (the published recipes), or both. Where a measure has no
            published recipe of its own, its rows say canonical either way.
        batch_size: Images per forward pass; changes no number beyond rounding.
        device: Where to run; None: where the module is.

    Returns:
        One row per image (and head), measure, site and layer; spectra as mean and bootstrap
        replicates; the uniform-attention baselines.

    Raises:
        ValueError: If a name, layer or mode is unknown, or a block fails the self-check.
    """
    backbone = backbone if isinstance(backbone, Backbone) else load(backbone)
    source = as_source(images)
    chosen = _chosen([measures] if isinstance(measures, str) else measures)
    modes = (mode,) if isinstance(mode, str) else tuple(mode)
    if not modes or set(modes) - set(MODES):
        raise ValueError(f"expected mode from {', '.join(MODES)}, got {mode!r}")
    wanted = backbone.layers(layers)
    if device is not None:
        backbone.to(device)
    rows = Rows(backbone, source)
    sites = _sites(chosen)
    transform = evaluation_transform(backbone.image_size, backbone.mean, backbone.std)
    num_batches = 0
    for batch, _, indices in evaluation_batches(source, transform, batch_size):
        batch = batch.to(backbone.device, backbone.dtype)
        if "attention" in sites and not num_batches:
            require_self_check(backbone, batch[:NUM_CHECKED])
        num_batches += 1
        traced = trace(backbone, batch, sites)
        for place, value in _values(traced, backbone, chosen, wanted, modes):
            rows.add(place, value.float().cpu().numpy(), indices.numpy())
    require_images(source, num_batches)
    return replace(rows.table(chosen), notes=_notes(backbone, source, chosen, modes))


def compare(
    models: Mapping[str, Backbone | nn.Module | str],
    data: Source | str | Images | Dataset,
    measures: Sequence[str] | None = None,
    mode: str | Sequence[str] = MODES,
    batch_size: int = 64,
    device: str | None = None,
) -> Table:
    """Several models on the same images, with pictures of the first few.

    Args:
        models: Name in the report to model; anything `measure` takes.
        data: Images, as for `measure`; the same for all, so that intervals are paired.
        measures: Names; None: all.
        mode: As for `measure`; by default both, from one pass.
        batch_size: Images per forward pass.
        device: Where to run.

    Returns:
        All rows, with exhibits "attention_maps" and, where a model has a pixel decoder,
        "reconstructions".
    """
    if not isinstance(models, Mapping) or not models:
        raise ValueError(f"expected models by name, such as {{'CL': 'run:a'}}; got {models!r}")
    if reserved := [name for name in models if not name or name in RESERVED_NAMES]:
        raise ValueError(
            f"a model cannot be called {reserved[0]!r}: the report's baselines have the names "
            f"{', '.join(RESERVED_NAMES)}; name it otherwise"
        )
    source = as_source(data)
    tables = []
    for name, model in models.items():
        loaded = model if isinstance(model, Backbone) else load(model)
        backbone = replace(loaded, name=name)
        table = measure(backbone, source, measures, None, mode, batch_size, device)
        exhibits = [attention_exhibit(backbone, source, NUM_EXHIBITED)]
        if (reconstructions := reconstruction_exhibit(backbone, source, NUM_EXHIBITED)) is not None:
            exhibits.append(reconstructions)
        tables.append(replace(table, exhibits=tuple(exhibits)))
    return concat(tables)


def _chosen(names: Sequence[str] | None) -> tuple[Measure, ...]:
    known = {declared.name: declared for declared in MEASURES}
    if names is not None and not names:
        raise ValueError(f"expected one or more measures, got none; there are {', '.join(known)}")
    if unknown := [name for name in names or () if name not in known]:
        raise ValueError(f"no measure {', '.join(unknown)}; there are {', '.join(known)}")
    return MEASURES if names is None else tuple(known[name] for name in names)


def _sites(chosen: Sequence[Measure]) -> tuple[Site, ...]:
    reads = {declared.reads for declared in chosen}
    attention: tuple[Site, ...] = ("attention",) if "attention" in reads else ()
    stream: tuple[Site, ...] = ("tokens", "after_attention") if reads - {"attention"} else ()
    return attention + stream


def _values(
    traced: Trace,
    backbone: Backbone,
    chosen: Sequence[Measure],
    layers: Sequence[int],
    modes: Sequence[str],
) -> Iterable[tuple[Place, Tensor]]:
    """Every value of one batch: (image,), (image, head) or (image, coordinate)."""
    grid = backbone.grid
    on_attention = [declared for declared in chosen if declared.reads == "attention"]
    for layer in layers:
        if layer > 0 and on_attention:
            captured = traced.attention[layer]
            prefix = backbone.num_prefix_tokens
            for (name, variant), value in attention_values(
                captured, prefix, grid, on_attention, modes
            ).items():
                yield (name, variant, "attention", layer, None), value
        for declared in chosen:
            for variant in declared.variants(modes):
                function = declared.paper if variant == "paper" else declared.function
                if declared.reads == "tokens":
                    yield (
                        (declared.name, variant, "tokens", layer, None),
                        function(traced.patch_tokens(layer), grid),
                    )
                    if layer > 0:
                        yield (
                            (declared.name, variant, "after_attention", layer, None),
                            function(traced.patch_after_attention(layer), grid),
                        )
                if declared.reads == "token_pairs" and layer > 0:
                    before = traced.patch_tokens(layer - 1)
                    for site, after in _transformed(traced, layer):
                        yield (
                            (declared.name, variant, site, layer, layer - 1),
                            function(before, after),
                        )


def _transformed(traced: Trace, layer: int) -> tuple[tuple[str, PatchTokens], ...]:
    """What the block's attention, and the whole block, made of its input."""
    return (
        ("attention", traced.patch_after_attention(layer)),
        ("block", traced.patch_tokens(layer)),
    )


def attention_values(
    captured: CapturedAttention,
    num_prefix_tokens: int,
    grid: PatchGrid,
    measures: Sequence[Measure],
    modes: Sequence[str],
) -> dict[tuple[str, str], Tensor]:
    """Attention measures of one layer from one walk over blocks of query rows.

    Sums that several measures share are computed once. In paper mode the weights are smoothed and
    renormalised first, where the published recipe does so.

    Returns:
        (measure, mode) to (image, head).
    """
    needed = {
        (sums, declared.smoothing if variant == "paper" else 0.0)
        for declared in measures
        for variant in declared.variants(modes)
        for sums in declared.sums
    }
    totals: dict[tuple[Callable[..., Tensor], float], Tensor] = {}
    for smoothing in sorted({smoothing for _, smoothing in needed}):
        wanted = [sums for sums, constant in needed if constant == smoothing]
        # The published recipes smooth what is left of a row after dropping the prefix tokens, and
        # renormalise then; so a row that mostly attends to CLS is smoothed more.
        blocks = captured.patch_rows(num_prefix_tokens, renormalised=not smoothing)
        for rows, attention in blocks:
            weights = smoothed(attention, smoothing) if smoothing else attention
            for sums in wanted:
                value, key = sums(weights, grid, rows), (sums, smoothing)
                totals[key] = value if key not in totals else totals[key] + value
    values = {}
    for declared in measures:
        for variant in declared.variants(modes):
            smoothing = declared.smoothing if variant == "paper" else 0.0
            parts = [totals[sums, smoothing] for sums in declared.sums]
            values[declared.name, variant] = declared.combine(*parts, num_queries=grid.num_patches)
    return values


def _notes(
    backbone: Backbone, source: Source, chosen: Sequence[Measure], modes: Sequence[str]
) -> dict[str, object]:
    fields = ("title", "reading", "unit", "source", "display", "low", "high", "coordinate_unit")
    return {
        "models": {backbone.name: backbone.notes()},
        "measures": {
            declared.name: {name: getattr(declared, name) for name in fields} for declared in chosen
        },
        "data": {source.name: source.facts()},
        "settings": {"mode": ", ".join(modes)},
        "versions": environment(),
        "warnings": [skipped_summary(source)] if source.skipped else [],
    }
