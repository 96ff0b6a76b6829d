"""Recipes: functions that return a Recipe. Vary one with `dataclasses.replace`, or by name:

vitscope pretrain cifar10_hybrid --optimisation.num-images 200000
"""

from collections.abc import Callable

from vitscope.recipe import Recipe
from vitscope.recipes.cifar10 import cifar10_hybrid, cifar10_moco_v3, cifar10_simmim
from vitscope.recipes.official import moco_v3_vit_b16, moco_v3_vit_s16, simmim_vit_b16
from vitscope.recipes.shape_texture import (
    shape_texture_hybrid,
    shape_texture_moco_v3,
    shape_texture_simmim,
)
from vitscope.recipes.smoke import smoke

RECIPES: dict[str, Callable[[], Recipe]] = {
    "shape_texture_moco_v3": shape_texture_moco_v3,
    "shape_texture_simmim": shape_texture_simmim,
    "shape_texture_hybrid": shape_texture_hybrid,
    "cifar10_moco_v3": cifar10_moco_v3,
    "cifar10_simmim": cifar10_simmim,
    "cifar10_hybrid": cifar10_hybrid,
    "moco_v3_vit_s16": moco_v3_vit_s16,
    "moco_v3_vit_b16": moco_v3_vit_b16,
    "simmim_vit_b16": simmim_vit_b16,
}

__all__ = [
    "RECIPES",
    "Recipe",
    "cifar10_hybrid",
    "cifar10_moco_v3",
    "cifar10_simmim",
    "moco_v3_vit_b16",
    "moco_v3_vit_s16",
    "shape_texture_hybrid",
    "shape_texture_moco_v3",
    "shape_texture_simmim",
    "simmim_vit_b16",
    "smoke",
]
