"""iBOT's weights, as bytedance/ibot saves them.

A training file holds teacher and student. The authors evaluate the teacher, and that is the
default; the other is asked for: `ibot:PATH?branch=student`. Their backbone files hold one of the
two under `state_dict`; the student's has `masked_embed`. A teacher's backbone that their script
extracts lies at the top level and cannot be told from DINO's; the same facts hold for both.
"""

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_vit import vit_encoder
from vitscope.models.published import IBOT
from vitscope.models.recognition import has_prefix, held_tensors
from vitscope.models.self_distillation import (
    BRANCH_OPTION,
    branch_weights,
    branches,
    is_backbone,
)
from vitscope.models.spec import Spec

HOLDER = "state_dict"
STUDENT = "masked_embed"  # replaces a masked patch; the teacher sees whole images
MARKS = (STUDENT, "head.last_layer2.", "head.mlp2.")  # models/head.py: one output for patches
DROPPED = ("head.*", STUDENT)


def is_ibot(checkpoint: Checkpoint) -> bool:
    """Whether two branches have iBOT's loss, masked patch or second head, or a backbone is alone.

    Alone, it is iBOT's if it lies under `state_dict` without a classifier, or is a student's.
    """
    if there := branches(checkpoint):
        marked = any(has_prefix(each, *MARKS) for each in there.values())
        marked = marked or "ibot_loss" in checkpoint.entries
        return marked and all(map(is_backbone, there.values()))
    if weights := held_tensors(checkpoint, HOLDER):
        return is_backbone(weights) and not has_prefix(weights, "head.")
    weights = held_tensors(checkpoint)
    return is_backbone(weights) and STUDENT in weights


def ibot_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """One branch of a file, in timm's VisionTransformer.

    Args:
        checkpoint: The file.
        spec: Its options may give branch (teacher, the default, or student), num_heads, eps,
            image_size (positions are resampled as iBOT does), mean and std.

    Raises:
        ValueError: If the branch is not in the file, or a size is not in it, stated or published.
    """
    options = spec.typed_options({**BRANCH_OPTION, **OPTIONS})
    weights, branch = branch_weights(checkpoint, spec, options, HOLDER)
    if STUDENT in weights and branch != "student":
        branch = f"student ({branch})"
    return vit_encoder(weights, IBOT, spec, options, dropped=DROPPED, branch=branch)


FORMAT = CheckpointFormat(
    name="ibot",
    recognises=is_ibot,
    encoder=ibot_encoder,
    description="bytedance/ibot, teacher and student or a backbone under state_dict",
)
