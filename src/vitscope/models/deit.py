"""DeiT's weights, as facebookresearch/deit saves them: supervised, a reference for the others.

Distilled models have a second token; DeiT III has LayerScale, and no position for CLS. Any encoder
fine-tuned by DeiT's script has these keys too. MoCo v3's small one among them has 12 heads, which
its spec must say: `deit:PATH?num_heads=12`.
"""

import re

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_vit import vit_encoder
from vitscope.models.published import DEIT
from vitscope.models.recognition import held_tensors, is_plain_and_learned
from vitscope.models.spec import Spec

HOLDER = "model"
DROPPED = ("head.*", "head_dist.*")
LAYER_SCALE = re.compile(r"\.gamma_([12])$")  # timm: `.ls1.gamma`


def is_deit(checkpoint: Checkpoint) -> bool:
    """Whether keys name a plain encoder with learned positions, a last norm and a classifier."""
    weights = held_tensors(checkpoint, HOLDER)
    ends = {"norm.weight", "head.weight"} <= weights.keys()
    return ends and is_plain_and_learned(weights) and "decoder_pos_embed" not in weights


def deit_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """DeiT's encoder, in timm's VisionTransformer or VisionTransformerDistilled.

    Args:
        checkpoint: The file.
        spec: Its options may give num_heads, eps, image_size, mean and std.

    Raises:
        ValueError: If a size is not in the file, stated or published.
    """
    options = spec.typed_options(OPTIONS)
    weights = checkpoint.weights(HOLDER)
    is_third = "blocks.0.gamma_1" in weights
    weights = {LAYER_SCALE.sub(r".ls\1.gamma", key): value for key, value in weights.items()}
    return vit_encoder(
        weights,
        DEIT,
        spec,
        options,
        dropped=DROPPED,
        branch="encoder, supervised",
        cls_has_position=not is_third,  # models_v2.py adds positions before CLS
    )


FORMAT = CheckpointFormat(
    name="deit",
    recognises=is_deit,
    encoder=deit_encoder,
    description="facebookresearch/deit, plain, distilled or DeiT III",
)
