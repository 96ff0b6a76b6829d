"""DINOv2's weights, as facebookresearch/dinov2 saves them, with registers and without.

A published file is the backbone's keys at the top level; training leaves the teacher, with its
heads (`teacher_checkpoint.pth`). The published models take 518 pixels; `dinov2:PATH?image_size=224`
resamples their positions as DINOv2's own forward pass does, which differs with registers.
"""

import re
from collections.abc import Mapping

from torch import Tensor

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_vit import vit_encoder
from vitscope.models.published import DINOV2, DINOV2_REGISTERS
from vitscope.models.recognition import held_tensors
from vitscope.models.self_distillation import BRANCH_OPTION, branch_weights, branches
from vitscope.models.spec import Spec

DROPPED = ("mask_token", "dino_head.*", "ibot_head.*")
CHUNK = re.compile(r"^blocks\.\d+\.(?=\d+\.)")  # blocks.CHUNK.INDEX; the index counts all blocks
RENAMED = {  # to timm's; SwiGLU's first two matrices are one in either
    "register_tokens": "reg_token",
    ".mlp.w12.": ".mlp.fc1.",
    ".mlp.w3.": ".mlp.fc2.",
}


def is_dinov2(checkpoint: Checkpoint) -> bool:
    """Whether keys name LayerScale as DINOv2 does, and its masked patch, which has two axes."""
    there = branches(checkpoint) or {"backbone": held_tensors(checkpoint)}
    return all(
        "blocks.0.ls1.gamma" in timm_names(each) and _num_axes(each.get("mask_token")) == 2
        for each in there.values()
    )


def dinov2_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """The backbone of a file, in timm's VisionTransformer.

    Args:
        checkpoint: The file.
        spec: Its options may give branch (teacher, the default, or student), num_heads, eps,
            image_size (positions are resampled as DINOv2 does), mean and std.

    Raises:
        ValueError: If the branch is not in the file, or a size is not in it, stated or published.
    """
    options = spec.typed_options({**BRANCH_OPTION, **OPTIONS})
    weights, branch = branch_weights(checkpoint, spec, options)
    published = DINOV2_REGISTERS if "register_tokens" in weights else DINOV2
    return vit_encoder(
        timm_names(weights), published, spec, options, dropped=DROPPED, branch=branch
    )


def timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names that timm's VisionTransformer has for them.

    Example:
        >>> list(timm_names({"blocks.1.7.mlp.w12.bias": Tensor()}))
        ['blocks.7.mlp.fc1.bias']
    """
    renamed = {}
    for key, value in weights.items():
        name = CHUNK.sub("blocks.", key)
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        renamed[name] = value
    return renamed


def _num_axes(value: Tensor | None) -> int:
    return 0 if value is None else value.ndim


FORMAT = CheckpointFormat(
    name="dinov2",
    recognises=is_dinov2,
    encoder=dinov2_encoder,
    description="facebookresearch/dinov2, with registers or without",
)
