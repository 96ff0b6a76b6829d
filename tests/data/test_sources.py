"""What each data spec opens, and what is said where it cannot."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder

from vitscope.data import CorruptImage, ShapeTexture, as_source, open_source, skipped_summary

NO_ARCHIVES = {"cut": b"PK\x03\x04 and no more", "other": b"no archive"}

REAL_DATA = os.environ.get("VITSCOPE_DATA")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="VITSCOPE_DATA is not set")


def write(root: Path, *names: str) -> None:
    for level, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 5), (level, 0, 0)).save(root / name)


def file_names(source) -> list[str]:
    return [file.relative_to(source.root).as_posix() for file in source.files]


# Folders -----------------------------------------------------------------------------------------
def test_sub_folders_one_level_deep_are_the_classes(tmp_path):
    write(tmp_path, "dog/2.png", "cat/10.jpg", "cat/9.PNG", "cat/notes.png")
    (tmp_path / "dog" / "readme.txt").write_text("no image")
    source = open_source(f"folder:{tmp_path}")
    assert file_names(source) == ["cat/9.PNG", "cat/10.jpg", "cat/notes.png", "dog/2.png"]
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0, 0, 0, 1] and source.labels.dtype == np.int64
    assert source[3].label == 1 and source[3].index == 3
    assert source[3].image.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    "names",
    [
        ("b.png", "a.png"),  # no sub-folder
        ("a/1.png", "b.png"),  # some images lie beside the sub-folders
        ("a/1.png", "b/c/2.png"),  # some lie deeper
        ("a/1.png", "a/2.png"),  # one class says nothing
    ],
)
def test_other_layouts_are_unlabelled(tmp_path, names):
    write(tmp_path, *names)
    source = open_source(f"folder:{tmp_path}")
    assert file_names(source) == sorted(names)
    assert source.labels is None and source.class_names == () and source[0].label is None


def test_files_and_classes_are_in_natural_order(tmp_path):
    write(tmp_path, "c10/x2.png", "c9/x10.png", "c9/x2.png", "c9/x02.png")
    source = open_source(f"folder:{tmp_path}")
    assert file_names(source) == ["c9/x02.png", "c9/x2.png", "c9/x10.png", "c10/x2.png"]
    assert source.class_names == ("c9", "c10")


def test_links_are_followed_but_not_in_circles_and_hidden_files_are_left_out(tmp_path):
    write(tmp_path / "data", "a/1.png", "a/.2.png", ".hidden/3.png")
    write(tmp_path / "elsewhere", "4.png")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    source = open_source(f"folder:{tmp_path / 'data'}")
    assert file_names(source) == ["a/1.png", "b/4.png"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_images_of_any_mode_become_rgb(tmp_path, mode):
    level = 255 if mode == "1" else 204  # a level of Pillow's default palette
    if mode == "I;16":
        image = Image.fromarray(np.full((5, 3), level * 256 + 17, dtype=np.uint16))
    else:
        image = Image.new("RGB", (3, 5), (level, level, level)).convert(mode)
    image.save(tmp_path / ("0.jpg" if mode in ("CMYK", "YCbCr") else "0.png"))
    if mode == "P":
        image.save(tmp_path / "0.png", transparency=bytes([255, 0] * 100))
    pixels = np.asarray(open_source(f"folder:{tmp_path}")[0].image)
    assert pixels.shape == (5, 3, 3) and np.abs(pixels.astype(int) - level).max() <= 2


def test_an_unreadable_image_is_named_with_the_reason(tmp_path):
    write(tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(b"text")
    Image.fromarray(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "c.tif")
    (tmp_path / "d.png").symlink_to(tmp_path / "gone.png")
    source = open_source(f"folder:{tmp_path}")
    reasons = ("cannot identify", "black and white are not known", "No such file")
    for position, reason in enumerate(reasons, start=1):
        with pytest.raises(CorruptImage, match=reason) as caught:
            source[position]
        assert caught.value.name == source.files[position].name


def test_the_summary_counts_and_names_skipped_images(tmp_path):
    write(tmp_path, *[f"{number}.png" for number in range(9)])
    source = open_source(f"folder:{tmp_path}")
    assert skipped_summary(source) == ""
    for number in [*range(7), 0]:
        source.skip(f"{number}.png", "cut short")
    summary = skipped_summary(source)
    assert "7 of 9" in summary and "4.png (cut short), and 2 more" in summary


def test_missing_and_empty_folders_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder of images at .*found nothing"):
        open_source(f"folder:{tmp_path / 'missing'}")
    with pytest.raises(ValueError, match=r"expected images below .*\.jpg .*found none"):
        open_source(f"folder:{tmp_path}")
    write(tmp_path, "a.png")
    with pytest.raises(ValueError, match="found a file"):
        open_source(f"folder:{tmp_path / 'a.png'}")


# Specs -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("imagenet", "begins with folder:, cifar10:, world:"),
        ("videos:here", "begins with folder:, cifar10:, world:; got 'videos:here'"),
        ("folder:", "expected a path"),
        ("world:independent?colour=3", "has no option colour; it takes size, num_images"),
        ("world:independent?size", "expected OPTION=VALUE"),
        ("world:independent?size=64&size=32", "twice"),
        ("world:independent?size=big", "size: expected a whole number from 0, got 'big'"),
        ("world:independent?limit=0", "limit: expected a whole number from 1, got '0'"),
        ("world:independent?shuffle_seed=1", "add limit=N"),
        ("world:nowhere", "split"),
        ("cifar10:here?split=validation", "split=train or split=test, got 'validation'"),
    ],
)
def test_a_wrong_spec_says_what_was_expected(spec, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        open_source(spec)


def test_a_path_may_contain_a_question_mark_before_the_options(tmp_path):
    write(tmp_path / "what?", "a.png", "b.png")
    assert len(open_source(f"folder:{tmp_path / 'what?'}?limit=1")) == 1


def test_a_smaller_limit_is_a_prefix_of_a_larger_one(tmp_path):
    write(tmp_path, *[f"{label}/{number}.png" for label in "ab" for number in range(11)])
    full = open_source(f"folder:{tmp_path}")
    five, nine, all_ = (open_source(f"folder:{tmp_path}?limit={n}") for n in (5, 9, 99))
    assert file_names(five) == file_names(nine)[:5] != file_names(full)[:5]
    assert sorted(file_names(all_)) == sorted(file_names(full))
    assert [source[4].index for source in (five, nine)] == [4, 4]
    for file, label in zip(file_names(nine), nine.labels, strict=True):
        assert nine.class_names[label] == file[0]
    other = open_source(f"folder:{tmp_path}?limit=5&shuffle_seed=1")
    assert file_names(other) != file_names(five)
    assert len({full.name, five.name, nine.name, other.name}) == 4
    assert five.name == f"{full.name}, 5 of 22"


# The bundled world -------------------------------------------------------------------------------
def test_the_world_holds_what_shape_texture_draws():
    source = open_source("world:conflict?size=32&num_images=150&seed=1&label=texture")
    world = ShapeTexture("conflict", size=32, num_images=150, seed=1, label="texture")
    assert len(source) == 150 and source.size == (32, 32)
    assert source.class_names == world.class_names
    assert source.labels.tolist() == world.labels(np.arange(150))["texture"].tolist()
    for position in (149, 0, 64, 63):  # the last chunk is incomplete
        assert np.array_equal(source[position].image.numpy(), world.render([position]).image[0])


def test_a_limited_world_draws_the_chosen_images_only():
    whole = open_source("world:aligned?size=32&num_images=40")
    part = open_source("world:aligned?size=32&num_images=40&limit=7")
    for position in range(7):
        original = whole[int(part.positions[position])]
        assert torch.equal(part[position].image, original.image)
        assert part[position].label == original.label


def test_a_split_that_does_not_show_the_label_is_unlabelled():
    assert open_source("world:texture_only?num_images=3").labels is None
    assert open_source("world:texture_only?num_images=3&label=texture").labels is not None


def test_seed_and_whatever_changes_images_or_labels_is_in_the_name():
    specs = ["seed=0", "seed=1", "size=32", "num_shapes=3", "label=texture"]
    names = {open_source(f"world:independent?num_images=2&{spec}").name for spec in specs}
    assert len(names) == len(specs)


# In memory ---------------------------------------------------------------------------------------
class Pairs(Dataset):
    """Five pairs of image and label; `targets` is not there."""

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        if index == 3:
            raise OSError("image file is truncated")
        return Image.new("L", (4, 4), 10 * index), index % 2

    def __len__(self) -> int:
        return 5


def test_tensors_are_sources():
    images = torch.rand(5, 3, 4, 6)
    source = as_source(images)
    assert len(source) == 5 and source.size == (4, 6) and source.labels is None
    assert torch.equal(source[2].image, images[2])
    assert as_source(source) is source
    assert as_source("world:aligned?num_images=2").size == (64, 64)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 8, 8), "shape"),
        (torch.zeros(2, 4, 8, 8), "shape"),
        (torch.zeros(0, 3, 8, 8), "shape"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "uint8 or floating-point"),
        (torch.randn(2, 3, 8, 8), r"expected pixels in \[0, 1\].*before normalisation"),
        (torch.full((2, 3, 8, 8), -0.1), r"expected pixels in \[0, 1\]"),
        (torch.full((2, 3, 8, 8), float("nan")), r"expected pixels in \[0, 1\]"),
        ([1, 2], "got list"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        as_source(images)


def test_a_torch_dataset_is_a_source(tmp_path):
    write(tmp_path, "a/1.png", "b/2.png", "b/3.png")
    source = as_source(ImageFolder(tmp_path))
    assert source.labels.tolist() == [0, 1, 1] and source.class_names == ("a", "b")
    assert source[1].image.size == (3, 5)
    taken = source.take(np.array([2, 0]))
    assert taken.labels.tolist() == [1, 0] and taken[0].image.getpixel((0, 0)) == (2, 0, 0)


def test_a_dataset_without_targets_is_read_for_its_labels():
    source = as_source(Pairs()).take(np.array([0, 1, 2]))
    assert source[2].image.getpixel((0, 0)) == (20, 20, 20)
    assert source.labels.tolist() == [0, 1, 0]


def test_a_dataset_that_cannot_read_an_image_has_a_corrupt_one():
    with pytest.raises(CorruptImage, match="truncated"):
        as_source(Pairs())[3]


def test_positions_outside_the_source_are_refused():
    for source in (as_source(torch.rand(2, 3, 4, 4)), as_source(Pairs())):
        for position in (-1, len(source)):
            with pytest.raises(IndexError, match="position"):
                source[position]


# Real data ---------------------------------------------------------------------------------------
@needs_real_data
def test_a_real_folder_is_read_in_order():
    source = open_source(f"folder:{REAL_DATA}/imagenet_sample/images")
    assert len(source) == 1000 and source.labels is None
    assert source.files[999].name.startswith("0999_")
    assert source[0].image.mode == "RGB"


@pytest.mark.parametrize("content", NO_ARCHIVES.values(), ids=NO_ARCHIVES)
def test_an_archive_that_was_cut_short_is_named(tmp_path, content):
    path = tmp_path / "cifar10_train_jpeg.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cifar10_train_jpeg\.npz; it is cut short or of another"):
        open_source(f"cifar10:{tmp_path}")


def test_one_array_is_no_archive(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(3))
    path = (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(ValueError, match="got a single array"):
        open_source(f"cifar10:{path}")


def test_fingerprints_tell_images_of_one_name_apart(tmp_path):
    black, grey = torch.zeros(3, 3, 5, 7), torch.full((3, 3, 5, 7), 0.5)
    assert as_source(black).fingerprint() == as_source(black.clone()).fingerprint()
    assert as_source(black).fingerprint() != as_source(grey).fingerprint()
    for root, names in (("a", "12"), ("b", "13")):
        write(tmp_path / root / "pictures", *(f"{name}.png" for name in names))
    first, second = (open_source(f"folder:{tmp_path / root / 'pictures'}") for root in "ab")
    assert first.fingerprint() != second.fingerprint()
    part = open_source(f"folder:{tmp_path / 'a' / 'pictures'}?limit=1")
    assert part.origin == first.name and part.name != first.name
