"""The Vision Transformers that vitscope trains: timm's, configured and initialised as published."""

import math
from typing import Any

import torch
from einops import repeat
from timm.models.beit import Beit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vitscope.recipe import Architecture

Encoder = VisionTransformer | Beit

LAYER_NORM_EPS = 1e-6  # moco-v3, SimMIM and mae all use it; torch's default is 1e-5
WAVELENGTH = 10_000.0  # moco-v3 `build_2d_sincos_position_embedding(temperature=10000.)`
TOKEN_STD = 1e-6  # moco-v3 `nn.init.normal_(self.cls_token, std=1e-6)`
TRUNCATED_STD = 0.02  # SimMIM and BEiT


def build_vit(architecture: Architecture, seed: int | None = None) -> Encoder:
    """A freshly initialised encoder without a classifier head.

    Args:
        architecture: Sizes and position scheme. ``relative`` gives timm's `Beit` with one bias
            table shared by all blocks and no absolute position, as SimMIM's ViT.
        seed: Of the weights, which then leave torch's global generator alone; None: drawn from it.

    Returns:
        A module whose `forward_features(images)` gives normalised tokens, CLS first.
    """
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build_vit(architecture)
    shared = {
        "img_size": architecture.image_size,
        "patch_size": architecture.patch_size,
        "num_classes": 0,
        "global_pool": "token",
        "embed_dim": architecture.embed_dim,
        "depth": architecture.depth,
        "num_heads": architecture.num_heads,
        "mlp_ratio": architecture.mlp_ratio,
        "init_values": architecture.init_values,
        "drop_path_rate": architecture.drop_path,
        "norm_layer": _layer_norm,
    }
    vit: Encoder
    if architecture.position == "relative":
        vit = Beit(**shared, use_abs_pos_emb=False, use_shared_rel_pos_bias=True)
    else:
        vit = VisionTransformer(**shared)
    if architecture.initialisation == "moco_v3":
        _initialise_as_moco_v3(vit)
    else:
        _initialise_as_simmim(vit)
    if architecture.position == "sincos":
        rows, columns = vit.patch_embed.grid_size
        table = sincos_positions(rows, columns, architecture.embed_dim)
        table = torch.cat([torch.zeros_like(table[:1]), table])[None]  # CLS has no position
        vit.pos_embed = nn.Parameter(table.to(torch.get_default_dtype()))
        vit.pos_embed.requires_grad_(False)
    return vit


def sincos_positions(rows: int, columns: int, embed_dim: int) -> Tensor:
    """MoCo v3's fixed position table: the first half of the channels encodes the row.

    Args:
        rows: Patch rows.
        columns: Patch columns.
        embed_dim: Channels, a multiple of 4.

    Returns:
        Shape (rows * columns, embed_dim), in [-1, 1]; each half is [all sines, all cosines].

    Source:
        moco-v3 `vits.py`. MAE's table has the two halves swapped.
    """
    quarter = embed_dim // 4
    frequency = WAVELENGTH ** -(torch.arange(quarter, dtype=torch.float32) / quarter)
    row = repeat(torch.arange(rows, dtype=torch.float32), "row -> (row column)", column=columns)
    column = repeat(torch.arange(columns, dtype=torch.float32), "column -> (row column)", row=rows)
    waves = [position[:, None] * frequency for position in (row, column)]
    return torch.cat([half for wave in waves for half in (wave.sin(), wave.cos())], dim=1)


def masked_forward_features(
    vit: Encoder, images: Tensor, mask: Tensor, mask_token: Tensor
) -> Tensor:
    """`forward_features` with the embeddings of masked patches replaced by a token.

    Args:
        vit: A timm encoder that embeds patches in `patch_embed`.
        images: Shape (image, channel, height, width).
        mask: Shape (image, patch), true where the patch is hidden.
        mask_token: Shape (1, 1, embed_dim).

    Returns:
        Tokens (image, token, channel) after the final norm. The replacement comes before CLS and
        position are added, as in SimMIM.
    """

    def hide(module: nn.Module, inputs: tuple[Tensor, ...], embedding: Tensor) -> Tensor:
        return torch.where(mask[..., None], mask_token.to(embedding.dtype), embedding)

    handle = vit.patch_embed.register_forward_hook(hide)
    try:
        return vit.forward_features(images)
    finally:
        handle.remove()


def _layer_norm(channels: int, **factory: object) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=LAYER_NORM_EPS, **factory)  # pyright: ignore[reportArgumentType]


def _linears(vit: nn.Module) -> list[tuple[str, nn.Linear]]:
    return [(name, module) for name, module in vit.named_modules() if isinstance(module, nn.Linear)]


def _initialise_as_moco_v3(vit: Encoder) -> None:
    """Xavier-uniform, with q, k and v as three matrices; see moco-v3 `vits.py`."""
    for name, linear in _linears(vit):
        if name.endswith("qkv"):
            bound = math.sqrt(6 / (linear.out_features // 3 + linear.in_features))
            nn.init.uniform_(linear.weight, -bound, bound)
        else:
            nn.init.xavier_uniform_(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    projection: nn.Conv2d = vit.patch_embed.proj  # type: ignore[assignment]
    fan_in = projection.weight[0].numel()
    bound = math.sqrt(6 / (fan_in + projection.out_channels))
    nn.init.uniform_(projection.weight, -bound, bound)
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)
    assert vit.cls_token is not None
    nn.init.normal_(vit.cls_token, std=TOKEN_STD)


def _initialise_as_simmim(vit: Encoder) -> None:
    """Normal of std 0.02 cut at one standard deviation; block outputs shrink with depth."""
    assert vit.cls_token is not None
    truncated_normal(vit.cls_token)
    projection: nn.Conv2d = vit.patch_embed.proj  # type: ignore[assignment]
    truncated_normal(projection.weight)
    if projection.bias is not None:
        nn.init.zeros_(projection.bias)
    for _, linear in _linears(vit):
        truncated_normal(linear.weight)
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
    with torch.no_grad():
        block: Any
        for layer, block in enumerate(vit.blocks.children(), start=1):
            block.attn.proj.weight /= math.sqrt(2 * layer)
            block.mlp.fc2.weight /= math.sqrt(2 * layer)


def truncated_normal(weight: Tensor) -> None:
    """Fill in place as SimMIM does: std 0.02, values beyond one std redrawn."""
    nn.init.trunc_normal_(weight, std=TRUNCATED_STD, a=-TRUNCATED_STD, b=TRUNCATED_STD)
