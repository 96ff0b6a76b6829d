import torch

from vitscope.optimisation.precision import fabric_for


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
