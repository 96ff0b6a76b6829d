"""From an image to a normalised tensor: for evaluation, and the random views of pre-training.

Random views draw from torch's global generator, as torchvision's do; the training loader seeds it
per image and view. They work on PIL images: measured on one thread, a contrastive view costs
0.6 ms at 64 px and 4 ms at 224 px, against 1.1 and 15 ms with torchvision's blur and colours on
tensors. Every view ends with pixels in [0, 1], minus `mean`, divided by `std`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from vitscope.data.folder import rgb

CENTRE_CROP = 0.875  # timm's DEFAULT_CROP_PCT: 224 px from 256 px
SMALL_IMAGE = 96  # px; data sets up to this size (CIFAR, STL) come without a margin to crop off
SOLARIZE_ABOVE = 128  # grey level; moco-v3 uses ImageOps.solarize's default


@dataclass(frozen=True)
class EvaluationTransform:
    """The centre of an image at a model's input size; see `evaluation_transform`."""

    image_size: tuple[int, int]
    mean: Sequence[float]
    std: Sequence[float]

    def __call__(self, image: Image.Image | Tensor) -> Tensor:
        """Normalised float tensor (channel, height, width)."""
        picture: Any = image  # torchvision's annotations know tensors only
        if not (isinstance(image, Tensor) and image.is_floating_point()):
            picture = pil_image(image)  # 8-bit images are resized alike, wherever they come from
        before = functional.get_size(picture)
        after = self._covering_size(*before)
        if after != before:
            bicubic = v2.InterpolationMode.BICUBIC
            picture = functional.resize(picture, after, interpolation=bicubic)
        picture = functional.center_crop(picture, list(self.image_size))
        if isinstance(picture, Image.Image):
            return normalised(picture, self.mean, self.std)
        return _standardised(picture.clamp(0, 1), self.mean, self.std)  # bicubic overshoots

    def _covering_size(self, height: int, width: int) -> list[int]:
        """The size to resize to: as small as covers the crop's surroundings, in proportion."""
        share = CENTRE_CROP if max(self.image_size) > SMALL_IMAGE else 1.0
        least_height, least_width = (int(side / share) for side in self.image_size)
        if least_height * width >= least_width * height:
            return [least_height, int(least_height * width / height)]
        return [int(least_width * height / width), least_width]


def evaluation_transform(
    image_size: int | tuple[int, int],
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
) -> EvaluationTransform:
    """The transform that models are measured and evaluated with.

    Above 96 px: the short side is resized (bicubic) to `int(image_size / 0.875)`, then the centre
    is cropped. Up to 96 px there is no margin: the short side becomes `image_size` itself, so a
    square image that has this size already is left as it is.

    Args:
        image_size: Pixels, square; or (height, width), where the image is resized to cover both.
        mean: Per-channel mean of pixels in [0, 1].
        std: Per-channel standard deviation, likewise.

    Returns:
        A function of a PIL image or a tensor (3, height, width), uint8 or float in [0, 1].

    Source:
        timm's `transforms_imagenet_eval` at its default crop of 0.875. We differ in interpolating
        bicubically, as nearly all published ViTs were evaluated (timm's default is bilinear), and
        up to 96 px, where timm crops as well unless a model's configuration says otherwise.
    """
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    return EvaluationTransform(size, tuple(mean), tuple(std))


@dataclass(frozen=True)
class CropView:
    """A random crop, flipped half of the time; see `simmim_view`."""

    image_size: int
    crop_min: float
    mean: Sequence[float]
    std: Sequence[float]
    _crop: v2.RandomResizedCrop = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_crop", _random_resized_crop(self.image_size, self.crop_min))

    def __call__(self, image: Image.Image | Tensor) -> Tensor:
        """Normalised float tensor (channel, height, width)."""
        picture: Any = self._crop(pil_image(image))  # torchvision's annotations know tensors only
        if _chance(0.5):
            picture = functional.horizontal_flip(picture)
        return normalised(picture, self.mean, self.std)


def simmim_view(
    image_size: int,
    crop_min: float = 0.67,
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
) -> CropView:
    """The one view of SimMIM: a random crop of 3/4 to 4/3, bilinear, flipped half of the time.

    Args:
        image_size: Pixels, square.
        crop_min: Smallest share of the image's area, in (0, 1]; the largest is 1.
        mean: Per-channel mean of pixels in [0, 1].
        std: Per-channel standard deviation, likewise.

    Source:
        SimMIM `data/data_simmim.py`. With `crop_min=0.08` it is the linear probe's (MoCo v3).
    """
    return CropView(image_size, crop_min, tuple(mean), tuple(std))


@dataclass(frozen=True)
class ContrastiveView:
    """A view for contrastive learning; see `moco_v3_views`."""

    image_size: int
    crop_min: float
    blur_p: float
    solarize_p: float
    blur_scale: float
    mean: Sequence[float]
    std: Sequence[float]
    _crop: v2.RandomResizedCrop = field(init=False, repr=False, compare=False)
    _jitter: v2.ColorJitter = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_crop", _random_resized_crop(self.image_size, self.crop_min))
        jitter = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
        object.__setattr__(self, "_jitter", jitter)

    def __call__(self, image: Image.Image | Tensor) -> Tensor:
        """Normalised float tensor (channel, height, width)."""
        picture: Any = self._crop(pil_image(image))  # torchvision's annotations know tensors only
        if _chance(0.8):
            picture = self._jitter(picture)
        if _chance(0.2):
            picture = functional.rgb_to_grayscale(picture, num_output_channels=3)
        if _chance(self.blur_p):
            sigma = _between(0.1, 2.0) * self.blur_scale
            picture = picture.filter(ImageFilter.GaussianBlur(radius=sigma))
        if _chance(self.solarize_p):
            picture = functional.solarize(picture, SOLARIZE_ABOVE)
        if _chance(0.5):
            picture = functional.horizontal_flip(picture)
        return normalised(picture, self.mean, self.std)


def moco_v3_views(
    image_size: int,
    crop_min: float = 0.08,
    blur_scale: float = 1.0,
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
) -> tuple[ContrastiveView, ContrastiveView]:
    """The two asymmetric views of MoCo v3 (BYOL's).

    In this order: random crop (bilinear, 3/4 to 4/3), colour jitter (0.4, 0.4, 0.2, 0.1; p 0.8),
    grey (p 0.2), Gaussian blur (sigma 0.1 to 2 px; p 1 for the first view and 0.1 for the second),
    solarization (p 0 and 0.2), flip (p 0.5).

    Args:
        image_size: Pixels, square.
        crop_min: Smallest share of the image's area, in (0, 1]; the largest is 1.
        blur_scale: Multiplies sigma. The published 2 px belong to 224 px; at 32 px the same sigma
            erases seven times as much of the picture, and `image_size / 224` keeps the proportion.
        mean: Per-channel mean of pixels in [0, 1].
        std: Per-channel standard deviation, likewise.

    Source:
        moco-v3 `main_moco.py` and `moco/loader.py` (blur by PIL, whose radius is sigma).
    """
    first = ContrastiveView(image_size, crop_min, 1.0, 0.0, blur_scale, tuple(mean), tuple(std))
    second = ContrastiveView(image_size, crop_min, 0.1, 0.2, blur_scale, tuple(mean), tuple(std))
    return first, second


def pil_image(image: Image.Image | Tensor) -> Image.Image:
    """The image in PIL, RGB; floats in [0, 1] are rounded to the nearest of 256 levels."""
    if isinstance(image, Image.Image):
        return image if image.mode == "RGB" else rgb(image)
    if image.is_floating_point():
        image = (image * 255).round().to(torch.uint8)
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


def normalised(image: Image.Image, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Float32 (channel, height, width): `(pixels in [0, 1] - mean) / std`."""
    # In one plane per colour before the arithmetic, which is half the time of doing it after.
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return _standardised(pixels.to(torch.float32).div_(255), mean, std)


def _standardised(pixels: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    shift, scale = (pixels.new_tensor(values)[:, None, None] for values in (mean, std))
    return (pixels - shift).div_(scale)


def _random_resized_crop(image_size: int, crop_min: float) -> v2.RandomResizedCrop:
    if not 0 < crop_min <= 1:
        raise ValueError(f"crop_min: expected a share of the image in (0, 1], got {crop_min}")
    return v2.RandomResizedCrop(image_size, scale=(crop_min, 1.0))  # ratio 3/4 to 4/3, bilinear


def _chance(p: float) -> bool:
    return torch.rand(()).item() < p


def _between(low: float, high: float) -> float:
    return low + (high - low) * torch.rand(()).item()
