"""From a Vision Transformer in memory to a Backbone: its geometry, read from the module itself."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torchvision.models import VisionTransformer as TorchvisionVisionTransformer

from vitscope.axes import PatchGrid
from vitscope.models.backbone import IMAGENET_MEAN, IMAGENET_STD, Backbone

BY_HAND = "construct vitscope.models.backbone.Backbone by hand, which states all of it"
TIMM_ATTRIBUTES = (
    "blocks",
    "embed_dim",
    "num_prefix_tokens",
    "patch_embed.img_size",
    "patch_embed.grid_size",
)


def module_backbone(
    module: nn.Module,
    name: str,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    facts: Mapping[str, str] | None = None,
) -> Backbone:
    """A Backbone around a module, with the geometry that the module states.

    Args:
        module: A timm Vision Transformer (VisionTransformer, Beit, Eva or another whose equal
            blocks follow one patch embedding) or torchvision's. Compiled modules are opened.
        name: Shown in tables and figures.
        mean: Per-channel mean that normalises pixels in [0, 1]; None: the module's own
            `pretrained_cfg`, else ImageNet's.
        std: Per-channel standard deviation, likewise.
        facts: What a report should say of the weights.

    Raises:
        ValueError: If the module does not state its geometry; the message names what is missing.
    """
    module = getattr(module, "_orig_mod", module)  # torch.compile wraps; hooks need the original
    if isinstance(module, TorchvisionVisionTransformer):
        geometry = _torchvision_geometry(module)
    else:
        geometry = _timm_geometry(module)
    config = getattr(module, "pretrained_cfg", None) or {}
    config = config if isinstance(config, Mapping) else vars(config)
    normalisation = (
        "given" if mean and std else "the model's own" if "mean" in config else "ImageNet's"
    )
    return Backbone(
        module=module,
        name=name,
        mean=mean or tuple(config.get("mean", IMAGENET_MEAN)),
        std=std or tuple(config.get("std", IMAGENET_STD)),
        facts={"normalisation": normalisation, **(facts or {})},
        **geometry,
    )


def _timm_geometry(module: nn.Module) -> dict[str, Any]:
    stated = {path: _attribute(module, path) for path in TIMM_ATTRIBUTES}
    if missing := [path for path, value in stated.items() if value is None]:
        raise ValueError(
            f"expected a Vision Transformer of timm or torchvision, got {type(module).__name__} "
            f"without {', '.join(missing)}; {BY_HAND}"
        )
    blocks = tuple(stated["blocks"])
    heads = {_attribute(block, "attn.num_heads") for block in blocks}
    if len(heads) != 1 or None in heads:
        raise ValueError(
            f"expected one number of heads in attn.num_heads of every block of "
            f"{type(module).__name__}, got {sorted(heads, key=str)}; {BY_HAND}"
        )
    image_size = tuple(stated["patch_embed.img_size"])
    return {
        "blocks": blocks,
        "num_heads": heads.pop(),
        "embed_dim": stated["embed_dim"],
        "grid": _grid(image_size, tuple(stated["patch_embed.grid_size"])),
        "image_size": image_size,
        "num_prefix_tokens": stated["num_prefix_tokens"],
    }


def _torchvision_geometry(module: TorchvisionVisionTransformer) -> dict[str, Any]:
    blocks = tuple(module.encoder.layers)
    image_size = (module.image_size, module.image_size)
    side = module.image_size // module.patch_size
    return {
        "blocks": blocks,
        "num_heads": blocks[0].num_heads,
        "embed_dim": module.hidden_dim,
        "grid": _grid(image_size, (side, side)),
        "image_size": image_size,
        "num_prefix_tokens": 1,  # `class_token`; torchvision has no other
    }


def _grid(image_size: tuple[int, ...], grid_size: tuple[int, ...]) -> PatchGrid:
    height, width = image_size
    rows, columns = grid_size
    if height % rows or width % columns:
        raise ValueError(
            f"expected patches that tile the image, got {rows} x {columns} patches on "
            f"{height} x {width} pixels; {BY_HAND}"
        )
    return PatchGrid(rows, columns, height // rows, width // columns)


def _attribute(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    return value
