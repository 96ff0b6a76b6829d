"""A Source: a map from a position to an image, and perhaps its label. All data comes as one."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

NAMED_IN_SUMMARY = 5  # a line that a reader takes in; `Source.skipped` holds them all


@dataclass(frozen=True)
class Sample:
    """One image and what is known of it.

    Args:
        image: RGB PIL image, or a tensor (3, height, width): uint8, or float in [0, 1].
        label: Index into the source's `class_names`; None: unlabelled.
        index: Position in the source: `source[sample.index]` gives the sample again.
    """

    image: Image.Image | Tensor
    label: int | None
    index: int


class CorruptImage(Exception):
    """An image that cannot be decoded; the loaders skip it, count it and name it.

    Args:
        name: Which image, as a reader can find it.
        reason: What decoding said.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason


class Source(ABC):
    """Images by position, 0 to `len(source) - 1`.

    Args:
        name: Short text for tables and figures.
        labels: int64 (image,), or None: unlabelled.
        class_names: Names of the labels; empty: unlabelled or unknown.
        size: Height and width in pixels that all images share; None: they differ.

    Attributes:
        skipped: (name, reason) of each image that could not be decoded, once each.
        spec: The text that opens this source again; empty if it was not opened from one.
        origin: Name of the whole that this source is a part of; empty if it is whole itself.
    """

    spec = ""
    origin = ""

    def __init__(
        self,
        name: str,
        labels: np.ndarray | None = None,
        class_names: Sequence[str] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self._labels = None if labels is None else np.asarray(labels, dtype=np.int64)
        self.class_names = tuple(class_names)
        self.size = size
        self.skipped: list[tuple[str, str]] = []

    @property
    def labels(self) -> np.ndarray | None:
        """int64 (image,), in the order of the positions; None: unlabelled."""
        return self._labels

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def image(self, position: int) -> Image.Image | Tensor:
        """The image at a position, as `Sample.image`; raises CorruptImage."""

    @abstractmethod
    def take(self, positions: np.ndarray) -> "Source":
        """A source of the images at these positions, in this order, with a position each."""

    def __getitem__(self, position: int) -> Sample:
        """The sample at a position.

        Raises:
            IndexError: If the position is not in 0 to `len(self) - 1`.
            CorruptImage: If the image cannot be decoded.
        """
        self.check(position)
        label = None if self.labels is None else int(self.labels[position])
        return Sample(self.image(position), label, int(position))

    def facts(self) -> dict[str, object]:
        """What a Table notes: number of images that could be decoded, fingerprint, spec if any."""
        known: dict[str, object] = {
            "num_images": len(self) - len(self.skipped),
            "fingerprint": self.fingerprint(),
        }
        return {**known, "spec": self.spec} if self.spec else known

    def fingerprint(self) -> str:
        """16 hexadecimal digits: different for different images under one name."""
        return hashlib.sha256(self.identity()).hexdigest()[:16]

    def identity(self) -> bytes:
        """What tells these images from others; the name, where it says it all."""
        return (self.origin or self.name).encode()

    def check(self, position: int) -> None:
        """Raise IndexError unless the position is in 0 to `len(self) - 1`."""
        if not 0 <= position < len(self):
            raise IndexError(
                f"position {position}: {self.name} holds {len(self)} images, 0 to {len(self) - 1}"
            )

    def skip(self, name: str, reason: str) -> None:
        """Remember an image that could not be decoded."""
        if all(name != known for known, _ in self.skipped):
            self.skipped.append((name, reason))


class HeldSource(Source):
    """Images of one size, made on first use and then held in memory as uint8.

    Memory is `3 * height * width` bytes per image once all were used: 12 KB at 64 px, 98 MB for
    8,000 of these, 154 MB for CIFAR-10's 50,000.

    Args:
        num_images: Length of the source.
        chunk: Images made at once; what is cheaper to make in bulk has a large one.
    """

    def __init__(
        self,
        name: str,
        num_images: int,
        size: tuple[int, int],
        chunk: int,
        labels: np.ndarray | None,
        class_names: Sequence[str],
    ) -> None:
        super().__init__(name, labels, class_names, size)
        self._num_images = num_images
        self._chunk = chunk
        # Colours last in memory, as PIL has them. Pages that no image was written to cost nothing.
        self._held = torch.empty((num_images, *size, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
        self._made = np.zeros(-(-num_images // chunk), dtype=bool)

    @abstractmethod
    def read(self, positions: np.ndarray) -> Tensor:
        """Make the images at these positions: uint8 (image, 3, height, width)."""

    def __len__(self) -> int:
        return self._num_images

    def image(self, position: int) -> Tensor:
        """uint8 (3, height, width)."""
        chunk = position // self._chunk
        if not self._made[chunk]:
            start = chunk * self._chunk
            positions = np.arange(start, min(start + self._chunk, self._num_images))
            self._held[start : start + self._chunk] = self.read(positions)
            self._made[chunk] = True
        return self._held[position]

    def hold_all(self) -> None:
        """Make what was not made yet. Worker processes that start later share the memory."""
        for chunk in np.flatnonzero(~self._made):
            try:
                self.image(int(chunk) * self._chunk)
            except CorruptImage as corrupt:
                self.skip(corrupt.name, corrupt.reason)


def require_images(source: Source, num_seen: int) -> None:
    """Raise ValueError if a whole pass over a source gave nothing."""
    if not num_seen:
        reason = f": {skipped_summary(source)}" if source.skipped else ""
        raise ValueError(f"expected at least one image in {source.name}, got none{reason}")


def skipped_summary(source: Source) -> str:
    """One line on the images that could not be decoded so far; empty if there is none."""
    if not source.skipped:
        return ""
    shown = [f"{name} ({reason})" for name, reason in source.skipped[:NAMED_IN_SUMMARY]]
    if more := len(source.skipped) - len(shown):
        shown.append(f"and {more} more")
    count = f"{len(source.skipped)} of {len(source)}"
    return f"{source.name}: skipped {count} images that cannot be decoded: {', '.join(shown)}"
