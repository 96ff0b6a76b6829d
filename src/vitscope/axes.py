"""The one legend of axis names; every shape in the package is written with these words.

image    sample in a batch or data set        head     attention head
view     augmented copy of an image           query    row of an attention matrix
layer    depth (tokens 0..depth, attention 1..depth)
key      column of an attention matrix        token    prefix tokens followed by patches
patch    position on the patch grid, row-major
channel  of a token, or colour              feature  of one vector per image
height, width   pixels
class    category of a label                  coordinate      place on a curve (a frequency, a rank)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Images = Float[Tensor, "image channel height width"]
Tokens = Float[Tensor, "image token channel"]
PatchTokens = Float[Tensor, "image patch channel"]
Attention = Float[Tensor, "image head query key"]
PerImage = Float[Tensor, " image"]
PerImageHead = Float[Tensor, "image head"]
PerImageCoordinate = Float[Tensor, "image coordinate"]
PerImageKey = Float[Tensor, "image head key"]
PerHead = Float[Tensor, " head"]
PatchCentres = Float[Tensor, "patch 2"]


@dataclass(frozen=True)
class PatchGrid:
    """Where the patches of an image lie: rows by columns of patches, each some pixels large.

    Args:
        height: Number of patch rows.
        width: Number of patch columns.
        patch_height: Pixels from one row to the next.
        patch_width: Pixels from one column to the next.
    """

    height: int
    width: int
    patch_height: int = 1
    patch_width: int = 1

    @property
    def num_patches(self) -> int:
        """Patches in the grid."""
        return self.height * self.width

    @property
    def centres(self) -> PatchCentres:
        """Centre (y, x) of each patch in input pixels, row-major, float64."""
        y = (torch.arange(self.height, dtype=torch.float64) + 0.5) * self.patch_height
        x = (torch.arange(self.width, dtype=torch.float64) + 0.5) * self.patch_width
        return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).reshape(-1, 2)
