"""BEiT's weights, as microsoft/unilm saves them, pre-trained or fine-tuned.

How pixels were normalised is not in the weights: to mean and std 0.5, but with ImageNet's values
for pre-training on ImageNet-1k. A file that holds its arguments says it; otherwise the published
files decide: only the one with absolute positions was pre-trained on ImageNet-1k. BEiT v2, whose
fine-tuned files have the same keys, uses ImageNet's throughout: state mean and std for it.
"""

from collections.abc import Mapping
from dataclasses import replace

from vitscope.models.backbone import IMAGENET_MEAN, IMAGENET_STD
from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_beit import beit_encoder
from vitscope.models.published import BEIT, BEIT_ABSOLUTE, INCEPTION, Published
from vitscope.models.recognition import held_tensors
from vitscope.models.simmim import is_simmim
from vitscope.models.spec import Spec

HOLDERS = ("model", "module")  # run_class_finetuning.py `--model_key`; DeepSpeed saves the second
DROPPED = ("lm_head.*", "mask_token", "head.*")


def is_beit(checkpoint: Checkpoint) -> bool:
    """Whether keys name biases of q and v alone, as BEiT's do, in a file that is not SimMIM's."""
    weights = held_tensors(checkpoint, *HOLDERS)
    return "blocks.0.attn.q_bias" in weights and not is_simmim(checkpoint)


def beit_encoder_of(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """BEiT's encoder, in timm's Beit.

    Args:
        checkpoint: The file.
        spec: Its options may give num_heads, eps, image_size, mean and std.

    Raises:
        ValueError: If a size is not in the file, stated or published.
    """
    options = spec.typed_options(OPTIONS)
    weights = checkpoint.weights(*HOLDERS)
    published = _normalised_as_stated(checkpoint, BEIT_ABSOLUTE if "pos_embed" in weights else BEIT)
    branch = "encoder, fine-tuned" if "fc_norm.weight" in weights else "encoder"
    return beit_encoder(weights, published, spec, options, dropped=DROPPED, branch=branch)


def _normalised_as_stated(checkpoint: Checkpoint, published: Published) -> Published:
    """The authors' facts, with what the arguments in a file say of its pixels."""
    arguments = checkpoint.entries.get("args", {})
    arguments = arguments if isinstance(arguments, Mapping) else vars(arguments)
    by_imagenet = arguments.get("imagenet_default_mean_and_std")  # beit/datasets.py
    if by_imagenet is None:
        return published
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if by_imagenet else (INCEPTION, INCEPTION)
    return replace(published, mean=mean, std=std)


FORMAT = CheckpointFormat(
    name="beit",
    recognises=is_beit,
    encoder=beit_encoder_of,
    description="microsoft/unilm beit, pre-trained or fine-tuned",
)
