import math

import pytest
import torch

from vitscope.models.vit import build_vit, masked_forward_features, sincos_positions
from vitscope.recipe import Architecture

SIZES = {"image_size": 32, "patch_size": 8, "embed_dim": 96, "depth": 3, "num_heads": 3}


def test_moco_v3_starts_q_k_and_v_as_three_xavier_matrices():
    weight = build_vit(Architecture(**SIZES), seed=0).blocks[1].attn.qkv.weight
    bound = math.sqrt(6 / (96 + 96))
    assert 0.98 * bound < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)


def test_moco_v3_starts_the_patch_projection_from_the_flattened_patch():
    projection = build_vit(Architecture(**SIZES), seed=0).patch_embed.proj
    bound = math.sqrt(6 / (3 * 8 * 8 + 96))
    assert 0.98 * bound < projection.weight.abs().max() <= bound
    assert projection.bias.eq(0).all()


def test_simmim_cuts_at_one_standard_deviation_and_scales_block_outputs():
    settings = Architecture(**SIZES, initialisation="simmim", position="relative", init_values=0.1)
    vit = build_vit(settings, seed=0)
    assert vit.blocks[0].mlp.fc1.weight.abs().max() <= 0.02
    assert vit.blocks[0].mlp.fc1.weight.std().item() == pytest.approx(0.0108, rel=0.03)
    for layer, block in enumerate(vit.blocks, start=1):
        assert block.mlp.fc2.weight.abs().max() <= 0.02 / math.sqrt(2 * layer)
        assert block.attn.proj.weight.abs().max() > 0.019 / math.sqrt(2 * layer)
        assert block.gamma_1.eq(0.1).all()
    assert vit.rel_pos_bias.relative_position_bias_table.eq(0).all()
    assert vit.pos_embed is None


def test_positions_are_fixed_and_cls_has_none():
    vit = build_vit(Architecture(**SIZES))
    assert not vit.pos_embed.requires_grad
    assert vit.pos_embed[0, 0].eq(0).all()
    assert torch.equal(vit.pos_embed[0, 1:], sincos_positions(4, 4, 96))


def test_the_first_half_of_the_channels_is_the_row_on_a_non_square_grid():
    table = sincos_positions(2, 3, 8).reshape(2, 3, 8)
    assert torch.equal(table[1, 0, :4], table[1, 2, :4])
    assert torch.equal(table[0, 2, 4:], table[1, 2, 4:])
    assert table[1, 2, 0].item() == pytest.approx(math.sin(1))
    assert table[1, 2, 4].item() == pytest.approx(math.sin(2))


def test_a_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first, second = (build_vit(Architecture(**SIZES), seed=5) for _ in range(2))
    assert torch.equal(first.blocks[2].mlp.fc1.weight, second.blocks[2].mlp.fc1.weight)
    other = build_vit(Architecture(**SIZES), seed=6)
    assert not torch.equal(first.blocks[2].mlp.fc1.weight, other.blocks[2].mlp.fc1.weight)
    assert torch.equal(before, torch.get_rng_state())


def test_masking_nothing_is_the_plain_forward():
    vit = build_vit(Architecture(**SIZES)).eval()
    images, nothing = torch.randn(2, 3, 32, 32), torch.zeros(2, 16, dtype=torch.bool)
    masked = masked_forward_features(vit, images, nothing, torch.randn(1, 1, 96))
    assert torch.equal(masked, vit.forward_features(images))
    assert torch.equal(masked, vit.forward_features(images))  # the hook is gone


@pytest.mark.parametrize("wrong", [{"patch_size": 7}, {"num_heads": 5}])
def test_sizes_that_do_not_divide_are_refused(wrong):
    with pytest.raises(ValueError, match="divide evenly"):
        build_vit(Architecture(**{**SIZES, **wrong}))
