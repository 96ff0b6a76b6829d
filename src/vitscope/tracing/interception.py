"""Catching attention where it is computed: the call of scaled dot-product attention itself.

Hooks on a block's query and key norms miss rotary position and relative bias, which come later;
hooks on attention dropout never fire while attention is fused. The arguments of the call are
complete in every model, so torch's function is replaced for a while, and hooks on the blocks say
which of them is calling. Attention stays fused.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from einops import repeat
from torch import Tensor, nn
from torch.nn import functional

from vitscope.tracing.captured_attention import CapturedAttention


@contextmanager
def intercepted_attention(
    module: nn.Module, blocks: Sequence[nn.Module]
) -> Iterator[dict[int, list[CapturedAttention]]]:
    """While it lasts, what each block gives to scaled dot-product attention is kept.

    Args:
        module: The model; its attentions that were not fused are, for the while.
        blocks: Its blocks, in order.

    Yields:
        The calls of each block, by its index; filled by a forward pass. Calls from outside the
        blocks (attention pooling) are not kept.
    """
    calls: dict[int, list[CapturedAttention]] = {index: [] for index in range(len(blocks))}
    running: list[int] = []
    original = functional.scaled_dot_product_attention

    def capturing(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if running:
            captured = _captured(query, key, value, attn_mask, dropout_p, is_causal, scale)
            calls[running[-1]].append(captured)
        return original(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )

    with ExitStack() as stack:
        stack.enter_context(_fused(module))
        for index, block in enumerate(blocks):
            enter, leave = _stack_hooks(running, index)
            stack.callback(block.register_forward_pre_hook(enter, prepend=True).remove)
            stack.callback(block.register_forward_hook(leave, always_call=True).remove)
        functional.scaled_dot_product_attention = capturing
        stack.callback(setattr, functional, "scaled_dot_product_attention", original)
        yield calls


def _stack_hooks(running: list[int], index: int) -> tuple[Any, Any]:
    def enter(module: nn.Module, inputs: Any) -> None:
        running.append(index)

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        running.pop()

    return enter, leave


@contextmanager
def _fused(module: nn.Module) -> Iterator[None]:
    """timm's attentions call the fused function; torch's own take no path that avoids it."""
    unfused = [part for part in module.modules() if getattr(part, "fused_attn", True) is False]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        for part in unfused:
            part.fused_attn = True  # pyright: ignore[reportArgumentType]  # a plain flag
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for part in unfused:
            part.fused_attn = False  # pyright: ignore[reportArgumentType]


def _captured(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    is_causal: bool,
    scale: float | None,
) -> CapturedAttention:
    if query.ndim != 4 or key.ndim != 4 or dropout:
        raise ValueError(
            "expected attention over (image, head, token, channel) without dropout, got query "
            f"{tuple(query.shape)}, key {tuple(key.shape)} and dropout {dropout}"
        )
    shared = query.shape[1] // key.shape[1]  # grouped-query attention: heads that share a key
    key, value = (
        repeat(tensor, "image group token channel -> image (group head) token channel", head=shared)
        if shared > 1
        else tensor
        for tensor in (key, value)
    )
    return CapturedAttention(
        query=query,
        key=key,
        value=value,
        bias=_additive_bias(query, key, mask, is_causal),
        scale=query.shape[-1] ** -0.5 if scale is None else scale,
    )


def _additive_bias(
    query: Tensor, key: Tensor, mask: Tensor | None, is_causal: bool
) -> Tensor | None:
    """Torch's mask (added, or true where a key may be seen) as one bias; nothing is copied."""
    shape = (*query.shape[:3], key.shape[2])
    if is_causal:  # torch takes no mask beside it
        mask = query.new_ones(shape[2:], dtype=torch.bool).tril()
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, -torch.inf)
    return mask.broadcast_to(shape)
