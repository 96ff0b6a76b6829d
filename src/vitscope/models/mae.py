"""MAE's weights, as facebookresearch/mae saves them: the encoder alone, or with its decoder.

A file holds neither the number of heads, nor the image's size, nor the norms' epsilon, nor how
pixels were normalised. Published sizes are known; anything else is stated in the spec:
`mae:PATH?num_heads=8&eps=1e-5&image_size=32&mean=0.5,0.5,0.5&std=0.5,0.5,0.5`.
"""

import math
import re
from collections.abc import Mapping
from functools import partial

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitscope.models.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone
from vitscope.models.checkpoint import Checkpoint, load_strictly, require_key
from vitscope.models.checkpoint_format import CheckpointFormat
from vitscope.models.module_backbone import module_backbone
from vitscope.models.spec import Spec, channel_values, positive, sides
from vitscope.models.vit import sincos_positions

HOLDER = "model"  # official files are {"model": tensors}, training files add the optimiser
DROPPED = ("mask_token", "decoder_*")
NUM_HEADS = {768: 12, 1024: 16, 1280: 16}  # mae `models_mae.py`: base, large, huge, by embed_dim
LAYER_NORM_EPS = 1e-6  # mae `models_mae.py`; torch's default is 1e-5
TABLE_TOLERANCE = 1e-4  # files hold the table in float32 or float16; a learned one differs by 1e-2
BLOCK = re.compile(r"blocks\.(\d+)\.")
SIGNATURE = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")
OPTIONS = {
    "num_heads": positive,
    "eps": float,
    "image_size": sides,
    "mean": channel_values,
    "std": channel_values,
}


def mae_positions(rows: int, columns: int, embed_dim: int) -> Tensor:
    """MAE's fixed position table: the first half of the channels encodes the column.

    Args:
        rows: Patch rows.
        columns: Patch columns.
        embed_dim: Channels, a multiple of 4.

    Returns:
        Shape (rows * columns, embed_dim), in [-1, 1]: MoCo v3's table with its halves swapped.

    Source:
        mae `util/pos_embed.py`, which takes the column first.
    """
    row, column = sincos_positions(rows, columns, embed_dim).chunk(2, dim=1)
    return torch.cat([column, row], dim=1)


def is_mae(checkpoint: Checkpoint) -> bool:
    """Whether a file's keys are MAE's: it has a decoder, or the fixed table that MAE alone uses."""
    try:
        weights = checkpoint.weights(HOLDER)
    except ValueError:
        return False
    if not all(key in weights for key in SIGNATURE):
        return False
    if "decoder_pos_embed" in weights:
        return True
    table = weights["pos_embed"]
    grid = _square_grid(table.shape[1] - 1) if table.ndim == 3 else None
    if grid is None or table.shape[-1] % 4:
        return False
    rows, columns = grid
    expected = mae_positions(rows, columns, table.shape[-1])
    return torch.allclose(table[0, 1:].float(), expected, rtol=0, atol=TABLE_TOLERANCE)


def mae_backbone(checkpoint: Checkpoint, spec: Spec) -> Backbone:
    """MAE's encoder, in timm's VisionTransformer.

    Args:
        checkpoint: The file.
        spec: Its options may give num_heads, eps, image_size, mean and std.

    Raises:
        ValueError: If a size is not in the file, stated or published, or a key does not fit.
    """
    options = spec.typed_options(OPTIONS)
    weights = checkpoint.weights(HOLDER)
    source = str(checkpoint.path)
    projection = require_key(weights, "patch_embed.proj.weight", 4, source)
    embed_dim, channels, *patch_size = projection.shape
    mlp_width = require_key(weights, "blocks.0.mlp.fc1.weight", 2, source).shape[0]
    vit = VisionTransformer(
        img_size=options.get("image_size") or _square_image(weights, patch_size, spec),
        patch_size=tuple(patch_size),  # pyright: ignore[reportArgumentType]  # timm takes pairs
        in_chans=channels,
        num_classes=0,
        embed_dim=embed_dim,
        depth=_depth(weights),
        num_heads=_num_heads(options.get("num_heads"), embed_dim, spec),
        mlp_ratio=mlp_width / embed_dim,
        norm_layer=partial(nn.LayerNorm, eps=options.get("eps", LAYER_NORM_EPS)),
        weight_init="skip",  # every weight is loaded below
    )
    report = load_strictly(vit, weights, dropped=DROPPED, source=source)
    return module_backbone(
        vit,
        checkpoint.path.stem,
        mean=_per_channel(options.get("mean"), IMAGENET_MEAN, channels, "mean", spec),
        std=_per_channel(options.get("std"), IMAGENET_STD, channels, "std", spec),
        facts={"sha256": checkpoint.sha256, "branch": "encoder", "keys": str(report)},
    )


def _depth(weights: Mapping[str, Tensor]) -> int:
    return 1 + max(int(match[1]) for key in weights if (match := BLOCK.match(key)))


def _num_heads(stated: int | None, embed_dim: int, spec: Spec) -> int:
    if stated is not None:
        if embed_dim % stated:
            raise ValueError(
                f"{spec.text!r}: embed_dim {embed_dim} is no multiple of {stated} heads"
            )
        return stated
    if embed_dim not in NUM_HEADS:
        known = ", ".join(f"{width}: {heads}" for width, heads in NUM_HEADS.items())
        raise ValueError(
            f"a file does not hold the number of heads, and embed_dim {embed_dim} is no published "
            f"MAE size ({known}); state it: {spec.kind}:{spec.name}?num_heads=N"
        )
    return NUM_HEADS[embed_dim]


def _square_image(
    weights: Mapping[str, Tensor], patch_size: list[int], spec: Spec
) -> tuple[int, int]:
    num_patches = require_key(weights, "pos_embed", 3, spec.text).shape[1] - 1
    grid = _square_grid(num_patches)
    if grid is None:
        raise ValueError(
            f"{num_patches} positions are no square grid; state the image's size: "
            f"{spec.kind}:{spec.name}?image_size=HEIGHTxWIDTH"
        )
    return grid[0] * patch_size[0], grid[1] * patch_size[1]


def _square_grid(num_patches: int) -> tuple[int, int] | None:
    """MAE's own models take square images; None if the number of patches is no square."""
    side = math.isqrt(max(num_patches, 0))
    return (side, side) if side and side * side == num_patches else None


def _per_channel(
    given: tuple[float, ...] | None,
    default: tuple[float, ...],
    channels: int,
    what: str,
    spec: Spec,
) -> tuple[float, ...]:
    values = given or default
    if len(values) != channels:
        raise ValueError(
            f"expected the {what} of {channels} channels for {spec.text!r}, got {len(values)}; "
            f"state it: {what}={','.join(['0.5'] * channels)}"
        )
    return values


FORMAT = CheckpointFormat(
    name="mae",
    recognises=is_mae,
    backbone=mae_backbone,
    description="facebookresearch/mae, encoder alone or with decoder",
)
