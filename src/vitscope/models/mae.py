"""MAE's weights, as facebookresearch/mae saves them: the encoder, with its decoder or a classifier.

A file holds neither the number of heads, nor the image's size, nor the norms' epsilon, nor how
pixels were normalised. Published sizes are known; anything else is stated in the spec:
`mae:PATH?num_heads=8&eps=1e-5&image_size=32&mean=0.5,0.5,0.5&std=0.5,0.5,0.5`.
"""

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.described import OPTIONS
from vitscope.models.described_vit import vit_encoder
from vitscope.models.positions import fixed_order
from vitscope.models.published import MAE
from vitscope.models.recognition import held_tensors, is_plain
from vitscope.models.spec import Spec

HOLDER = "model"  # official files are {"model": tensors}, training files add the optimiser
DROPPED = ("mask_token", "decoder_*", "head.*")


def is_mae(checkpoint: Checkpoint) -> bool:
    """Whether keys are MAE's.

    They are if there is a decoder, the fixed table that MAE alone uses, or, after fine-tuning
    (which trains the table), a norm after pooling and none before.
    """
    weights = held_tensors(checkpoint, HOLDER) or held_tensors(checkpoint)
    if not is_plain(weights):
        return False
    pooled_first = "fc_norm.weight" in weights and "norm.weight" not in weights
    decoder = "decoder_pos_embed" in weights
    return decoder or pooled_first or fixed_order(weights["pos_embed"]) == "column"


def mae_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """MAE's encoder, in timm's VisionTransformer.

    Args:
        checkpoint: The file.
        spec: Its options may give num_heads, eps, image_size, mean and std.

    Raises:
        ValueError: If a size is not in the file, stated or published.
    """
    options = spec.typed_options(OPTIONS)
    weights = checkpoint.weights(HOLDER)
    branch = "encoder, fine-tuned" if "fc_norm.weight" in weights else "encoder"
    return vit_encoder(weights, MAE, spec, options, dropped=DROPPED, branch=branch)


FORMAT = CheckpointFormat(
    name="mae",
    recognises=is_mae,
    encoder=mae_encoder,
    description="facebookresearch/mae, encoder alone, with its decoder or fine-tuned",
)
