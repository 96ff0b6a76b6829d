"""Exhibits: small arrays of a few images, from which the report draws its pictures."""

from itertools import chain, islice

import numpy as np
import torch
from einops import rearrange, repeat
from safetensors.torch import load_file
from torch import Tensor

from vitscope.axes import Images
from vitscope.data.loader import evaluation_batches
from vitscope.data.source import Source, require_images
from vitscope.data.transforms import evaluation_transform
from vitscope.models.backbone import Backbone
from vitscope.models.vit import Encoder
from vitscope.models.vitscope_weights import decoder_path, recipe_of_folder
from vitscope.objectives.masking import block_mask
from vitscope.objectives.simmim import SimMIM, pixel_mask
from vitscope.table import Exhibit
from vitscope.tracing import require_self_check, trace

GREY = 0.5  # hidden pixels are shown in mid-grey
NUM_CHECKED = 2  # images of the self-check; it is about code paths, which images share
MASK_SEED = 0  # the same patches are hidden for every model


def attention_exhibit(backbone: Backbone, source: Source, num_images: int) -> Exhibit:
    """Attention maps of two queries per image through the depths, averaged over heads.

    One query lies at the centre, where objects tend to be; one near the top left corner, where
    the background tends to be. Prefix tokens are left out and rows renormalised.

    Args:
        backbone: The model.
        source: The first `num_images` of it are shown.
        num_images: At least 1.

    Returns:
        ``images`` (image, height, width, 3) uint8; ``queries`` (image, 2, 2) patch row and column;
        ``maps`` (image, 2, layer, row, column) float16, each summing to 1; layers from 1.

    Raises:
        ValueError: If a block fails the self-check: no map is drawn that does not explain it.
    """
    images = _first_images(backbone, source, num_images)
    grid = backbone.grid
    places = [(grid.height // 2, grid.width // 2), (grid.height // 8, grid.width // 8)]
    require_self_check(backbone, images[:NUM_CHECKED])
    traced = trace(backbone, images, ("attention",))
    layers = []
    for layer in range(1, backbone.depth + 1):
        blocks = [
            rows for _, rows in traced.attention[layer].patch_rows(backbone.num_prefix_tokens)
        ]
        heads_mean = torch.cat(blocks, dim=2).mean(dim=1)  # image query key
        layers.append(heads_mean[:, [row * grid.width + column for row, column in places]])
    maps = rearrange(
        torch.stack(layers, dim=2),
        "image query layer (row column) -> image query layer row column",
        row=grid.height,
    )
    return Exhibit(
        "attention_maps",
        backbone.name,
        {
            "images": _pictures(images, backbone),
            "queries": np.tile(np.array(places), (len(images), 1, 1)),
            "maps": maps.cpu().numpy().astype(np.float16),
        },
        {"grid": [grid.height, grid.width], "heads": "mean over heads"},
    )


def reconstruction_exhibit(backbone: Backbone, source: Source, num_images: int) -> Exhibit | None:
    """What a masked-image model paints into hidden patches; None for a model without a decoder.

    Returns:
        ``original``, ``masked`` and ``reconstruction``, each (image, height, width, 3) uint8. The
        last shows visible patches as they are and hidden ones as painted.
    """
    if (path := decoder_path(backbone)) is None:
        return None
    objective = recipe_of_folder(path.parent).objective
    assert isinstance(backbone.module, Encoder)  # what runs and bundles hold
    simmim = SimMIM(backbone.module)
    simmim.load_state_dict(
        {f"encoder.{name}": value for name, value in backbone.module.state_dict().items()}
        | load_file(path)
    )
    images = _first_images(backbone, source, num_images)
    side = backbone.grid.height, backbone.grid.width
    generator = torch.Generator().manual_seed(MASK_SEED)
    mask = block_mask(len(images), side, objective.mask_unit, objective.mask_ratio, generator).to(
        images.device
    )
    with torch.no_grad():
        painted = simmim.eval().to(images.device).reconstruction(images, mask)
    hidden = pixel_mask(mask, side, backbone.patch_size[0]).cpu().numpy()
    hidden = rearrange(hidden, "image 1 height width -> image height width 1")
    original = _pictures(images, backbone)
    return Exhibit(
        "reconstructions",
        backbone.name,
        {
            "original": original,
            "masked": np.where(hidden, np.uint8(255 * GREY), original),
            "reconstruction": np.where(hidden, _pictures(painted, backbone), original),
        },
        {"mask_ratio": float(mask.float().mean())},
    )


def _first_images(backbone: Backbone, source: Source, num_images: int) -> Images:
    transform = evaluation_transform(backbone.image_size, backbone.mean, backbone.std)
    batches = evaluation_batches(source, transform, batch_size=num_images)
    decoded = chain.from_iterable(batch.images for batch in batches)
    images = list(islice(decoded, num_images))
    require_images(source, len(images))
    return torch.stack(images).to(backbone.device, backbone.dtype)


def _pictures(images: Tensor, backbone: Backbone) -> np.ndarray:
    """Normalised images as uint8 (image, height, width, channel)."""
    mean = repeat(torch.tensor(backbone.mean), "channel -> channel 1 1").to(images)
    std = repeat(torch.tensor(backbone.std), "channel -> channel 1 1").to(images)
    pixels = (images * std + mean).clamp(0, 1) * 255
    pixels = rearrange(pixels, "image channel height width -> image height width channel")
    return pixels.round().to(torch.uint8).cpu().numpy()
