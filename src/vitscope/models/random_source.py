"""Random weights: the baseline of every comparison, initialised as training starts."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

import torch

from vitscope.models.backbone import Backbone
from vitscope.models.module_backbone import module_backbone
from vitscope.models.spec import Spec, one_of, positive, seed_number
from vitscope.models.timm_source import random_timm_backbone
from vitscope.models.vit import build_vit
from vitscope.recipe import Architecture

OWN = "vit"


def random_backbone(spec: Spec) -> Backbone:
    """A Vision Transformer with random weights.

    `random:vit?image_size=64&patch_size=8&embed_dim=128&depth=6&num_heads=4&seed=0` is the model
    that vitscope trains, before its first step; every field of `Architecture` is an option, and
    what is not given keeps its default. `random:NAME?seed=0` is any of timm's, as timm draws it.

    Args:
        spec: `seed` (default 0) makes the weights repeatable; torch's global generator is left
            as it was.

    Raises:
        ValueError: If an option is unknown or the sizes do not go together.
    """
    if spec.name != OWN:
        return random_timm_backbone(spec)
    options = spec.typed_options({**_architecture_options(), "seed": seed_number})
    seed = options.pop("seed", 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vit = build_vit(Architecture(**options))
    return module_backbone(vit, spec.text, facts={"branch": "random weights", "seed": str(seed)})


def _architecture_options() -> dict[str, Callable[[str], Any]]:
    return {entry.name: _reader(entry.type) for entry in fields(Architecture)}


def _reader(kind: Any) -> Callable[[str], Any]:
    """What turns an option's text into a value of a field's type."""
    if get_origin(kind) is Literal:
        return one_of(*get_args(kind))
    if type(None) in get_args(kind):
        (inner,) = (argument for argument in get_args(kind) if argument is not type(None))
        return lambda text: None if text == "none" else inner(text)
    return positive if kind is int else kind
