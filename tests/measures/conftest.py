import pytest
import torch


@pytest.fixture
def random_attention():
    """Softmax weights (image, head, patch, patch); `scale` makes them sharper."""

    def make(image, head, patch, *, scale=1.0, seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(image, head, patch, patch, generator=generator, dtype=torch.float64)
        return (scale * logits).softmax(dim=-1).to(dtype)

    return make


@pytest.fixture
def random_tokens():
    """Gaussian tokens (image, patch, channel)."""

    def make(image, patch, channel, *, seed=0, dtype=torch.float64):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(image, patch, channel, generator=generator, dtype=torch.float64).to(
            dtype
        )

    return make
