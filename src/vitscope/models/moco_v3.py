"""MoCo v3's weights, as facebookresearch/moco-v3 saves them.

A pre-training file holds two encoders. The authors evaluate the one that gradients train, and that
is the default; the other is asked for: `moco_v3:PATH?branch=momentum`. A file of their linear probe
holds the encoder alone, with a classifier.

The small model has 12 heads of 32 channels, where most have 6 of 64; every shape fits either.
"""

from torch import Tensor

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_vit import vit_encoder
from vitscope.models.positions import fixed_order
from vitscope.models.published import MOCO_V3
from vitscope.models.recognition import has_prefix, held_tensors, is_plain, without_prefix
from vitscope.models.spec import Spec, one_of

HOLDERS = ("state_dict", "model")  # `model` is what convert_to_deit.py writes
BRANCHES = ("base", "momentum")
DROPPED = ("base_encoder.*", "momentum_encoder.*", "predictor.*", "head.*")


def is_moco_v3(checkpoint: Checkpoint) -> bool:
    """Whether keys name two encoders, or one with the fixed table that MoCo v3 alone uses."""
    weights = held_tensors(checkpoint, *HOLDERS)
    if has_prefix(weights, "base_encoder.", "momentum_encoder."):
        return True
    return is_plain(weights) and fixed_order(weights["pos_embed"]) == "row"


def moco_v3_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """One encoder of a file, in timm's VisionTransformer.

    Args:
        checkpoint: The file.
        spec: Its options may give branch (base, the default, or momentum), num_heads, eps,
            image_size, mean and std.

    Raises:
        ValueError: If the branch is not in the file, or a size is not in it, stated or published.
    """
    options = spec.typed_options({"branch": one_of(*BRANCHES), **OPTIONS})
    weights, branch = _branch(checkpoint.weights(*HOLDERS), options.get("branch"), spec)
    return vit_encoder(weights, MOCO_V3, spec, options, dropped=DROPPED, branch=branch)


def _branch(
    weights: dict[str, Tensor], wanted: str | None, spec: Spec
) -> tuple[dict[str, Tensor], str]:
    if not has_prefix(weights, "base_encoder.", "momentum_encoder.") and wanted is None:
        return weights, "base encoder, alone in the file"
    branch = wanted or "base"
    prefix = f"{branch}_encoder."
    if not has_prefix(weights, prefix):
        raise ValueError(f"{spec.text!r}: no key begins with {prefix!r}; the branch is not there")
    return without_prefix(weights, prefix), f"{branch} encoder"


FORMAT = CheckpointFormat(
    name="moco_v3",
    recognises=is_moco_v3,
    encoder=moco_v3_encoder,
    description="facebookresearch/moco-v3, two encoders or one with a linear classifier",
)
