"""Images that the caller already has: a tensor, or a torch Dataset."""

from collections.abc import Sequence, Sized
from contextlib import suppress
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Subset

from vitscope.axes import Images
from vitscope.data.folder import rgb
from vitscope.data.source import CorruptImage, Sample, Source

NUM_IDENTIFYING = 16  # images that a fingerprint reads: enough to tell data sets apart, soon read


class TensorSource(Source):
    """A tensor of images.

    Args:
        images: (image, 3, height, width): uint8, or float in [0, 1], not normalised.
        name: Short text for tables.
        labels: int64 (image,), or None.
        class_names: Names of the labels.

    Raises:
        ValueError: If `images` has another shape, type or range, or none at all.
    """

    def __init__(
        self,
        images: Images,
        name: str = "tensor",
        labels: np.ndarray | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or len(images) == 0:
            raise ValueError(
                f"expected images of shape (image, 3, height, width), got {tuple(images.shape)}"
            )
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ValueError(f"expected uint8 or floating-point images, got {images.dtype}")
        if images.is_floating_point() and not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                f"expected pixels in [0, 1], got {images.min():.3g} to {images.max():.3g}; pass "
                "images before normalisation (each model's own is applied later)"
            )
        super().__init__(name, labels, class_names, (images.shape[2], images.shape[3]))
        self._images = images.cpu()

    def __len__(self) -> int:
        return len(self._images)

    def image(self, position: int) -> Tensor:
        """(3, height, width), in the type that was given."""
        return self._images[position]

    def identity(self) -> bytes:
        """See Source."""
        first = self._images[:NUM_IDENTIFYING].contiguous()
        return f"{len(self)} {tuple(first.shape)}".encode() + first.numpy().tobytes()

    def take(self, positions: np.ndarray) -> "TensorSource":
        """See Source."""
        labels = None if self.labels is None else self.labels[positions]
        images = self._images[torch.as_tensor(positions)]
        return TensorSource(images, self.name, labels, self.class_names)


class DatasetSource(Source):
    """A map-style torch Dataset whose items are images or (image, label) pairs.

    Args:
        dataset: Images as PIL or as tensors (3, height, width), uint8 or float in [0, 1]; a
            `targets` attribute (torchvision's) is taken as the labels, `classes` as their names.
    """

    def __init__(self, dataset: Dataset) -> None:
        targets = getattr(dataset, "targets", None)
        super().__init__(
            name=type(dataset).__name__,
            labels=None if targets is None else np.asarray(targets),
            class_names=tuple(getattr(dataset, "classes", ())),
        )
        self._dataset = dataset
        self._labels_read = targets is not None

    @property
    def labels(self) -> np.ndarray | None:
        """int64 (image,); a data set without `targets` is read once, whole, on first use."""
        if not self._labels_read:
            found = [self[position].label for position in range(len(self))]
            known = [label for label in found if label is not None]
            self._labels = np.array(known, dtype=np.int64) if len(known) == len(found) else None
            self._labels_read = True
        return self._labels

    def __len__(self) -> int:
        return len(cast(Sized, self._dataset))

    def image(self, position: int) -> Image.Image | Tensor:
        """The image in the form that the data set gives it; PIL images as RGB."""
        return self[position].image

    def __getitem__(self, position: int) -> Sample:
        self.check(position)
        try:
            item: Any = self._dataset[int(position)]
        except OSError as error:  # what Pillow raises for a file that is cut short or no image
            raise CorruptImage(f"{self.name} item {position}", str(error)) from error
        image, label = item if isinstance(item, tuple | list) else (item, None)
        return Sample(
            _checked(image, type(self._dataset).__name__),
            None if label is None else int(label),
            int(position),
        )

    def identity(self) -> bytes:
        """See Source."""
        known = [f"{self.name} {len(self)}".encode()]
        for position in range(min(len(self), NUM_IDENTIFYING)):
            with suppress(CorruptImage):
                pixels = np.asarray(self[position].image)
                known += [str(pixels.shape).encode(), pixels.tobytes()]
        return b"\n".join(known)

    def take(self, positions: np.ndarray) -> "DatasetSource":
        """See Source."""
        taken = DatasetSource(Subset(self._dataset, np.asarray(positions).tolist()))
        taken.name, taken.class_names = self.name, self.class_names
        return taken


def _checked(image: Any, name: str) -> Image.Image | Tensor:
    if isinstance(image, Image.Image):
        return rgb(image)
    if isinstance(image, Tensor) and image.ndim == 3 and image.shape[0] == 3:
        return TensorSource(image[None]).image(0)
    found = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
    raise ValueError(
        f"expected {name} to give PIL images or tensors (3, height, width), alone or with a "
        f"label; got {found}"
    )
