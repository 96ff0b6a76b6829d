"""CapturedAttention: what a block gave to scaled dot-product attention, and the weights of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vitscope.axes import Attention

# Bytes of one block of rows. CPU: the fastest of 1 to 256 MiB for 4096 tokens (within the caches);
# with 196 tokens no size differs. CUDA: large enough that launching kernels costs nothing.
BLOCK_BYTES = {"cpu": 8 * 2**20, "cuda": 256 * 2**20}

HeadTokens = Float[Tensor, "image head token channel"]


@dataclass(frozen=True, eq=False, kw_only=True)
class CapturedAttention:
    """One block's arguments to scaled dot-product attention.

    They are what the block used: after query and key norms and rotary position; the bias holds
    relative position and masks. The weights are `softmax(query key^T * scale + bias)` over keys.

    Args:
        query: Of every token, prefix tokens first.
        key: Likewise.
        value: Likewise.
        bias: Added to the scaled scores, (image, head, query, key), or None; -inf where masked.
        scale: Usually 1 / sqrt(channels of a head).
    """

    query: HeadTokens
    key: HeadTokens
    value: HeadTokens
    bias: Attention | None
    scale: float

    def weights(self, queries: slice = slice(None), keys: slice = slice(None)) -> Attention:
        """Softmax weights of the chosen queries over the chosen keys alone.

        Args:
            queries: Tokens that look.
            keys: Tokens that can be seen; leaving some out is dropping their columns and
                renormalising the rest.

        Returns:
            In [0, 1], rows sum to 1; float32, or float64 where the model computes in it.
        """
        rows = range(*queries.indices(self.query.shape[2]))
        return next(self._row_blocks(queries, keys, rows_per_block=max(len(rows), 1)))[1]

    def patch_rows(
        self,
        num_prefix_tokens: int,
        rows_per_block: int | None = None,
        renormalised: bool = True,
    ) -> Iterator[tuple[slice, Attention]]:
        """Attention among patches, in blocks of query rows.

        Args:
            num_prefix_tokens: Leading tokens to leave out, as queries and as keys.
            rows_per_block: None: as many as fit `BLOCK_BYTES`; the number of patches gives the
                whole matrix at once.
            renormalised: False: rows sum to what the prefix tokens leave, as the published recipes
                have them before they add their constants.

        Yields:
            The query patches of the block, counted from the first patch, and their weights over all
            patches: in [0, 1], rows sum to 1 if renormalised.
        """
        patches = slice(num_prefix_tokens, None)
        if renormalised:
            yield from self._row_blocks(patches, patches, rows_per_block)
        else:
            for rows, weights in self._row_blocks(patches, slice(None), rows_per_block):
                yield rows, weights[..., num_prefix_tokens:]

    def prefix_mass(
        self, num_prefix_tokens: int, rows_per_block: int | None = None
    ) -> Float[Tensor, "image head query"]:
        """Share of each patch's attention that goes to prefix tokens.

        Args:
            num_prefix_tokens: Leading tokens (CLS, registers).
            rows_per_block: As in `patch_rows`.

        Returns:
            In [0, 1] per query patch: 0 where nothing goes to prefix tokens, 1 where all does;
            `num_prefix_tokens / num_tokens` where attention is uniform.
        """
        blocks = self._row_blocks(slice(num_prefix_tokens, None), slice(None), rows_per_block)
        return torch.cat([rows[..., :num_prefix_tokens].sum(-1) for _, rows in blocks], dim=-1)

    def _row_blocks(
        self, queries: slice, keys: slice, rows_per_block: int | None
    ) -> Iterator[tuple[slice, Attention]]:
        query = _at_least_float32(self.query[:, :, queries])
        key = _at_least_float32(self.key[:, :, keys]) * self.scale
        # Once, and contiguous: the product would otherwise copy the keys anew for each block.
        key = rearrange(key, "image head key channel -> image head channel key").contiguous()
        bias = None if self.bias is None else self.bias[:, :, queries, keys]
        num_rows = query.shape[2]
        step = rows_per_block or _rows_per_block(query, num_keys=key.shape[-1])
        for start in range(0, num_rows, step):
            rows = slice(start, min(start + step, num_rows))
            with torch.autocast(query.device.type, enabled=False):
                scores = query[:, :, rows] @ key
                if bias is not None:
                    scores += bias[:, :, rows]
                weights = scores.softmax(dim=-1)
            yield rows, weights


def _rows_per_block(query: HeadTokens, num_keys: int) -> int:
    num_images, num_heads = query.shape[:2]
    row_bytes = num_images * num_heads * num_keys * query.element_size()
    return max(1, BLOCK_BYTES.get(query.device.type, BLOCK_BYTES["cuda"]) // row_bytes)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
