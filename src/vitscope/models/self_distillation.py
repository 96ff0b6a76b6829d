"""What DINO, iBOT and DINOv2 share: a file of two branches, teacher and student, or a backbone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.recognition import (
    has_prefix,
    held_tensors,
    is_plain_and_learned,
    without_prefix,
)
from vitscope.models.spec import Spec, one_of

BRANCHES = ("teacher", "student")  # the first is what the authors evaluate
BRANCH_OPTION = {"branch": one_of(*BRANCHES)}
FOREIGN = (  # parts that neither DINO's nor iBOT's encoders have
    "blocks.0.ls1.",
    "blocks.0.gamma_",
    "fc_norm.",
    "mask_token",
    "decoder_",
    "dist_token",
    "reg_token",
)


def branches(checkpoint: Checkpoint) -> dict[str, dict[str, Tensor]]:
    """The weights of each branch that a file has, without what the multi-crop wrapper adds."""
    found = {name: held_tensors(checkpoint, name) for name in BRANCHES}
    return {
        name: {key.removeprefix("backbone."): value for key, value in each.items()}
        for name, each in found.items()
        if each
    }


def is_backbone(weights: Mapping[str, Tensor]) -> bool:
    """Whether keys are those of DINO's and iBOT's encoder: plain, with learned positions."""
    return is_plain_and_learned(weights) and not has_prefix(weights, *FOREIGN)


def branch_weights(
    checkpoint: Checkpoint, spec: Spec, options: Mapping[str, Any], *holders: str
) -> tuple[dict[str, Tensor], str]:
    """The weights of the branch that a spec asks for, and what a report should say of it.

    Args:
        checkpoint: The file.
        spec: Names the file in a message.
        options: The spec's; without a `branch` the teacher is taken.
        holders: Entries that may hold a backbone alone.

    Raises:
        ValueError: If the branch is asked for and the file does not have it.
    """
    there = [name for name in BRANCHES if name in checkpoint.entries]
    wanted = options.get("branch", BRANCHES[0])
    if wanted in there:
        return without_prefix(checkpoint.weights(wanted), "backbone."), wanted
    if there or "branch" in options:
        has = f"only the {there[0]}" if there else "a backbone without branches"
        raise ValueError(f"{spec.text!r}: no {wanted} in the file, it holds {has}")
    return checkpoint.weights(*holders), "backbone, alone in the file"
