"""From a recipe's fields to the module that is trained."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vitscope.models.vit import build_vit
from vitscope.objectives.hybrid import Hybrid
from vitscope.objectives.moco_v3 import MoCoV3
from vitscope.objectives.simmim import SimMIM
from vitscope.recipe import Architecture, Objective


def build_objective(architecture: Architecture, objective: Objective, seed: int) -> Hybrid:
    """Encoder and the branches that `objective.cl_weight` needs, freshly initialised.

    Args:
        architecture: Of the encoder.
        objective: What is minimised.
        seed: Of all weights. Each part has a stream of its own, so arms that differ in the
            objective start from the same encoder.

    Returns:
        A `Hybrid`; with `cl_weight` 0 or 1 it has one branch only.
    """
    encoder = build_vit(architecture, seed=seed)
    if objective.freeze_patch_projection:
        encoder.patch_embed.proj.requires_grad_(False)
    contrastive = masked = None
    if objective.cl_weight > 0:
        with _stream(seed, "contrastive"):
            contrastive = MoCoV3(
                encoder,
                objective.projector_hidden_dim,
                objective.projector_dim,
                objective.temperature,
            )
    if objective.cl_weight < 1:
        with _stream(seed, "masked"):
            masked = SimMIM(encoder)
    return Hybrid(encoder, objective.cl_weight, contrastive, masked)


@contextmanager
def _stream(seed: int, part: str) -> Iterator[None]:
    """Random numbers of one part of the model; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(zlib.crc32(f"{seed} {part}".encode()))
        yield
