"""timm's VisionTransformer, of the sizes and parts that weights have."""

from collections.abc import Mapping
from typing import Any

import torch
from timm.layers import SwiGLUPacked
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitscope.models.checkpoint_format import Encoder
from vitscope.models.described import layer_norm, normalisation, num_heads, sizes_of
from vitscope.models.positions import resampled_positions, square_grid
from vitscope.models.published import Published
from vitscope.models.spec import Spec
from vitscope.models.strict_loading import require_key

Grid = tuple[int, int]


def vit_encoder(
    weights: Mapping[str, Tensor],
    published: Published,
    spec: Spec,
    options: Mapping[str, Any],
    *,
    dropped: tuple[str, ...],
    branch: str,
    cls_has_position: bool = True,
) -> Encoder:
    """A plain Vision Transformer, with the parts that its keys name.

    Args:
        weights: Under timm's names; `reg_token`, `dist_token`, `blocks.*.ls1.gamma`, `fc_norm.*`
            and gated MLPs are built where they are present.
        published: The authors' facts.
        spec: Where the weights come from.
        options: The spec's, converted (`described.OPTIONS`).
        dropped: Shell patterns of keys that are not part of the encoder.
        branch: What a report should say.
        cls_has_position: Whether `pos_embed` has rows for the tokens before the patches.

    Raises:
        ValueError: If a size is not in the file, stated or published.
    """
    sizes = sizes_of(weights, spec.name)
    positions = require_key(weights, "pos_embed", 3, spec.name)
    prefix = (2 if "dist_token" in weights else 1) if cls_has_position else 0
    patch = sizes.patch_size
    grid = _grid(positions.shape[1] - prefix, patch, options.get("image_size"), spec)
    positions = _fitted(positions, prefix, grid, published, spec)
    registers = weights["reg_token"].shape[1] if "reg_token" in weights else 0
    if registers:  # they follow CLS and have no position
        none = positions.new_zeros(1, registers, sizes.embed_dim)
        positions = torch.cat([positions[:, :prefix], none, positions[:, prefix:]], dim=1)
    heads, heads_from = num_heads(options.get("num_heads"), sizes.embed_dim, published, spec)
    kind = VisionTransformerDistilled if "dist_token" in weights else VisionTransformer
    module = kind(
        **sizes.timm,
        **_parts(weights),
        img_size=(grid[0] * patch[0], grid[1] * patch[1]),
        num_heads=heads,
        reg_tokens=registers,
        no_embed_class=not cls_has_position,
        norm_layer=layer_norm(options, published),
        weight_init="skip",  # every weight is loaded
    )
    mean, std = normalisation(options, published, sizes.channels, spec)
    return Encoder(
        module=module,
        weights={**weights, "pos_embed": positions},
        dropped=dropped,
        heads_from=heads_from,
        facts={"branch": branch, **published.facts},
        mean=mean,
        std=std,
    )


def _parts(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments for the parts that a block or the output has only in some models."""
    parts: dict[str, Any] = {"qkv_bias": "blocks.0.attn.qkv.bias" in weights}
    if "blocks.0.ls1.gamma" in weights:
        parts["init_values"] = 1.0  # any value makes a LayerScale, whose weights are loaded
    if "fc_norm.weight" in weights and "norm.weight" not in weights:
        parts["global_pool"] = "avg"
    narrow = weights.get("blocks.0.mlp.fc2.weight")
    if narrow is not None and 2 * narrow.shape[-1] == weights["blocks.0.mlp.fc1.weight"].shape[0]:
        parts |= {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
    return parts


def _grid(num_positions: int, patch: Grid, image: Grid | None, spec: Spec) -> Grid:
    """Rows and columns of patches: the stated image's, else those of a square one."""
    if image is None:
        square = square_grid(num_positions)
        if square is None:
            raise ValueError(
                f"{num_positions} positions are no square grid; state the image's size: "
                f"{spec.kind}:{spec.name}?image_size=HEIGHTxWIDTH"
            )
        return square
    if image[0] % patch[0] or image[1] % patch[1]:
        raise ValueError(
            f"{spec.text!r}: an image of {image[0]} x {image[1]} pixels is no multiple of patches "
            f"of {patch[0]} x {patch[1]}"
        )
    return image[0] // patch[0], image[1] // patch[1]


def _fitted(positions: Tensor, prefix: int, grid: Grid, published: Published, spec: Spec) -> Tensor:
    """The table for a grid: as it is, or resampled if the authors' encoder does that."""
    num_positions = positions.shape[1] - prefix
    native = square_grid(num_positions)
    if published.resampling and native and native != grid:
        return resampled_positions(positions, grid, published.resampling)
    if num_positions != grid[0] * grid[1]:
        raise ValueError(
            f"{spec.text!r}: {num_positions} positions do not fit {grid[0]} x {grid[1]} patches, "
            "and the authors' encoder does not resample them; give the image_size it was made for"
        )
    return positions
