"""Opening data: one spec string, or whatever images the caller has, to one Source.

A spec is `KIND:PLACE?OPTION=VALUE&...`:

    folder:PATH                          labelled by sub-folder where that is one level deep
    cifar10:PATH?split=train             torchvision's files or packed JPEGs; or split=test
    world:independent?size=64&seed=0     the bundled world; seed 0 trains, seed 1 tests

Every kind takes `limit=N` (at most N images: the first N of a shuffle) and `shuffle_seed=S`
(default 0); a smaller limit gives a prefix of a larger one.
"""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from vitscope.axes import Images
from vitscope.data import counter_random, world
from vitscope.data.cifar10 import open_cifar10
from vitscope.data.folder import FolderSource
from vitscope.data.in_memory import DatasetSource, TensorSource
from vitscope.data.shape_texture import ShapeTexture
from vitscope.data.source import Source

LIMITING = ("limit", "shuffle_seed")


def as_source(images: Source | str | Images | Dataset) -> Source:
    """A source of whatever holds images.

    Args:
        images: A Source (given back as it is), a spec, a tensor (image, 3, height, width) of uint8
            or of floats in [0, 1], or a map-style torch Dataset of images or (image, label).

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(images, Source):
        return images
    if isinstance(images, str):
        return open_source(images)
    if isinstance(images, Tensor):
        return TensorSource(images)
    if isinstance(images, Dataset) and hasattr(images, "__len__"):
        return DatasetSource(images)
    raise ValueError(
        "expected a data spec, a tensor (image, 3, height, width), a map-style torch Dataset or a "
        f"Source; got {type(images).__name__}"
    )


def open_source(spec: str) -> Source:
    """The source that a spec names.

    Args:
        spec: `KIND:PLACE?OPTION=VALUE&...`, see the top of this file.

    Raises:
        ValueError: If the kind, an option or a value is unknown, or the data is not there.

    Example:
        >>> source = open_source("world:aligned?num_images=20&limit=5")
        >>> source.name, len(source), source.size
        ('world aligned 64 px, seed 0 (shape), 5 of 20', 5, (64, 64))
        >>> source.spec
        'world:aligned?num_images=20&limit=5'
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS:
        raise ValueError(
            f"expected a data spec that begins with {', '.join(f'{name}:' for name in KINDS)}; "
            f"got {spec!r}"
        )
    place, mark, query = rest.rpartition("?") if "?" in rest else (rest, "", "")
    opener, known = KINDS[kind]
    options = _options(spec, query if mark else None, (*known, *LIMITING))
    source = opener(place, {name: options[name] for name in known if name in options})
    if "limit" in options:
        limit, seed = _integer(options, "limit"), _integer(options, "shuffle_seed", 0)
        source = _limited(source, limit, seed)
    elif "shuffle_seed" in options:
        raise ValueError(f"{spec!r}: shuffle_seed without limit has no effect; add limit=N")
    source.spec = spec
    return source


def _options(spec: str, query: str | None, known: tuple[str, ...]) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, strict_parsing=True) if query is not None else []
    except ValueError as error:
        raise ValueError(f"{spec!r}: expected OPTION=VALUE&OPTION=VALUE after the ?") from error
    options = dict(pairs)
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(
            f"{spec!r} has no option {', '.join(unknown)}; it takes {', '.join(known)}"
        )
    if len(options) < len(pairs):
        raise ValueError(f"{spec!r} gives an option twice; give it once")
    return options


def _integer(options: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal() or (name == "limit" and int(text) == 0):
        lowest = 1 if name == "limit" else 0
        raise ValueError(f"{name}: expected a whole number from {lowest}, got {text!r}")
    return int(text)


def _limited(source: Source, limit: int, seed: int) -> Source:
    order = np.argsort(counter_random.hashed(seed, np.arange(len(source))), kind="stable")
    taken = source.take(order[:limit])
    taken.origin = source.name
    taken.name = f"{source.name}, {len(taken)} of {len(source)}"
    if seed:
        taken.name += f" (shuffle {seed})"
    return taken


def _folder(place: str, options: Mapping[str, str]) -> Source:
    if not place:
        raise ValueError("folder: expected a path, as in folder:PATH")
    return FolderSource(place)


def _cifar10(place: str, options: Mapping[str, str]) -> Source:
    return open_cifar10(place, options.get("split"))


def _world(place: str, options: Mapping[str, str]) -> Source:
    numbers = {name: _integer(options, name) for name in options if name != "label"}
    label = {"label": options["label"]} if "label" in options else {}
    return world.WorldSource(ShapeTexture(place, **numbers, **label))  # type: ignore[arg-type]


Opener = Callable[[str, Mapping[str, str]], Source]
KINDS: dict[str, tuple[Opener, tuple[str, ...]]] = {
    "folder": (_folder, ()),
    "cifar10": (_cifar10, ("split",)),
    "world": (_world, world.OPTIONS),
}
