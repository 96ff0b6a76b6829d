"""DINO's weights, as facebookresearch/dino saves them.

A training file holds teacher and student. The authors evaluate the teacher, and that is the
default; the other is asked for: `dino:PATH?branch=student`. Their backbone-only files are the
teacher's keys at the top level, and nothing in them names DINO: any plain Vision Transformer with
learned positions and without a classifier that is saved so is taken for one. If it is another's,
its spec must state what differs: `dino:PATH?num_heads=12&mean=0.5,0.5,0.5&std=0.5,0.5,0.5`.
"""

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_vit import vit_encoder
from vitscope.models.ibot import STUDENT, is_ibot
from vitscope.models.published import DINO
from vitscope.models.recognition import has_prefix, held_tensors
from vitscope.models.self_distillation import (
    BRANCH_OPTION,
    branch_weights,
    branches,
    is_backbone,
)
from vitscope.models.spec import Spec

DROPPED = ("head.*",)


def is_dino(checkpoint: Checkpoint) -> bool:
    """Whether a plain encoder is in two branches that are not iBOT's, or bare at the top level."""
    if there := branches(checkpoint):
        return all(map(is_backbone, there.values())) and not is_ibot(checkpoint)
    weights = held_tensors(checkpoint)
    return is_backbone(weights) and not has_prefix(weights, "head.", STUDENT)


def dino_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """One branch of a file, in timm's VisionTransformer.

    Args:
        checkpoint: The file.
        spec: Its options may give branch (teacher, the default, or student), num_heads, eps,
            image_size (positions are resampled as DINO does), mean and std.

    Raises:
        ValueError: If the branch is not in the file, or a size is not in it, stated or published.
    """
    options = spec.typed_options({**BRANCH_OPTION, **OPTIONS})
    weights, branch = branch_weights(checkpoint, spec, options)
    return vit_encoder(weights, DINO, spec, options, dropped=DROPPED, branch=branch)


FORMAT = CheckpointFormat(
    name="dino",
    recognises=is_dino,
    encoder=dino_encoder,
    description="facebookresearch/dino, teacher and student or a bare backbone",
)
