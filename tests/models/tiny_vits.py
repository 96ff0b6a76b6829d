"""Tiny Vision Transformers of many kinds, with attention far from uniform."""

from functools import partial

import torch
from timm.layers import RmsNorm
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torchvision.models import VisionTransformer as TorchvisionVisionTransformer

from tests import deterministic
from vitscope.models.backbone import Backbone
from vitscope.models.module_backbone import module_backbone

# A grid of 3 rows and 5 columns; 4 heads of 8 channels.
SIZES = {
    "img_size": (24, 40),
    "patch_size": 8,
    "embed_dim": 32,
    "depth": 3,
    "num_heads": 4,
    "num_classes": 0,
}
TIMM = {
    "cls": partial(VisionTransformer, **SIZES),
    "no_prefix": partial(VisionTransformer, **SIZES, class_token=False, global_pool="avg"),
    "registers": partial(VisionTransformer, **SIZES, reg_tokens=4),
    "qk_norm": partial(VisionTransformer, **SIZES, qk_norm=True),
    "attention_norm": partial(VisionTransformer, **SIZES, scale_attn_norm=True),
    "layer_scale": partial(VisionTransformer, **SIZES, init_values=1e-5),
    "attention_pooling": partial(
        VisionTransformer, **SIZES, class_token=False, global_pool="map", fc_norm=False
    ),
    "shared_relative": partial(
        Beit, **SIZES, use_abs_pos_emb=False, use_shared_rel_pos_bias=True, init_values=0.1
    ),
    "own_relative": partial(Beit, **SIZES, use_abs_pos_emb=False, use_rel_pos_bias=True),
    "rope": partial(Eva, **SIZES, use_rot_pos_emb=True, num_reg_tokens=2, swiglu_mlp=True),
    "rope_mixed": partial(
        Eva,
        **SIZES,
        use_rot_pos_emb=True,
        rope_type="mixed",
        attn_type="rope",
        qk_norm=True,
        norm_layer=RmsNorm,
    ),
}


def tiny(kind: str, scale: float = 2.0) -> Backbone:
    """A timm model of that kind; its weights depend on their names alone."""
    module = TIMM[kind]()
    deterministic.fill(module, scale=scale)
    return module_backbone(module.eval(), kind)


def tiny_torchvision() -> Backbone:
    module = TorchvisionVisionTransformer(
        image_size=24, patch_size=8, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48
    )
    deterministic.fill(module, scale=2.0)
    return module_backbone(module.eval(), "torchvision")


def images(backbone: Backbone, count: int = 2) -> torch.Tensor:
    height, width = backbone.image_size
    return (3 * deterministic.uniform(7, (count, 3, height, width)) - 1.5).float()
