"""What the formats ask of a file's keys, to tell one from another.

Keys are evidence. A file that states what it is, as vitscope's own do, is no other format's.
"""

from collections.abc import Mapping

from torch import Tensor

from vitscope.models.checkpoint import Checkpoint
from vitscope.models.positions import fixed_order
from vitscope.models.vitscope_weights import is_vitscope

PLAIN = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight")


def held_tensors(checkpoint: Checkpoint, *holders: str) -> dict[str, Tensor]:
    """Tensors by key in the first of some entries that a file has.

    Args:
        checkpoint: The file.
        holders: Top-level entries; none: the top level itself.

    Returns:
        Empty if the file has no such entry, it holds other things, or the file states what it is.
    """
    absent = holders and not any(name in checkpoint.entries for name in holders)
    if absent or is_vitscope(checkpoint):
        return {}
    try:
        return checkpoint.weights(*holders)
    except ValueError:
        return {}


def is_plain(weights: Mapping[str, Tensor]) -> bool:
    """Whether keys are those of a Vision Transformer with CLS and a table of absolute positions."""
    return all(key in weights for key in PLAIN) and "blocks.0.attn.q_bias" not in weights


def is_plain_and_learned(weights: Mapping[str, Tensor]) -> bool:
    """Whether keys are those of a plain one whose positions are no fixed sine-cosine table."""
    return is_plain(weights) and fixed_order(weights["pos_embed"]) is None


def has_prefix(weights: Mapping[str, Tensor], *prefixes: str) -> bool:
    """Whether a key begins with one of some prefixes."""
    return any(key.startswith(prefixes) for key in weights)


def without_prefix(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Weights whose keys lose a prefix where they have it.

    Raises:
        ValueError: If two keys become one.
    """
    shorter = {key.removeprefix(prefix): value for key, value in weights.items()}
    if len(shorter) != len(weights):
        twice = [key for key in weights if key.startswith(prefix) and key[len(prefix) :] in weights]
        raise ValueError(f"keys are there with and without {prefix!r}: {', '.join(twice)}")
    return shorter
