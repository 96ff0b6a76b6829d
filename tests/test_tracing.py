import pytest
import torch
from timm.models.vision_transformer import ParallelScalingBlock, VisionTransformer
from torch import nn
from torch.nn import functional

from tests.models.tiny_vits import SIZES, TIMM, images, tiny, tiny_torchvision
from vitscope.models.backbone import Backbone
from vitscope.models.module_backbone import module_backbone
from vitscope.tracing import trace
from vitscope.tracing.interception import intercepted_attention


def unfused_attention(backbone: Backbone, batch: torch.Tensor) -> list[torch.Tensor]:
    """What timm's own attention dropout is given once its attention is not fused."""
    seen: list[torch.Tensor] = []
    handles = [
        block.attn.attn_drop.register_forward_hook(lambda *call: seen.append(call[2]))
        for block in backbone.blocks
    ]
    for block in backbone.blocks:
        block.attn.fused_attn = False
    with torch.no_grad():
        backbone.module(batch)
    for handle in handles:
        handle.remove()
    for block in backbone.blocks:
        block.attn.fused_attn = True
    return seen


def hooked(backbone: Backbone) -> bool:
    parts = backbone.module.modules()
    return any(part._forward_hooks or part._forward_pre_hooks for part in parts)


@pytest.mark.parametrize("kind", TIMM)
def test_captured_attention_is_what_timm_computes_unfused(kind):
    backbone = tiny(kind)
    backbone.module.double()
    batch = images(backbone).double()
    traced = trace(backbone, batch, ["attention"])
    expected = unfused_attention(backbone, batch)
    assert len(expected) == backbone.depth
    for layer, attention in enumerate(expected, start=1):
        torch.testing.assert_close(
            traced.attention[layer].weights(), attention, rtol=0, atol=1e-12, msg=f"layer {layer}"
        )


def test_captured_attention_is_what_timm_computes_in_float32_too():
    backbone = tiny("shared_relative", scale=1.5)
    batch = images(backbone)
    traced = trace(backbone, batch, ["attention"])
    for layer, attention in enumerate(unfused_attention(backbone, batch), start=1):
        got = traced.attention[layer].weights()
        torch.testing.assert_close(got, attention, rtol=0, atol=1e-6)


def test_captured_attention_is_what_torchvision_computes():
    backbone = tiny_torchvision()
    batch = images(backbone)
    traced = trace(backbone, batch)
    for layer, block in enumerate(backbone.blocks, start=1):
        stream = block.ln_1(traced.tokens[layer - 1])
        output, expected = block.self_attention(
            stream, stream, stream, need_weights=True, average_attn_weights=False
        )
        torch.testing.assert_close(traced.attention[layer].weights(), expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(
            traced.after_attention[layer], traced.tokens[layer - 1] + output, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("kind", ["cls", "registers", "layer_scale"])
def test_tokens_are_the_residual_stream(kind):
    backbone = tiny(kind)
    batch = images(backbone)
    traced = trace(backbone, batch)
    vit = backbone.module
    with torch.no_grad():
        stream = vit.norm_pre(vit._pos_embed(vit.patch_embed(batch)))
        assert traced.tokens[0].equal(stream)
        for layer, block in enumerate(vit.blocks, start=1):
            stream = stream + block.ls1(block.attn(block.norm1(stream)))
            assert traced.after_attention[layer].equal(stream)
            stream = stream + block.ls2(block.mlp(block.norm2(stream)))
            assert traced.tokens[layer].equal(stream)
    assert sorted(traced.tokens) == [0, 1, 2, 3]
    assert sorted(traced.after_attention) == sorted(traced.attention) == [1, 2, 3]


def test_patch_tokens_leave_out_the_prefix():
    backbone = tiny("registers")
    traced = trace(backbone, images(backbone), ["tokens", "after_attention"])
    assert traced.patch_tokens(2).shape == (2, 15, 32)
    assert traced.patch_tokens(2).equal(traced.tokens[2][:, 5:])
    assert traced.patch_after_attention(3).equal(traced.after_attention[3][:, 5:])


def test_what_was_not_traced_is_an_error():
    backbone = tiny("cls")
    traced = trace(backbone, images(backbone), ["tokens"])
    assert not traced.attention and not traced.after_attention
    with pytest.raises(ValueError, match="trace it"):
        traced.patch_after_attention(1)
    with pytest.raises(ValueError, match="layers 0 to 3"):
        traced.patch_tokens(4)


def test_tokens_are_kept_though_a_later_block_adds_in_place():
    backbone = tiny("cls")
    batch = images(backbone)
    expected = trace(backbone, batch, ["tokens"])

    class InPlace(nn.Module):
        def forward(self, x):
            x += 1.0
            return x

    backbone.module.blocks[1] = block = InPlace()
    changed = Backbone(**{**vars(backbone), "blocks": (backbone.blocks[0], block)})
    traced = trace(changed, batch, ["tokens"])
    assert traced.tokens[1].equal(expected.tokens[1])
    assert traced.tokens[2].equal(expected.tokens[1] + 1)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scale": 0.31},
        {"is_causal": True},
        {"attn_mask": torch.arange(42).reshape(6, 7) % 5 != 0},
        {"attn_mask": torch.arange(84.0).reshape(2, 1, 6, 7).cos()},
        {"key_heads": 2, "enable_gqa": True},
    ],
    ids=["plain", "scale", "causal", "bool", "bias", "grouped"],
)
def test_weights_and_value_give_what_scaled_dot_product_attention_returns(arguments):
    arguments = dict(arguments)
    heads = arguments.pop("key_heads", 4)
    keys = 6 if "is_causal" in arguments else 7
    stream = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 6, 3, generator=stream)
    key, value = torch.randn(2, 2, heads, keys, 3, generator=stream)

    class Block(nn.Module):
        def forward(self, query):
            return functional.scaled_dot_product_attention(query, key, value, **arguments)

    block = Block()
    with intercepted_attention(block, [block]) as calls:
        output = block(query)
    (attention,) = calls[0]
    torch.testing.assert_close(attention.weights() @ attention.value, output)


def test_tracing_changes_neither_the_result_nor_the_model():
    backbone = tiny("rope")
    batch = images(backbone)
    with torch.no_grad():
        expected = backbone.module(batch)
    backbone.module.train()
    backbone.blocks[1].attn.eval()
    backbone.blocks[2].attn.fused_attn = False
    before = functional.scaled_dot_product_attention
    traced = trace(backbone, batch)
    assert functional.scaled_dot_product_attention is before
    assert backbone.module.training and not backbone.blocks[1].attn.training
    assert [block.attn.fused_attn for block in backbone.blocks] == [True, True, False]
    assert not hooked(backbone)
    assert not traced.attention[3].query.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(backbone.module.eval()(batch), expected)


def test_a_model_in_training_is_traced_without_its_dropout():
    dropping = VisionTransformer(**SIZES, proj_drop_rate=0.5, attn_drop_rate=0.5)
    backbone = module_backbone(dropping.train(), "dropping")
    in_training = trace(backbone, images(backbone), ["tokens", "attention"]).tokens[3]
    dropping.eval()
    assert in_training.equal(trace(backbone, images(backbone), ["tokens"]).tokens[3])


def test_everything_is_restored_after_an_exception():
    backbone = tiny("cls")
    backbone.module.train()
    backbone.blocks[0].attn.fused_attn = False
    backbone.blocks[1].mlp.fc1 = nn.Linear(31, 32)  # fails half-way
    before = functional.scaled_dot_product_attention
    torch.backends.mha.set_fastpath_enabled(True)  # torch's default
    with pytest.raises(RuntimeError):
        trace(backbone, images(backbone))
    assert functional.scaled_dot_product_attention is before
    assert torch.backends.mha.get_fastpath_enabled()
    assert backbone.blocks[0].attn.fused_attn is False
    assert all(module.training for module in backbone.module.modules())
    assert not hooked(backbone)


def test_images_of_another_size_are_refused():
    backbone = tiny("cls")
    with pytest.raises(ValueError, match=r"channel, 24, 40\) for cls, got \(2, 3, 40, 24\)"):
        trace(backbone, images(backbone).mT)


def test_unknown_sites_are_refused():
    backbone = tiny("cls")
    with pytest.raises(ValueError, match="got mlp"):
        trace(backbone, images(backbone), ["tokens", "mlp"])


def test_a_token_count_other_than_prefix_and_grid_is_refused():
    backbone = tiny("registers")
    wrong = Backbone(**{**vars(backbone), "num_prefix_tokens": 1})
    for site in ("tokens", "after_attention", "attention"):
        with pytest.raises(ValueError, match=f"'{site}'.*1 prefix tokens and 3 x 5 patches"):
            trace(wrong, images(backbone), [site])


class Skipping(VisionTransformer):
    def forward_features(self, x, attn_mask=None, is_causal=False):
        x = self._pos_embed(self.patch_embed(x))
        return self.norm(self.blocks[2](self.blocks[0](x)))


@pytest.mark.parametrize("site", ["tokens", "after_attention", "attention"])
def test_a_skipped_block_is_an_error(site):
    backbone = module_backbone(Skipping(**SIZES), "skipping")
    with pytest.raises(ValueError, match=f"'{site}' once in layer 2 of skipping, it fired 0"):
        trace(backbone, images(backbone), [site])


def test_attention_twice_in_a_block_is_an_error():
    backbone = tiny("cls")
    attention = backbone.blocks[1].attn
    single = attention.forward

    def twice(x, **arguments):
        return single(single(x))

    attention.forward = twice
    with pytest.raises(ValueError, match=r"'attention' once in layer 2 of cls, it fired 2"):
        trace(backbone, images(backbone), ["attention"])


def test_attention_computed_by_hand_is_an_error():
    backbone = tiny("cls")

    class ByHand(nn.Module):
        def forward(self, x, attn_mask, is_causal):
            return (x @ x.mT).softmax(-1) @ x

    backbone.blocks[0].attn = ByHand()
    with pytest.raises(ValueError, match=r"'attention' once in layer 1 of cls, it fired 0"):
        trace(backbone, images(backbone), ["attention"])


def test_a_block_without_a_second_norm_has_no_after_attention():
    vit = VisionTransformer(**SIZES, block_fn=ParallelScalingBlock)
    stated = vars(tiny("cls")) | {"module": vit, "blocks": tuple(vit.blocks), "name": "parallel"}
    with pytest.raises(
        ValueError, match="block 1 of parallel, ParallelScalingBlock, has no second"
    ):
        trace(Backbone(**stated), torch.zeros(1, 3, 24, 40))
    assert len(trace(Backbone(**stated), torch.zeros(1, 3, 24, 40), ["attention"]).attention) == 3
