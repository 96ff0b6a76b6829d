import math
import os
from pathlib import Path

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from tests import deterministic
from tests.models.official_forward import output
from tests.models.tiny_vits import images
from vitscope.models.checkpoint import read_checkpoint
from vitscope.models.load import load
from vitscope.models.positions import mae_positions
from vitscope.tracing import require_self_check

DATA = os.environ.get("VITSCOPE_DATA")
SIZES = {"img_size": 24, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}


def encoder(**changes) -> VisionTransformer:
    """A model whose keys are MAE's, with MAE's position table."""
    vit = VisionTransformer(**SIZES | {"num_classes": 0} | changes).eval()
    deterministic.fill(vit, scale=2.0)
    rows, columns = vit.patch_embed.grid_size
    with torch.no_grad():
        vit.pos_embed.zero_()[0, 1:] = mae_positions(rows, columns, vit.embed_dim)
    return vit


def decoder(num_patches: int = 9) -> dict[str, torch.Tensor]:
    """Some of the keys that a file with the decoder has beside the encoder's."""
    return {
        "mask_token": torch.ones(1, 1, 16),
        "decoder_pos_embed": torch.ones(1, num_patches + 1, 16),
        "decoder_embed.weight": torch.ones(16, 32),
        "decoder_blocks.0.attn.qkv.weight": torch.ones(48, 16),
        "decoder_pred.bias": torch.ones(192),
    }


def saved(path, weights, **others):
    torch.save({"model": weights, **others}, path)
    return path


def test_the_position_table_takes_the_column_first():
    table = mae_positions(2, 3, 8)
    row, column = 1, 2
    expected = [
        f(position * 10_000 ** (-index / 2))
        for position in (column, row)
        for f in (math.sin, math.cos)
        for index in (0, 1)
    ]
    torch.testing.assert_close(table[row * 3 + column], torch.tensor(expected))


@pytest.mark.parametrize("kind", ["mae", "file"])
@pytest.mark.parametrize("full", [False, True])
def test_the_encoder_computes_what_the_official_model_would(tmp_path, kind, full):
    vit = encoder()
    weights = vit.state_dict() | (decoder() if full else {})
    path = saved(tmp_path / "some_mae.pth", weights, epoch=3)
    backbone = load(f"{kind}:{path}?num_heads=4")
    batch = images(backbone)
    assert backbone.module(batch).equal(vit(batch))
    assert (backbone.name, backbone.depth, backbone.num_heads) == ("some_mae", 2, 4)
    assert (backbone.image_size, backbone.patch_size) == ((24, 24), (8, 8))
    assert backbone.num_prefix_tokens == 1
    dropped = 5 if full else 0
    assert backbone.facts["keys"] == f"{len(vit.state_dict())} keys used, {dropped} dropped"
    assert backbone.facts["branch"] == "encoder" and len(backbone.facts["sha256"]) == 64


def test_facts_that_no_file_holds_are_taken_from_the_spec(tmp_path):
    vit = encoder(img_size=(24, 40), in_chans=1, mlp_ratio=2.5)
    path = saved(tmp_path / "a.pth", vit.state_dict())
    stated = "num_heads=8&eps=1e-5&image_size=24x40&mean=0.4&std=0.3"
    backbone = load(f"mae:{path}?{stated}")
    assert backbone.num_heads == 8 and backbone.blocks[0].norm1.eps == 1e-5
    assert (backbone.grid.height, backbone.grid.width) == (3, 5)
    assert (backbone.mean, backbone.std) == ((0.4,), (0.3,))


def test_a_decoder_tells_mae_whatever_the_grid(tmp_path):
    weights = encoder(img_size=(24, 40)).state_dict() | decoder(15)
    path = saved(tmp_path / "a.pth", weights)
    assert load(f"file:{path}?num_heads=4&image_size=24x40").grid.width == 5


def test_epsilon_is_mae_s_unless_stated(tmp_path):
    path = saved(tmp_path / "a.pth", encoder().state_dict())
    backbone = load(f"mae:{path}?num_heads=4")
    norms = [m for m in backbone.module.modules() if isinstance(m, torch.nn.LayerNorm)]
    assert len(norms) == 5 and {norm.eps for norm in norms} == {1e-6}


def test_heads_of_other_sizes_are_not_guessed(tmp_path):
    path = saved(tmp_path / "a.pth", encoder().state_dict())
    with pytest.raises(ValueError, match=r"embed_dim 32 is no published size .*num_heads=N"):
        load(f"mae:{path}")
    with pytest.raises(ValueError, match="32 is no multiple of 5 heads"):
        load(f"mae:{path}?num_heads=5")


def test_a_grid_that_is_not_square_must_be_stated(tmp_path):
    path = saved(tmp_path / "a.pth", encoder(img_size=(24, 40)).state_dict())
    with pytest.raises(ValueError, match="15 positions are no square grid; state the image's size"):
        load(f"mae:{path}?num_heads=4")


def test_normalisation_of_other_than_three_channels_must_be_stated(tmp_path):
    path = saved(tmp_path / "a.pth", encoder(in_chans=1).state_dict())
    with pytest.raises(ValueError, match=r"mean of 1 channels.*got 3; state it: mean=0.5"):
        load(f"mae:{path}?num_heads=4")


@pytest.mark.parametrize(
    ("option", "message"),
    [("std=0,0,0", "every std above 0"), ("eps=-1", "eps above 0"), ("num_heads=0", "num_heads=0")],
)
def test_options_without_a_meaning_are_refused(tmp_path, option, message):
    path = saved(tmp_path / "a.pth", encoder().state_dict())
    heads = "" if option.startswith("num_heads") else "&num_heads=4"
    with pytest.raises(ValueError, match=message):
        load(f"mae:{path}?{option}{heads}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm.weight": None}, "1 missing: norm.weight"),
        ({"blocks.1.attn.qkv.bias": None}, "1 missing: blocks.1.attn.qkv.bias"),
        ({"fc_norm.weight": torch.ones(32)}, "1 unexpected: fc_norm.weight"),
        ({"norm.bias": torch.ones(31)}, r"norm.bias \(expected shape \(32,\), got \(31,\)\)"),
        ({"patch_embed.proj.weight": None}, "expected the key 'patch_embed.proj.weight'"),
        (
            {"patch_embed.proj.weight": torch.ones(3)},
            "expected 4 axes in 'patch_embed.proj.weight'",
        ),
        ({"patch_embed.proj.weight": torch.ones(32, 3, 0, 0)}, "got empty tensors"),
        ({"blocks.0.mlp.fc1.weight": None}, "expected the key 'blocks.0.mlp.fc1.weight'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_key(tmp_path, change, message):
    weights = {k: v for k, v in (encoder().state_dict() | change).items() if v is not None}
    path = saved(tmp_path / "a.pth", weights)
    with pytest.raises(ValueError, match=message):
        load(f"mae:{path}?num_heads=4")


def test_a_learned_position_table_is_not_taken_for_mae(tmp_path):
    vit = encoder()
    torch.nn.init.normal_(vit.pos_embed, std=0.02)
    path = saved(tmp_path / "deit.pth", vit.state_dict())
    with pytest.raises(ValueError, match="none that vitscope knows"):
        load(f"file:{path}?num_heads=4")
    assert load(f"mae:{path}?num_heads=4").depth == 2  # who names the format is believed


@pytest.mark.skipif(DATA is None, reason="VITSCOPE_DATA names no folder with real weights")
@pytest.mark.parametrize(
    ("file", "stated", "grid", "num_parameters"),
    [
        ("mae_cifar10_d64_l4_p2_20ep", "num_heads=8&mean=.5,.5,.5&std=.5,.5,.5", 16, 217_408),
        ("mae_cifar10_d64_l4_p4_30ep", "num_heads=8", 8, 207_424),
        ("mae_mnist_d64_l4_p2", "num_heads=4&mean=0.5&std=0.5", 14, 213_056),
        ("mae_mnist_d64_l4_p2_20ep", "num_heads=4&mean=0.5&std=0.5", 14, 213_056),
    ],
)
def test_real_weights_load_and_compute_what_mae_defines(file, stated, grid, num_parameters):
    path = Path(DATA or "") / "weights" / f"{file}.pth"
    backbone = load(f"file:{path}?eps=1e-5&{stated}")
    assert (backbone.grid.height, backbone.grid.width, backbone.depth) == (grid, grid, 4)
    assert backbone.facts["keys"] == "54 keys used, 32 dropped"
    assert backbone.facts["num_parameters"] == str(num_parameters)
    expected = mae_positions(grid, grid, 64)
    torch.testing.assert_close(backbone.module.pos_embed[0, 1:], expected, rtol=0, atol=5e-7)
    batch = torch.randn(2, len(backbone.mean), *backbone.image_size)
    require_self_check(backbone, batch)
    with torch.no_grad():
        features = backbone.module.double()(batch.double())
    weights = read_checkpoint(path).weights()
    correct = output(weights, batch, backbone.num_heads, eps=1e-5)
    torch.testing.assert_close(features, correct, rtol=0, atol=1e-10)
