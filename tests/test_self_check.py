from functools import partial

import pytest
import torch
from einops import einsum, rearrange
from timm.layers import Attention
from timm.models.eva import Eva
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn
from torch.nn import functional

from tests import deterministic
from tests.models.tiny_vits import SIZES, TIMM, images, tiny, tiny_torchvision
from vitscope.axes import PatchGrid
from vitscope.models.backbone import Backbone
from vitscope.models.module_backbone import module_backbone
from vitscope.tracing import require_self_check, self_check


class TalkingHeads(Attention):
    """Mixes heads after the softmax, by attending to unit vectors to get at the weights."""

    def forward(self, x, attn_mask=None, is_causal=False):
        qkv = rearrange(self.qkv(x), "i t (three h c) -> three i h t c", three=3, h=self.num_heads)
        query, key, value = qkv
        units = torch.eye(x.shape[1], dtype=x.dtype).expand(*key.shape[:3], x.shape[1])
        weights = functional.scaled_dot_product_attention(query, key, units)
        mixed = einsum(MIXING.to(x), weights, "g h, i h q k -> i g q k")
        return self.proj(rearrange(mixed @ value, "i h t c -> i t (h c)"))


class MixedOutputs(Attention):
    """The heads' outputs, not their weights, are mixed."""

    def forward(self, x, attn_mask=None, is_causal=False):
        qkv = rearrange(self.qkv(x), "i t (three h c) -> three i h t c", three=3, h=self.num_heads)
        output = functional.scaled_dot_product_attention(*qkv)
        mixed = einsum(MIXING.to(x), output, "g h, i h q c -> i g q c")
        return self.proj(rearrange(mixed, "i h t c -> i t (h c)"))


class Rescaled(Attention):
    """What the block adds is a thousandth larger than attention says."""

    def forward(self, x, attn_mask=None, is_causal=False):
        return 1.001 * super().forward(x)


class Unused(Block):
    """Attention is computed, and thrown away."""

    def forward(self, x, attn_mask=None, is_causal=False):
        self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ChangedBetween(VisionTransformer):
    """The stream is normalised between two blocks."""

    def forward_features(self, x, attn_mask=None, is_causal=False):
        x = self._pos_embed(self.patch_embed(x))
        first, second, third = self.blocks
        return self.norm(third(functional.layer_norm(second(first(x)), (32,))))


class ColumnMajor(nn.Module):
    """Patches in columns, although the grid says rows."""

    def __init__(self, patch_embed):
        super().__init__()
        self.patch_embed = patch_embed
        self.img_size, self.grid_size = patch_embed.img_size, patch_embed.grid_size

    def forward(self, x):
        patches = self.patch_embed(x)
        rows, columns = self.grid_size
        return rearrange(patches, "i (r c) d -> i (c r) d", r=rows, c=columns)


MIXING = torch.eye(4) + 0.1 * torch.ones(4, 4)


def with_attention(make, layer: int = 2, kind: str = "cls") -> Backbone:
    backbone = tiny(kind)
    attention = make(32, num_heads=4, qkv_bias=True, norm_layer=nn.LayerNorm)
    attention.load_state_dict(backbone.blocks[layer - 1].attn.state_dict(), strict=False)
    backbone.blocks[layer - 1].attn = attention
    return backbone


def filled(module: nn.Module, name: str) -> Backbone:
    deterministic.fill(module, scale=2.0)
    return module_backbone(module.eval(), name)


@pytest.mark.parametrize("kind", TIMM)
def test_holds_for_timm(kind):
    backbone = tiny(kind)
    check = require_self_check(backbone, images(backbone))
    assert check.passed and sorted(check.errors) == [1, 2, 3]
    assert 0 <= max(check.errors.values()) < 1e-8


def test_holds_for_torchvision():
    backbone = tiny_torchvision()
    assert max(require_self_check(backbone, images(backbone)).errors.values()) < 1e-8


@pytest.mark.parametrize(
    ("attention", "change"),
    [
        (partial(Attention, gated=True), 0.5),
        (MixedOutputs, 0.05),
        (Rescaled, 0.0009),
    ],
    ids=["gate", "mixed outputs", "rescaled"],
)
@pytest.mark.parametrize("kind", ["cls", "layer_scale"])
def test_what_follows_the_softmax_fails_in_its_block_alone(attention, change, kind):
    backbone = with_attention(attention, layer=2, kind=kind)
    check = self_check(backbone, images(backbone))
    assert not check.passed
    assert len(check.failures) == 1 and "block 2" in check.failures[0]
    assert check.errors[2] > change > max(check.errors[1], check.errors[3])
    with pytest.raises(ValueError, match=f"{kind} cannot be measured.*block 2: its output differs"):
        require_self_check(backbone, images(backbone))


def test_heads_mixed_after_the_softmax_fail():
    backbone = with_attention(TalkingHeads)
    with pytest.raises(ValueError, match="something lies between attention and projection"):
        require_self_check(backbone, images(backbone))


def test_attention_that_is_thrown_away_fails():
    backbone = filled(VisionTransformer(**SIZES, block_fn=Unused), "unused")
    check = self_check(backbone, images(backbone))
    assert set(check.errors.values()) == {float("inf")}


def test_a_stream_changed_between_blocks_fails():
    backbone = filled(ChangedBetween(**SIZES), "changed")
    check = self_check(backbone, images(backbone))
    assert [layer for layer, error in check.errors.items() if error > check.tolerance] == [3]


def test_post_norm_blocks_fail():
    backbone = filled(Eva(**SIZES, use_post_norm=True), "post-norm")
    assert not self_check(backbone, images(backbone)).passed


def test_a_skipped_block_fails():
    backbone = tiny("cls")
    backbone.module.blocks = nn.Sequential(backbone.blocks[0], backbone.blocks[2])
    with pytest.raises(ValueError, match="layer 2 of cls, it fired 0"):
        require_self_check(backbone, images(backbone))


@pytest.mark.parametrize("image_size", [(24, 40), (24, 24)], ids=["3 x 5", "3 x 3"])
def test_rows_and_columns_swapped_fail(image_size):
    vit = VisionTransformer(**SIZES | {"img_size": image_size})
    vit.patch_embed = ColumnMajor(vit.patch_embed)
    backbone = filled(vit, "column-major")
    check = self_check(backbone, images(backbone))
    assert max(check.errors.values()) <= check.tolerance  # attention does not know of places
    rows = image_size[0] // 8
    found = next(text for text in check.misplaced if text.startswith("patch (0, 1)"))
    assert "should change token 2 of" in found and found.endswith(f"they change token {1 + rows}")
    with pytest.raises(ValueError, match=r"column-major cannot be measured.*patch \(0, 1\)"):
        require_self_check(backbone, images(backbone))


def test_a_wrong_grid_fails():
    backbone = tiny("registers")
    wrong = Backbone(**{**vars(backbone), "grid": PatchGrid(5, 3, 8, 8)})
    assert self_check(wrong, images(backbone)).misplaced


def test_blocks_stated_in_a_wrong_order_fail():
    backbone = tiny("cls")
    first, second, third = backbone.blocks
    wrong = Backbone(**{**vars(backbone), "blocks": (first, third, second)})
    assert not self_check(wrong, images(backbone)).passed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_the_same_afterwards(dtype, fails):
    backbone = tiny("rope")
    backbone.module.to(dtype).train()
    held = dict(backbone.module.named_parameters()) | dict(backbone.module.named_buffers())
    values = {name: tensor.clone() for name, tensor in held.items()}
    batch = images(backbone)
    if fails:
        with pytest.raises(ValueError):
            self_check(backbone, batch.mT)
    else:
        assert self_check(backbone, batch).passed
    after = dict(backbone.module.named_parameters()) | dict(backbone.module.named_buffers())
    assert after.keys() == held.keys()
    for name, tensor in after.items():
        assert tensor is held[name] and tensor.dtype == values[name].dtype
        assert tensor.equal(values[name])
    assert backbone.module.training


def test_a_block_without_a_known_projection_is_named():
    backbone = tiny("cls")

    class Renamed(nn.Module):
        def __init__(self, attention):
            super().__init__()
            self.inner = attention

        def forward(self, x, attn_mask=None, is_causal=False):
            return self.inner(x)

    backbone.blocks[2].attn = Renamed(backbone.blocks[2].attn)
    with pytest.raises(ValueError, match=r"block 3, Block, has neither attn\.proj"):
        self_check(backbone, images(backbone))
