"""trace: one batch through one Backbone, as named and labelled tensors."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vitscope.axes import Images, PatchTokens, Tokens
from vitscope.models.backbone import Backbone
from vitscope.tracing.captured_attention import CapturedAttention
from vitscope.tracing.interception import intercepted_attention

Site = Literal["tokens", "after_attention", "attention"]
SITES: tuple[Site, ...] = get_args(Site)
SECOND_NORMS = ("norm2", "ln_2")  # timm's name and torchvision's


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """One batch through one Backbone. Lives for one batch.

    Args:
        num_prefix_tokens: Tokens before the patches.
        tokens: The residual stream, not normalised, by layer: 0 (embedding) to depth.
        after_attention: The stream between attention and MLP, by layer: 1 to depth.
        attention: What the block gave to attention, by layer: 1 to depth.
    """

    num_prefix_tokens: int
    tokens: Mapping[int, Tokens] = field(default_factory=dict)
    after_attention: Mapping[int, Tokens] = field(default_factory=dict)
    attention: Mapping[int, CapturedAttention] = field(default_factory=dict)

    def patch_tokens(self, layer: int) -> PatchTokens:
        """`tokens` of a layer (0 to depth) without the prefix tokens.

        Raises:
            ValueError: If there is no such layer, or the site was not traced.
        """
        return _of_layer(self.tokens, layer, "tokens")[:, self.num_prefix_tokens :]

    def patch_after_attention(self, layer: int) -> PatchTokens:
        """`after_attention` of a layer (1 to depth) without the prefix tokens.

        Raises:
            ValueError: If there is no such layer, or the site was not traced.
        """
        stream = _of_layer(self.after_attention, layer, "after_attention")
        return stream[:, self.num_prefix_tokens :]


def trace(backbone: Backbone, images: Images, sites: Collection[Site] = SITES) -> Trace:
    """Run a batch through a Backbone and keep what passes at the requested sites.

    The module runs in evaluation mode and without gradients; its own modes are restored.

    Args:
        backbone: Its module is called once. One whose attention is not fused runs fused.
        images: Normalised, of the backbone's size, on the module's device.
        sites: Any of ``tokens``, ``after_attention`` (what the block's second norm is given) and
            ``attention`` (what scaled dot-product attention is given).

    Returns:
        The Trace; layers count as the class says. Tensors are copies or the model's own, detached.

    Raises:
        ValueError: If the images have another size, a site did not fire exactly once in every
            block, or the tokens are not the prefix tokens and one per patch.
    """
    if not isinstance(backbone, Backbone):
        raise ValueError(f"expected a Backbone from vitscope.load, got {type(backbone).__name__}")
    if unknown := sorted(set(sites) - set(SITES)):
        raise ValueError(f"expected sites among {', '.join(SITES)}, got {', '.join(unknown)}")
    if images.ndim != 4 or tuple(images.shape[2:]) != backbone.image_size:
        height, width = backbone.image_size
        raise ValueError(
            f"expected images of shape (image, channel, {height}, {width}) for {backbone.name}, "
            f"got {tuple(images.shape)}"
        )
    convolutions = (part for part in backbone.module.modules() if isinstance(part, nn.Conv2d))
    embedding = next(convolutions, None)  # of the patches: no ViT convolves before
    if embedding is not None and embedding.in_channels != images.shape[1]:
        raise ValueError(
            f"{backbone.name} takes images of {embedding.in_channels} channels, got "
            f"{images.shape[1]}; vitscope's sources give 3"
        )
    caught: dict[str, dict[int, list[Any]]] = {}
    with ExitStack() as stack:
        if "tokens" in sites:
            caught["tokens"] = stack.enter_context(_token_hooks(backbone))
        if "after_attention" in sites:
            caught["after_attention"] = stack.enter_context(_second_norm_hooks(backbone))
        if "attention" in sites:
            calls = intercepted_attention(backbone.module, backbone.blocks)
            caught["attention"] = _by_layer(stack.enter_context(calls))
        run_without_training(backbone.module, images)
    once = {site: _once(values, site, backbone) for site, values in caught.items()}
    _require_shapes(once, images.shape[0], backbone)
    return Trace(num_prefix_tokens=backbone.num_prefix_tokens, **once)


def run_without_training(module: nn.Module, images: Images) -> None:
    """Call a module in evaluation mode without gradients; every part's own mode is restored."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            module(images)
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _token_hooks(backbone: Backbone) -> Iterator[dict[int, list[Tensor]]]:
    caught: dict[int, list[Tensor]] = {layer: [] for layer in range(backbone.depth + 1)}

    def embedding(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        caught[0].append(_copy(inputs[0] if inputs else None, "the first block's input"))

    def output_of(layer: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            caught[layer].append(_copy(output, f"the output of block {layer}"))

        return hook

    with ExitStack() as stack:
        stack.callback(backbone.blocks[0].register_forward_pre_hook(embedding).remove)
        for layer, block in enumerate(backbone.blocks, start=1):
            stack.callback(block.register_forward_hook(output_of(layer)).remove)
        yield caught


@contextmanager
def _second_norm_hooks(backbone: Backbone) -> Iterator[dict[int, list[Tensor]]]:
    caught: dict[int, list[Tensor]] = {layer: [] for layer in range(1, backbone.depth + 1)}

    def input_of(layer: int) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            caught[layer].append(_copy(inputs[0], f"the second norm's input in block {layer}"))

        return hook

    with ExitStack() as stack:
        for layer, block in enumerate(backbone.blocks, start=1):
            norm = next((n for n in SECOND_NORMS if hasattr(block, n)), None)
            if norm is None:
                raise ValueError(
                    f"block {layer} of {backbone.name}, {type(block).__name__}, has no second norm "
                    f"({' or '.join(SECOND_NORMS)}): after_attention is not defined; leave it out"
                )
            norm_hook = getattr(block, norm).register_forward_pre_hook(input_of(layer))
            stack.callback(norm_hook.remove)
        yield caught


def _copy(value: Any, what: str) -> Tensor:
    """A later block may add to its input in place, so what passes is copied."""
    if not isinstance(value, Tensor):
        raise ValueError(f"expected a tensor as {what}, got {type(value).__name__}")
    return value.detach().clone()


def _by_layer(calls: dict[int, list[CapturedAttention]]) -> dict[int, list[CapturedAttention]]:
    return {index + 1: of_block for index, of_block in calls.items()}


def _once(values: dict[int, list[Any]], site: str, backbone: Backbone) -> dict[int, Any]:
    for layer, passed in values.items():
        if len(passed) != 1:
            raise ValueError(
                f"expected {site!r} once in layer {layer} of {backbone.name}, it fired "
                f"{len(passed)} times: the module skips or repeats a block, or computes attention "
                "other than by one torch.nn.functional.scaled_dot_product_attention"
            )
    return {layer: passed[0] for layer, passed in values.items()}


def _require_shapes(
    once: Mapping[str, Mapping[int, Any]], num_images: int, backbone: Backbone
) -> None:
    num_tokens = backbone.num_prefix_tokens + backbone.grid.num_patches
    for site, by_layer in once.items():
        for layer, value in by_layer.items():
            if site == "attention":
                got = (tuple(value.query.shape[:3]), tuple(value.key.shape[:3]))
                expected = ((num_images, backbone.num_heads, num_tokens),) * 2
            else:
                got, expected = tuple(value.shape), (num_images, num_tokens, backbone.embed_dim)
            if got != expected:
                raise ValueError(
                    f"expected {site!r} of layer {layer} of {backbone.name} as {expected} "
                    f"({backbone.num_prefix_tokens} prefix tokens and {backbone.grid.height} x "
                    f"{backbone.grid.width} patches), got {got}"
                )


def _of_layer(by_layer: Mapping[int, Tensor], layer: int, site: str) -> Tensor:
    if layer not in by_layer:
        there = f"layers {min(by_layer)} to {max(by_layer)}" if by_layer else "no layer; trace it"
        raise ValueError(f"no {site!r} at layer {layer}: the trace has {there}")
    return by_layer[layer]
