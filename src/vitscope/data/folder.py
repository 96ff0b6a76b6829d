"""Images in a folder, labelled by its sub-folders where they lie one level deep."""

import os
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets.folder import IMG_EXTENSIONS

from vitscope.data.source import CorruptImage, Source

# What Pillow's readers raise for files that are no image, are cut short or lie about their size.
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class FolderSource(Source):
    """Image files below a folder.

    If every image lies exactly one level deep and there are at least two sub-folders, the
    sub-folders are the classes (torchvision's ImageFolder); otherwise the images are unlabelled
    and found at any depth. Files and classes are in natural order (`img2` before `img10`). Hidden
    files are left out; links to folders are followed, but never back up to where one came from.

    Args:
        path: The folder.

    Raises:
        ValueError: If `path` is no folder or holds no image.
    """

    def __init__(self, path: str | Path) -> None:
        root = Path(path).expanduser()
        if not root.is_dir():
            kind = "a file" if root.exists() else "nothing"
            raise ValueError(f"expected a folder of images at {root}; found {kind} there")
        files = sorted(_image_files(root, ()), key=_natural)
        if not files:
            raise ValueError(
                f"expected images below {root} ({' '.join(IMG_EXTENSIONS)}); found none"
            )
        parents = [file.relative_to(root).parent for file in files]
        classes = sorted(set(parents), key=_natural)
        labelled = len(classes) > 1 and all(len(parent.parts) == 1 for parent in parents)
        number = {folder: label for label, folder in enumerate(classes)}
        super().__init__(
            name="/".join(root.resolve().parts[-2:]).lstrip("/"),
            labels=np.array([number[parent] for parent in parents]) if labelled else None,
            class_names=[folder.name for folder in classes] if labelled else (),
        )
        self.root = root
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def image(self, position: int) -> Image.Image:
        """RGB PIL image."""
        file = self.files[position]
        try:
            with Image.open(file) as image:
                return rgb(image)
        except DECODING_ERRORS as error:
            raise CorruptImage(str(file.relative_to(self.root)), _reason(error)) from error

    def identity(self) -> bytes:
        """See Source."""
        files = [f"{f.relative_to(self.root)} {f.stat().st_size}" for f in self.files if f.exists()]
        return "\n".join(files).encode()

    def take(self, positions: np.ndarray) -> "FolderSource":
        """See Source."""
        taken = object.__new__(FolderSource)
        labels = None if self.labels is None else self.labels[positions]
        Source.__init__(taken, self.name, labels, self.class_names)
        taken.root = self.root
        taken.files = [self.files[position] for position in positions]
        return taken


def rgb(image: Image.Image) -> Image.Image:
    """The image in 8-bit RGB, decoded.

    Grey, CMYK and palette images are converted; an alpha channel is dropped, as torchvision does.
    16-bit grey levels are divided by 256, where Pillow alone would clip them to white.

    Raises:
        ValueError: For 32-bit integers and floats, whose range is not known.
    """
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode}, whose black and white are not known")
    if image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint16) >> 8
        image = Image.fromarray(levels.astype(np.uint8))
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow's own advice for palettes with transparency
    return image.convert("RGB")


def _image_files(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """Image files at any depth below a folder, in no order."""
    above = (*above, os.path.realpath(folder))
    for entry in os.scandir(folder):
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if os.path.realpath(path) not in above:  # otherwise a link that leads back up
                yield from _image_files(path, above)
        elif path.suffix.lower() in IMG_EXTENSIONS:
            yield path


def _natural(path: Path) -> tuple[list[list[tuple[int, int | str]]], str]:
    """A key that sorts by folder, then by text and whole numbers in turn; `a1` before `a01`."""
    parts = [
        [(0, int(run)) if run.isdecimal() else (1, run) for run in re.split(r"(\d+)", part) if run]
        for part in path.parts
    ]
    return parts, str(path)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
