"""timm's models, with published weights or with random ones."""

import difflib
import hashlib
from collections.abc import Mapping

import timm
import torch
from torch import Tensor, nn

from vitscope.models.backbone import Backbone
from vitscope.models.module_backbone import module_backbone
from vitscope.models.spec import Spec, seed_number, sides


def pretrained_backbone(spec: Spec) -> Backbone:
    """A timm model with its published weights: `timm:NAME.TAG?image_size=224`.

    timm fetches the weights from the Hugging Face hub and keeps them. Another image size resamples
    the position table as timm does; the native size is kept unless one is stated.

    Raises:
        ValueError: If timm has no such model or no weights for it, they cannot be fetched, or it is
            no Vision Transformer.
    """
    options = spec.typed_options({"image_size": sides})
    module = _timm_module(spec, pretrained=True, image_size=options.get("image_size"))
    config = getattr(module, "pretrained_cfg", {})
    facts = {
        "branch": "encoder",
        "weights": str(config.get("hf_hub_id") or config.get("url")),
        "tag": str(config.get("tag")),
        "licence": str(config.get("license") or "not stated by timm"),
        "sha256_of_tensors": sha256_of_tensors(module.state_dict()),
    }
    return module_backbone(module, spec.name, facts=facts)


def random_timm_backbone(spec: Spec) -> Backbone:
    """A timm model with timm's own random weights: `random:NAME?image_size=224&seed=0`.

    Raises:
        ValueError: If timm has no such model, or it is no Vision Transformer.
    """
    options = spec.typed_options({"image_size": sides, "seed": seed_number})
    seed = options.get("seed", 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _timm_module(spec, pretrained=False, image_size=options.get("image_size"))
    return module_backbone(module, spec.name, facts={"branch": "random weights", "seed": str(seed)})


def sha256_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over keys, types, shapes and bytes, in the order of the keys; hexadecimal."""
    digest = hashlib.sha256()
    for key in sorted(tensors):
        value = tensors[key].detach().cpu().contiguous()
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _timm_module(spec: Spec, *, pretrained: bool, image_size: tuple[int, int] | None) -> nn.Module:
    architecture = spec.name.partition(".")[0]
    if not timm.is_model(architecture):
        near = ", ".join(difflib.get_close_matches(architecture, timm.list_models(), n=5))
        raise ValueError(f"timm has no model {architecture!r}; the nearest are: {near or 'none'}")
    try:  # timm leaves out an argument that is None
        return timm.create_model(
            spec.name, pretrained=pretrained, num_classes=0, img_size=image_size
        )
    except (RuntimeError, OSError, TypeError) as error:
        raise ValueError(
            f"timm could not build {spec.text!r}: {str(error).rstrip('.')}. Published weights need "
            f"a network once; random:{spec.name.partition('.')[0]} is the model without them"
        ) from error
