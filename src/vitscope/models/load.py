"""load: from a spec, or a module in memory, to a Backbone."""

from collections.abc import Callable
from dataclasses import replace

from torch import nn

from vitscope.models.backbone import Backbone
from vitscope.models.checkpoint import read_checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat
from vitscope.models.formats import FORMATS, detected_format
from vitscope.models.module_backbone import module_backbone
from vitscope.models.random_source import random_backbone
from vitscope.models.spec import Spec, parse_spec
from vitscope.models.timm_source import pretrained_backbone
from vitscope.models.vitscope_weights import bundled_backbone, run_backbone


def load(spec_or_module: str | nn.Module, name: str | None = None) -> Backbone:
    """A Vision Transformer, ready to be measured.

    Args:
        spec_or_module: A module in memory (kept as it is), or where one comes from:

            - ``timm:NAME``: timm's model with its published weights
            - ``random:NAME``, ``random:vit?depth=6&seed=0``: random weights
            - ``run:FOLDER``: what a vitscope run left
            - ``bundled:NAME``: shipped with vitscope
            - ``file:PATH``: a weight file whose format its keys tell
            - ``moco_v3:PATH?branch=momentum``, ``simmim:PATH``, ``mae:PATH``, ``dino:PATH``,
              ``ibot:PATH``, ``beit:PATH``, ``dinov2:PATH?image_size=224``, ``deit:PATH``,
              ``vitscope:PATH``: a weight file of that format
        name: Shown in tables and figures; None: the source's own.

    Returns:
        The Backbone. From a spec: in evaluation mode, on the CPU. `facts` holds the spec, the
        number of parameters, and what the source knows (sha256 of the file, branch, licence).

    Raises:
        ValueError: If the source is unknown or missing, cannot be read safely, or does not fit.

    Example:
        >>> load("random:vit?embed_dim=16&depth=2&num_heads=2").depth
        2
    """
    if isinstance(spec_or_module, nn.Module):
        module = spec_or_module
        backbone = module_backbone(module, name or type(module).__name__)
        text = "a module in memory"
    else:
        spec = parse_spec(spec_or_module)
        backbone = _source(spec)(spec)
        backbone.module.eval()
        text = spec.text
    num_parameters = sum(parameter.numel() for parameter in backbone.module.parameters())
    facts = {"spec": text, "num_parameters": str(num_parameters), **backbone.facts}
    return replace(backbone, name=name or backbone.name, facts=facts)


def _source(spec: Spec) -> Callable[[Spec], Backbone]:
    sources: dict[str, Callable[[Spec], Backbone]] = {
        "timm": pretrained_backbone,
        "random": random_backbone,
        "run": run_backbone,
        "bundled": bundled_backbone,
        "file": _detected_backbone,
        **{known.name: _reader(known) for known in FORMATS},
    }
    if spec.kind not in sources:
        raise ValueError(
            f"expected a model as kind:name with a kind of {', '.join(sources)}, got {spec.text!r}"
        )
    return sources[spec.kind]


def _reader(known: CheckpointFormat) -> Callable[[Spec], Backbone]:
    return lambda spec: known.backbone(read_checkpoint(spec.name), spec)


def _detected_backbone(spec: Spec) -> Backbone:
    checkpoint = read_checkpoint(spec.name)
    return detected_format(checkpoint).backbone(checkpoint, spec)
