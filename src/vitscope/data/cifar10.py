"""CIFAR-10 as a source: torchvision's files, or JPEGs packed into an .npz."""

import io
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.datasets import CIFAR10

from vitscope.data.folder import DECODING_ERRORS, rgb
from vitscope.data.in_memory import TensorSource
from vitscope.data.source import CorruptImage, HeldSource, Source

SPLITS = ("train", "test")
SIZE = (32, 32)
DATA_VARIABLE = "VITSCOPE_DATA"


def open_cifar10(path: str, split: str | None = None) -> Source:
    """CIFAR-10 in torchvision's order, labelled.

    Args:
        path: A folder with torchvision's `cifar-10-batches-py`, a folder with
            `cifar10_train_jpeg.npz` and `cifar10_test_jpeg.npz`, or one such .npz. Empty: the
            folder `cifar10` in the environment variable VITSCOPE_DATA.
        split: "train" or "test"; None: train, or the only one in the .npz.

    Raises:
        ValueError: If neither layout is found, or the split is unknown.
    """
    if split not in (None, *SPLITS):
        raise ValueError(f"cifar10: expected split={' or split='.join(SPLITS)}, got {split!r}")
    root = Path(path).expanduser() if path else _default_folder()
    if root.is_file() and root.suffix == ".npz":
        return JpegSource.load(root, split)
    packed = root / f"cifar10_{split or 'train'}_jpeg.npz"
    if packed.is_file():
        return JpegSource.load(packed, None)
    return _torchvision_source(root, split or "train")


def _default_folder() -> Path:
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise ValueError(
            f"cifar10: without a path reads the folder cifar10 in ${DATA_VARIABLE}, which is not "
            "set; write cifar10:PATH or set it"
        )
    return Path(folder) / "cifar10"


def _torchvision_source(root: Path, split: str) -> TensorSource:
    if root.name == CIFAR10.base_folder:
        root = root.parent
    try:
        data = CIFAR10(str(root), train=split == "train", download=False)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"expected CIFAR-10 at {root}: torchvision's {CIFAR10.base_folder}, or "
            f"cifar10_{split}_jpeg.npz; torchvision says: {error}. To download it: "
            f"torchvision.datasets.CIFAR10({str(root)!r}, download=True)"
        ) from error
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2)
    return TensorSource(images, f"cifar10 {split}", np.array(data.targets), data.classes)


def _archive(path: Path) -> Any:
    try:
        archive = np.load(path, allow_pickle=False)
    except (BadZipFile, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"expected packed JPEGs (.npz) in {path}; it is cut short or of another kind"
        ) from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError(f"expected packed JPEGs (.npz) in {path}, got a single array")
    return archive


class JpegSource(HeldSource):
    """JPEG files of 32 x 32 px, one after the other in one array; decoded on first use.

    Args:
        name: Short text for tables.
        jpeg: uint8 (byte,), all files.
        starts: int64 (image,), the first byte of each.
        stops: int64 (image,), the byte after the last of each.
        labels: int64 (image,).
        class_names: Names of the labels.
    """

    def __init__(
        self,
        name: str,
        jpeg: np.ndarray,
        starts: np.ndarray,
        stops: np.ndarray,
        labels: np.ndarray,
        class_names: list[str],
    ) -> None:
        super().__init__(name, len(starts), SIZE, 1, labels, class_names)
        self._jpeg = jpeg
        self._starts = starts
        self._stops = stops

    @staticmethod
    def load(path: Path, split: str | None) -> "JpegSource":
        """Read `jpeg`, `offsets` (image + 1), `labels` and `class_names`, or `train_jpeg`, ..."""
        with _archive(path) as archive:
            names = set(archive.files)
            prefix = f"{split or 'train'}_" if f"{split or 'train'}_jpeg" in names else ""
            wanted = [f"{prefix}{part}" for part in ("jpeg", "offsets", "labels")]
            if missing := sorted({*wanted, "class_names"} - names):
                raise ValueError(
                    f"expected packed JPEGs in {path}; it lacks {', '.join(missing)} and has "
                    f"{', '.join(sorted(names))}"
                )
            if split and not prefix and split not in path.name:
                raise ValueError(f"{path} holds one split, without a name; leave split={split} out")
            jpeg, offsets, labels = (archive[name] for name in wanted)
            class_names = archive["class_names"].tolist()
        shown = split or ("train" if prefix else next((s for s in SPLITS if s in path.name), ""))
        name = f"cifar10 {shown}".strip()
        return JpegSource(name, jpeg, offsets[:-1], offsets[1:], labels, class_names)

    def read(self, positions: np.ndarray) -> Tensor:
        """Decode images."""
        return torch.stack([self._decoded(position) for position in positions])

    def _decoded(self, position: int) -> Tensor:
        data = self._jpeg[self._starts[position] : self._stops[position]].tobytes()
        try:
            with Image.open(io.BytesIO(data)) as image:
                pixels = np.array(rgb(image))
        except DECODING_ERRORS as error:
            first = self._starts[position]
            raise CorruptImage(f"{self.name} at byte {first}", str(error)) from error
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def take(self, positions: np.ndarray) -> "JpegSource":
        """See Source."""
        assert self.labels is not None  # JPEGs always come with labels
        return JpegSource(
            self.name,
            self._jpeg,
            self._starts[positions],
            self._stops[positions],
            self.labels[positions],
            list(self.class_names),
        )
