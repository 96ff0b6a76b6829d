import pytest
import torch

from vitscope.models.vit import build_vit
from vitscope.objectives.moco_v3 import contrastive_loss
from vitscope.optimisation.precision import explicit_attention, fabric_for
from vitscope.recipe import Architecture


class Inspect(torch.nn.Linear):
    def forward(self, pixels):
        self.seen = pixels
        return super().forward(pixels)


def test_mixed_precision_computes_in_bf16_and_leaves_inputs_and_weights_alone():
    fabric = fabric_for("bf16-mixed", "cpu")
    module = Inspect(5, 3)
    wrapped = fabric.setup(module)
    pixels = torch.rand(7, 5)
    output = wrapped(pixels)
    assert torch.equal(module.seen, pixels)
    assert module.weight.dtype == torch.float32
    exact = torch.nn.functional.linear(pixels, module.weight, module.bias)
    assert not torch.equal(output, exact)
    torch.testing.assert_close(output, exact, rtol=2e-2, atol=2e-2)


def test_full_precision_is_full():
    wrapped = fabric_for("32-true", "cpu").setup(Inspect(5, 3))
    pixels = torch.rand(7, 5)
    assert torch.equal(
        wrapped(pixels), torch.nn.functional.linear(pixels, wrapped.weight, wrapped.bias)
    )


@pytest.mark.parametrize(("precision", "explicit"), [("bf16-mixed", True), ("32-true", False)])
def test_only_mixed_precision_on_a_cpu_has_explicit_attention_and_it_means_the_same(
    precision, explicit
):
    tiny = Architecture(image_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2)
    vit = build_vit(tiny, seed=0)
    images = torch.rand(3, 3, 16, 16)
    exact = vit(images)
    fabric = fabric_for(precision, "cpu")
    wrapped = fabric.setup_module(vit)
    fused = wrapped(images)
    explicit_attention(vit, fabric, precision)
    assert [block.attn.fused_attn for block in vit.blocks] == 2 * [not explicit]
    rounding = (fused - exact).abs().max()
    assert (rounding > 1e-4) == explicit  # so the wrapped module did compute in bf16
    assert (wrapped(images) - exact).abs().max() <= 2 * rounding


def test_the_contrastive_loss_is_in_fp32_under_autocast():
    query, key = torch.randn(7, 5), torch.randn(7, 5)
    exact = contrastive_loss(query, key, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(query, key, 0.2), exact)


@pytest.mark.parametrize("device", ["cuda", "abacus"])
def test_a_device_that_is_not_here_is_refused(device):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(ValueError, match=f"expected a device that is here.*got '{device}'"):
        fabric_for("32-true", device)
