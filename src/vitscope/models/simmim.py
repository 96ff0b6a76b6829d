"""SimMIM's Vision Transformer, as microsoft/SimMIM saves it, pre-trained or fine-tuned.

Its files hold the configuration as an object of another package, which is read as a dictionary.
The encoder has relative positions only, in one table that all blocks share; fine-tuning gives each
block its own copy. Its Swin Transformers are no Vision Transformers of equal blocks.
"""

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_beit import beit_encoder
from vitscope.models.published import SIMMIM
from vitscope.models.recognition import has_prefix, held_tensors, without_prefix
from vitscope.models.spec import Spec

HOLDER = "model"
PREFIX = "encoder."
DROPPED = ("decoder.*", "mask_token", "head.*")
SAVED_BESIDE = {"lr_scheduler", "max_accuracy", "config"}  # utils.py `save_checkpoint`


def is_simmim(checkpoint: Checkpoint) -> bool:
    """Whether keys name SimMIM's encoder and decoder, or BEiT's encoder in a file of SimMIM's.

    Fine-tuned, the encoder has the keys of BEiT's; what is saved beside it tells the two apart.
    """
    weights = held_tensors(checkpoint, HOLDER)
    if "blocks.0.attn.q_bias" in weights:
        return checkpoint.entries.keys() >= SAVED_BESIDE
    return f"{PREFIX}mask_token" in weights and has_prefix(weights, "decoder.0.")


def simmim_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """SimMIM's encoder, in timm's Beit.

    Args:
        checkpoint: The file.
        spec: Its options may give num_heads, eps, image_size, mean and std.

    Raises:
        ValueError: If it is a Swin Transformer, or a size is not in the file, stated or published.
    """
    options = spec.typed_options(OPTIONS)
    weights = checkpoint.weights(HOLDER)
    if has_prefix(weights, f"{PREFIX}layers.", "layers."):
        raise ValueError(f"{spec.name} holds a Swin Transformer; expected SimMIM's ViT (`blocks`)")
    branch = "encoder" if has_prefix(weights, PREFIX) else "encoder, fine-tuned"
    weights = without_prefix(weights, PREFIX)
    return beit_encoder(weights, SIMMIM, spec, options, dropped=DROPPED, branch=branch)


FORMAT = CheckpointFormat(
    name="simmim",
    recognises=is_simmim,
    encoder=simmim_encoder,
    description="microsoft/SimMIM, its ViT, pre-trained or fine-tuned",
)
