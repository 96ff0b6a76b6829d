"""SimMIM: hidden patches must be painted from the visible ones (masked image modelling, MIM)."""

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitscope.axes import Images
from vitscope.models.vit import Encoder, masked_forward_features, truncated_normal

EPSILON = 1e-5  # SimMIM `simmim.py`; keeps an unmasked batch finite


class SimMIM(nn.Module):
    """Encoder, mask token and a linear decoder to pixels.

    Args:
        encoder: A timm ViT with `patch_embed`, `forward_features` and one or more prefix tokens.

    Source:
        SimMIM `models/simmim.py`. Differs in nothing that changes numbers; the mask token is kept
        here, beside the decoder, so that the encoder stays a plain timm model.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.patch_size, patch_width = map(int, encoder.patch_embed.patch_size)
        if self.patch_size != patch_width:
            raise ValueError(f"expected square patches, got {self.patch_size} x {patch_width}")
        channels = encoder.patch_embed.proj.in_channels
        self.mask_token = nn.Parameter(torch.zeros(1, 1, encoder.num_features))
        truncated_normal(self.mask_token)
        self.decoder = nn.Sequential(
            nn.Conv2d(encoder.num_features, channels * self.patch_size**2, kernel_size=1),
            nn.PixelShuffle(self.patch_size),
        )

    def forward(self, images: Images, mask: Bool[Tensor, "image patch"]) -> dict[str, Tensor]:
        """Reconstruction loss of one batch.

        Args:
            images: Normalised images, (image, channel, height, width).
            mask: True where a patch is hidden from the encoder.

        Returns:
            ``loss``: mean absolute error over the hidden pixels, in units of normalised pixels.
        """
        reconstruction = self.reconstruction(images, mask)
        grid = self.encoder.patch_embed.grid_size
        hidden = pixel_mask(mask, grid, self.patch_size)
        return {"loss": masked_l1_loss(reconstruction, images, hidden)}

    def reconstruction(self, images: Images, mask: Bool[Tensor, "image patch"]) -> Images:
        """All pixels as the decoder paints them, hidden or not, in normalised units."""
        tokens = masked_forward_features(self.encoder, images, mask, self.mask_token)
        patches = tokens[:, self.encoder.num_prefix_tokens :]
        rows = self.encoder.patch_embed.grid_size[0]
        feature_map = rearrange(patches, "image (row column) c -> image c row column", row=rows)
        return self.decoder(feature_map)


def pixel_mask(
    mask: Bool[Tensor, "image patch"], grid: tuple[int, int], patch_size: int
) -> Bool[Tensor, "image 1 height width"]:
    """The patch mask at the resolution of the image."""
    return repeat(
        mask,
        "image (row column) -> image 1 (row a) (column b)",
        row=grid[0],
        a=patch_size,
        b=patch_size,
    )


def masked_l1_loss(
    reconstruction: Images, images: Images, hidden: Bool[Tensor, "image 1 height width"]
) -> Float[Tensor, ""]:
    """Mean absolute error over hidden pixels and channels.

    Args:
        reconstruction: Painted pixels.
        images: True pixels, in the same units.
        hidden: True where a pixel was hidden.

    Returns:
        0 for a perfect reconstruction. Summed over the batch before dividing, as the original.

    Example:
        >>> hidden = torch.tensor([[[[True, False]]]])
        >>> masked_l1_loss(torch.zeros(1, 3, 1, 2), torch.ones(1, 3, 1, 2), hidden)
        tensor(1.0000)
    """
    error = (images - reconstruction).abs() * hidden
    # In fp32, as the original: the epsilon then vanishes beside the count, except at zero.
    count = hidden.sum().to(torch.float32) + EPSILON
    return error.sum() / count / images.shape[1]
