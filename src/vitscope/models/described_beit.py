"""timm's Beit, of the sizes and parts that weights have: relative positions, biases of q and v."""

from collections.abc import Mapping
from typing import Any

from timm.models.beit import Beit
from torch import Tensor

from vitscope.models.checkpoint_format import Encoder
from vitscope.models.described import layer_norm, normalisation, num_heads, sizes_of
from vitscope.models.positions import square_grid
from vitscope.models.published import Published
from vitscope.models.spec import Spec
from vitscope.models.strict_loading import require_key

SHARED = "rel_pos_bias.relative_position_bias_table"
OWN = "blocks.0.attn.relative_position_bias_table"
INDEX = "*relative_position_index"  # a buffer, made from the grid
NUM_CLS_ROWS = 3  # of a table: from CLS to a patch, from a patch to CLS, from CLS to itself


def beit_encoder(
    weights: Mapping[str, Tensor],
    published: Published,
    spec: Spec,
    options: Mapping[str, Any],
    *,
    dropped: tuple[str, ...],
    branch: str,
) -> Encoder:
    """A Vision Transformer as BEiT's and SimMIM's, with the parts that its keys name.

    Args:
        weights: Under BEiT's names, which are timm's too.
        published: The authors' facts.
        spec: Where the weights come from.
        options: The spec's, converted (`described.OPTIONS`).
        dropped: Shell patterns of keys that are not part of the encoder.
        branch: What a report should say.

    Raises:
        ValueError: If a size is not in the file, stated or published, or two of these disagree.
    """
    sizes = sizes_of(weights, spec.name)
    table = next((weights[key] for key in (SHARED, OWN) if key in weights), None)
    heads, heads_from = _num_heads(
        table, options.get("num_heads"), sizes.embed_dim, published, spec
    )
    grid = _square(weights, table, spec)
    image_size = (grid[0] * sizes.patch_size[0], grid[1] * sizes.patch_size[1]) if grid else None
    module = Beit(
        **sizes.timm,
        img_size=options.get("image_size") or image_size or _ask_for_size(spec),
        num_heads=heads,
        init_values=1.0 if "blocks.0.gamma_1" in weights else None,  # any value makes a LayerScale
        use_abs_pos_emb="pos_embed" in weights,
        use_rel_pos_bias=OWN in weights,
        use_shared_rel_pos_bias=SHARED in weights,
        global_pool="avg" if "fc_norm.weight" in weights else "token",
        norm_layer=layer_norm(options, published),
    )
    mean, std = normalisation(options, published, sizes.channels, spec)
    return Encoder(
        module=module,
        weights=weights,
        dropped=(INDEX, *dropped),
        heads_from=heads_from,
        facts={"branch": branch, **published.facts},
        mean=mean,
        std=std,
    )


def _num_heads(
    table: Tensor | None, stated: int | None, embed_dim: int, published: Published, spec: Spec
) -> tuple[int, str]:
    if table is None:
        return num_heads(stated, embed_dim, published, spec)
    heads = table.shape[-1]
    if stated not in (None, heads):
        raise ValueError(
            f"{spec.text!r}: the table of relative positions is of {heads} heads, not {stated}"
        )
    return heads, "the table of relative positions"


def _square(
    weights: Mapping[str, Tensor], table: Tensor | None, spec: Spec
) -> tuple[int, int] | None:
    """Rows and columns of a square grid; None if the tables are of another."""
    if table is None:
        return square_grid(require_key(weights, "pos_embed", 3, spec.name).shape[1] - 1)
    offsets = square_grid(table.shape[0] - NUM_CLS_ROWS)  # 2 side - 1 along either axis
    if offsets is None or offsets[0] % 2 == 0:
        return None
    side = (offsets[0] + 1) // 2
    return side, side


def _ask_for_size(spec: Spec) -> tuple[int, int]:
    raise ValueError(
        "the positions are of no square grid; state the image's size: "
        f"{spec.kind}:{spec.name}?image_size=HEIGHTxWIDTH"
    )
