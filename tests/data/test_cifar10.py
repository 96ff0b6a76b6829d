"""CIFAR-10 from torchvision's files and from packed JPEGs."""

import hashlib
import io
import os
import pickle

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

from vitscope.data import CorruptImage, open_source
from vitscope.data.source import HeldSource

CLASSES = ["airplane", "automobile", "bird"]


def cifar_pixels(split: str) -> np.ndarray:
    """Five smooth images of 32 x 32 px: JPEG at full quality changes them by a level or two."""
    ramp = np.linspace(0, 100, 32)
    base = {"train": 30, "test": 120}[split]
    levels = [np.add.outer(ramp, ramp * number / 5) * 0.6 + base for number in range(5)]
    return np.stack([np.stack([level] * 3, axis=-1) for level in levels]).astype(np.uint8)


def labels_of(split: str) -> list[int]:
    return [0, 2, 1, 1, 0] if split == "train" else [2, 2, 1, 0, 0]


def packed(split: str) -> dict[str, np.ndarray]:
    files = []
    for pixels in cifar_pixels(split):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=0)
        files.append(buffer.getvalue())
    return {
        "jpeg": np.frombuffer(b"".join(files), dtype=np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": np.array(labels_of(split), dtype=np.uint8),
    }


@pytest.fixture
def torchvision_folder(tmp_path, monkeypatch):
    folder = tmp_path / "torchvision" / "cifar-10-batches-py"
    folder.mkdir(parents=True)

    def write_pickle(name: str, value: dict) -> str:
        (folder / name).write_bytes(pickle.dumps(value))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def write_batch(name: str, split: str) -> list[list[str]]:
        data = cifar_pixels(split).transpose(0, 3, 1, 2).reshape(5, -1)
        return [[name, write_pickle(name, {"data": data, "labels": labels_of(split)})]]

    monkeypatch.setattr(CIFAR10, "train_list", write_batch("data_batch_1", "train"))
    monkeypatch.setattr(CIFAR10, "test_list", write_batch("test_batch", "test"))
    md5 = write_pickle("batches.meta", {"label_names": CLASSES})
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    return folder.parent


@pytest.fixture
def packed_folder(tmp_path):
    folder = tmp_path / "packed"
    folder.mkdir()
    for split in ("train", "test"):
        np.savez(folder / f"cifar10_{split}_jpeg.npz", class_names=CLASSES, **packed(split))
    both = {f"{split}_{k}": v for split in ("train", "test") for k, v in packed(split).items()}
    np.savez(folder / "both.npz", class_names=CLASSES, **both)
    return folder


@pytest.mark.parametrize("split", ["train", "test"])
def test_both_layouts_of_cifar10_hold_the_same_images(torchvision_folder, packed_folder, split):
    expected = open_source(f"cifar10:{torchvision_folder}?split={split}")
    assert expected.size == (32, 32) and expected.name == f"cifar10 {split}"
    assert expected[1].image.permute(1, 2, 0).numpy().tolist() == cifar_pixels(split)[1].tolist()
    places = (".", "both.npz", f"cifar10_{split}_jpeg.npz")
    for source in [
        open_source(f"cifar10:{torchvision_folder}/cifar-10-batches-py?split={split}"),
        *[open_source(f"cifar10:{packed_folder / place}?split={split}") for place in places],
    ]:
        assert source.name == expected.name and source.size == expected.size
        assert source.class_names == expected.class_names == tuple(CLASSES)
        assert source.labels.tolist() == labels_of(split)
        for position in range(5):
            difference = source[position].image.int() - expected[position].image.int()
            assert difference.abs().max() <= 3  # JPEG
            assert source[position].label == labels_of(split)[position]


def test_train_is_the_split_unless_another_is_named(torchvision_folder, packed_folder, monkeypatch):
    monkeypatch.setenv("VITSCOPE_DATA", str(packed_folder.parent))
    packed_folder.rename(packed_folder.parent / "cifar10")
    assert open_source("cifar10:").labels.tolist() == labels_of("train")
    assert open_source("cifar10:?split=test").labels.tolist() == labels_of("test")
    assert open_source(f"cifar10:{torchvision_folder}").labels.tolist() == labels_of("train")


def test_one_corrupt_jpeg_leaves_the_others_readable(packed_folder):
    arrays = packed("train")
    jpeg = arrays["jpeg"].copy()
    jpeg[arrays["offsets"][2] : arrays["offsets"][3]] = 0
    path = packed_folder / "broken.npz"
    np.savez(path, class_names=CLASSES, **{**arrays, "jpeg": jpeg})
    source = open_source(f"cifar10:{path}")
    with pytest.raises(CorruptImage, match="at byte"):
        source[2]
    assert source[3].label == 1
    assert isinstance(source, HeldSource)
    source.hold_all()
    assert len(source.skipped) == 1


def test_cifar10_that_is_not_there_is_an_error(tmp_path, packed_folder, monkeypatch):
    with pytest.raises(ValueError, match=r"expected CIFAR-10 at .*cifar10_test_jpeg\.npz"):
        open_source(f"cifar10:{tmp_path}?split=test")
    monkeypatch.delenv("VITSCOPE_DATA", raising=False)
    with pytest.raises(ValueError, match="VITSCOPE_DATA, which is not set"):
        open_source("cifar10:")
    with pytest.raises(ValueError, match="holds one split"):
        open_source(f"cifar10:{packed_folder / 'cifar10_train_jpeg.npz'}?split=test")
    np.savez(tmp_path / "other.npz", pixels=np.zeros(3))
    with pytest.raises(ValueError, match="lacks class_names, jpeg, labels, offsets and has pixels"):
        open_source(f"cifar10:{tmp_path / 'other.npz'}")


@pytest.mark.skipif(not os.environ.get("VITSCOPE_DATA"), reason="VITSCOPE_DATA is not set")
def test_real_cifar10_begins_as_it_must():
    source = open_source("cifar10:?split=test")
    assert len(source) == 10_000
    first = [source.class_names[label] for label in source.labels[:6]]
    assert first == ["cat", "ship", "ship", "airplane", "frog", "frog"]
    assert source[0].image.shape == (3, 32, 32)
