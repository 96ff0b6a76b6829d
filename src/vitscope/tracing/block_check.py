"""The self-check: captured attention is what the model used, and patches lie where the grid says.

Attention weights explain a block only if its output follows from them. So each block's output is
computed anew from what was captured, `softmax(query key^T * scale + bias) value`, through its own
projection, LayerScale and residual, and compared with the stream that its second norm was given.
Heads mixed after the softmax, a gate on the output, or a stream changed between blocks cannot pass.
In float64, so that rounding hides nothing, however small the branch.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from einops import einsum, rearrange
from torch import Tensor, nn

from vitscope.axes import Images, Tokens
from vitscope.models.backbone import Backbone
from vitscope.tracing.captured_attention import CapturedAttention
from vitscope.tracing.sites import run_without_training, trace

TOLERANCE = 1e-5  # float64 leaves 1e-12; a part that insists on float32 leaves about 1e-6
CHECKED_PATCHES = 16  # spread over the grid, ends included; more tell no other order apart


@dataclass(frozen=True, kw_only=True)
class SelfCheck:
    """What the self-check found.

    Args:
        name: The Backbone's.
        errors: By layer (1 to depth): largest difference between the block's attention branch and
            the one computed from captured attention, relative to the branch's largest value.
        misplaced: Patches whose pixels do not change their own token most, in words.
        tolerance: Largest error that passes.
    """

    name: str
    errors: Mapping[int, float]
    misplaced: tuple[str, ...]
    tolerance: float = TOLERANCE

    @property
    def failures(self) -> tuple[str, ...]:
        """What is wrong, in words, block by block; empty if the check passed."""
        wrong = [
            f"block {layer}: its output differs from what captured attention gives by {error:.1e} "
            "of the attention branch"
            for layer, error in self.errors.items()
            if not error <= self.tolerance
        ]
        return (*wrong, *self.misplaced)

    @property
    def passed(self) -> bool:
        """Whether attention explains every block and every checked patch is in its place."""
        return not self.failures


def require_self_check(backbone: Backbone, images: Images) -> SelfCheck:
    """The self-check, which must pass.

    Args:
        backbone: As in `self_check`.
        images: As in `self_check`.

    Raises:
        ValueError: If it fails; the message names the blocks and patches.
    """
    check = self_check(backbone, images)
    if not check.passed:
        raise ValueError(
            f"{backbone.name} cannot be measured, its captured attention or its grid does not "
            f"explain it: {'; '.join(check.failures)}"
        )
    return check


def self_check(backbone: Backbone, images: Images) -> SelfCheck:
    """Whether captured attention explains every block, and patches lie where the grid says.

    Args:
        backbone: Its weights are held in float64 meanwhile, and are the same afterwards.
        images: Normalised; one or two suffice, and the first serves for the places of patches.

    Returns:
        Errors by block, misplaced patches, and whether all is well.

    Raises:
        ValueError: If the Backbone cannot be traced at all (a block is skipped, attention is not
            scaled dot-product attention), or a block's output projection is not found.
    """
    with _in_float64(backbone.module):
        images = images.double()
        traced = trace(backbone, images)
        errors = {}
        for layer, block in enumerate(backbone.blocks, start=1):
            before, after = traced.tokens[layer - 1], traced.after_attention[layer]
            branch = _attention_branch(block, traced.attention[layer], f"block {layer}")
            errors[layer] = _relative_error(before + branch, after, before)
        misplaced = tuple(_misplaced_patches(backbone, images[:1]))
    return SelfCheck(name=backbone.name, errors=errors, misplaced=misplaced)


@torch.no_grad()
def _attention_branch(block: Any, attention: CapturedAttention, where: str) -> Tokens:
    """What the block adds to the stream, computed from the captured attention alone."""
    looked_at = [
        einsum(
            rows,
            attention.value,
            "image head query key, image head key channel -> image head query channel",
        )
        for _, rows in attention.patch_rows(num_prefix_tokens=0)  # every token, prefix included
    ]
    heads = torch.cat(looked_at, dim=2)
    output = rearrange(heads, "image head token channel -> image token (head channel)")
    inner, projection = _output_projection(block, where)
    if output.shape[-1] != projection.in_features:
        raise ValueError(
            f"{where}: its projection takes {projection.in_features} channels, captured attention "
            f"gives {output.shape[-1]}; something lies between attention and projection"
        )
    output = projection(inner.norm(output) if hasattr(inner, "norm") else output)
    if hasattr(block, "ls1"):
        return block.ls1(output)
    scale = getattr(block, "gamma_1", None)
    return output if scale is None else scale * output


def _output_projection(block: Any, where: str) -> tuple[Any, Any]:
    """The attention module and its last linear layer, by timm's names or torchvision's."""
    for attention, projection in (("attn", "proj"), ("self_attention", "out_proj")):
        inner = getattr(block, attention, None)
        if hasattr(inner, projection):
            return inner, getattr(inner, projection)
    raise ValueError(
        f"{where}, {type(block).__name__}, has neither attn.proj (timm) nor "
        "self_attention.out_proj (torchvision): its attention cannot be checked"
    )


def _relative_error(expected: Tokens, got: Tokens, before: Tokens) -> float:
    difference = (expected - got).abs().max().item()
    branch = (got - before).abs().max().item()
    if branch == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / branch


def _misplaced_patches(backbone: Backbone, image: Images) -> Iterator[str]:
    """Patches whose pixels do not change the token that the grid gives them the most."""
    grid = backbone.grid
    reference = _embedding(backbone, image)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    for row, column in _checked_patches(grid.height, grid.width):
        pixels = (
            ...,
            slice(row * grid.patch_height, (row + 1) * grid.patch_height),
            slice(column * grid.patch_width, (column + 1) * grid.patch_width),
        )
        perturbed = image.clone()
        perturbed[pixels] += noise[pixels]
        change = (_embedding(backbone, perturbed) - reference).norm(dim=-1)[0]
        expected = backbone.num_prefix_tokens + row * grid.width + column
        found = int(change.argmax())
        if found != expected or change[found] == 0:
            yield (
                f"patch ({row}, {column}): its pixels should change token {expected} of layer 0 "
                f"most, they change token {found}"
            )


def _checked_patches(height: int, width: int) -> list[tuple[int, int]]:
    """Evenly spread over the grid; the corner's two neighbours, which tell rows from columns."""
    spread = torch.linspace(0, height * width - 1, min(CHECKED_PATCHES, height * width)).long()
    patches = [divmod(index, width) for index in spread.tolist()]
    neighbours = [(0, 1)] * (width > 1) + [(1, 0)] * (height > 1)
    return sorted({*patches, *neighbours})


class _EmbeddingReached(Exception):
    """Raised to leave the forward pass before the first block."""


def _embedding(backbone: Backbone, images: Images) -> Tokens:
    """Tokens of layer 0; the blocks do not run."""
    caught: list[Tensor] = []

    def stop(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(inputs[0])
        raise _EmbeddingReached

    handle = backbone.blocks[0].register_forward_pre_hook(stop)
    try:
        with suppress(_EmbeddingReached):
            run_without_training(backbone.module, images)
    finally:
        handle.remove()
    return caught[0]


@contextmanager
def _in_float64(module: nn.Module) -> Iterator[None]:
    """Hold parameters and buffers in float64 for a while; the very same tensors come back."""
    held = [t for t in chain(module.parameters(), module.buffers()) if t.is_floating_point()]
    originals = [tensor.data for tensor in held]
    try:
        for tensor in held:
            tensor.data = tensor.data.double()
        yield
    finally:
        for tensor, original in zip(held, originals, strict=True):
            tensor.data = original
