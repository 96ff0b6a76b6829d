import pytest
import torch

from vitscope.models.vit import build_vit
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
    vit = build_vit(
        Architecture(image_size=16, patch_size=8, embed_dim=16, depth=2, num_heads=2), 0
    )
    images = torch.rand(3, 3, 16, 16)
    fabric = fabric_for(precision, "cpu")
    before = fabric.setup_module(vit, move_to_device=False).forward_features(images)
    explicit_attention(vit, fabric, precision)
    assert [block.attn.fused_attn for block in vit.blocks] == 2 * [not explicit]
    after = vit.forward_features(images)
    torch.testing.assert_close(after, before, rtol=2e-2, atol=2e-2)
