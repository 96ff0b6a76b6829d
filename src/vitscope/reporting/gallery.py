"""Exhibits as the page shows them: encoded images with words, and files to take away."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vitscope.reporting.drawing import save_png, save_svg
from vitscope.reporting.pictures import (
    MAX_IMAGES,
    RECONSTRUCTION,
    AttentionPicture,
    attention_maps,
    attention_pictures,
    data_uri,
    reconstructions,
    strip,
    strip_uri,
)
from vitscope.reporting.style import RC
from vitscope.reporting.wording import shortened, slug
from vitscope.table import Exhibit

Files = Mapping[tuple[str, str], str]  # of an exhibit's (name, model), below the report's folder


def attention_entries(
    exhibits: Sequence[Exhibit], models: Sequence[str], out: Path, files: Files
) -> list[dict[str, object]]:
    """One entry per image: per query the marked image, and a strip of maps per model."""
    ordered = sorted(exhibits, key=lambda exhibit: models.index(exhibit.model))
    entries = []
    pictures = list(attention_pictures(ordered))
    several = len({picture.seen_by for picture in pictures}) > 1
    for number, picture in enumerate(pictures, start=1):
        name = f"attention_maps-{number}"
        lines = len(picture.queries) * len(picture.exhibits)
        longest = max(len(shortened(exhibit.model)) for exhibit in picture.exhibits)
        # A character of 9.5 pt is about 0.08 in wide; ", query 1" adds nine.
        left, size = 0.08 * (longest + 9) + 0.2, (0.75 * (picture.depth + 1), 0.75 * lines)
        _save(lambda axes, shown=picture: attention_maps(shown, axes), left, size, out, name)
        rows = picture.rows()
        rows.to_csv(out / "data" / f"{name}.csv", index=False, float_format="%.6g")
        arrays = [(f"{e.model} (NPZ)", files[e.name, e.model]) for e in picture.exhibits]
        entries.append(
            {
                "name": name,
                "depth": picture.depth,
                "parts": [[depth + 1 for depth in part] for part in picture.parts],
                "queries": [_query(picture, query) for query in range(len(picture.queries))],
                "caption": _caption(picture, several),
                "data": [("CSV", f"data/{name}.csv"), *arrays],
            }
        )
    return entries


def _query(picture: AttentionPicture, query: int) -> dict[str, object]:
    row, column = (int(place) + 1 for place in picture.queries[query])
    rows, columns = picture.grid
    where = f"row {row}, column {column} of {rows} × {columns} patches"
    strips = []
    for exhibit in picture.exhibits:
        maps = picture.maps(exhibit, query)
        parts = [maps[part.start : part.stop] for part in picture.parts if part.start < len(maps)]
        images = [
            {
                "depths": range(part.start + 1, part.start + len(found) + 1),
                "image": strip_uri(strip(found, picture.queries[query])),
                "alt": f"{exhibit.model}: attention from {where}, {_peaks(found, part.start + 1)}",
            }
            for part, found in zip(picture.parts, parts, strict=False)  # others may be deeper
        ]
        strips.append({"model": exhibit.model, "parts": images})
    alt = f"Image {picture.index + 1} with a square around the patch at {where}."
    return {"image": data_uri(picture.image(query)), "alt": alt, "strips": strips}


def _peaks(maps: np.ndarray, first: int) -> str:
    """The largest weights at both ends of a run of depths, for those who do not see the maps."""
    peaks = maps.reshape(len(maps), -1).max(axis=1) * maps[0].size
    last = first + len(maps) - 1
    if first == last:
        return f"depth {first}; the largest weight is {peaks[0]:.3g} times uniform."
    return (
        f"depth {first} to {last}; the largest weight is {peaks[0]:.3g} times uniform at depth "
        f"{first} and {peaks[-1]:.3g} times at depth {last}."
    )


def _caption(picture: AttentionPicture, several: bool) -> str:
    """Which image; and which models see it, where not all of them see the same one."""
    seen = f", {picture.seen_by}" if several else ""
    return f"Image {picture.index + 1}{seen}. {_rest(picture)}".strip()


def _rest(picture: AttentionPicture) -> str:
    number = len(picture.exhibits[0].arrays["images"])
    if number <= MAX_IMAGES or picture.index + 1 < MAX_IMAGES:
        return ""
    return f"{number - MAX_IMAGES} more images are in the NPZ files."


def reconstruction_entries(
    exhibits: Sequence[Exhibit], models: Sequence[str], out: Path, files: Files
) -> list[dict[str, object]]:
    """One entry per model: original, masked and reconstruction of each image."""
    entries = []
    for exhibit in sorted(exhibits, key=lambda exhibit: models.index(exhibit.model)):
        if exhibit.name != "reconstructions":
            continue
        kinds = [kind for kind in RECONSTRUCTION if kind in exhibit.arrays]
        number = len(exhibit.arrays[kinds[0]])
        count = min(number, MAX_IMAGES)
        name = f"reconstructions-{slug(exhibit.model)}"
        if any(entry["name"] == name for entry in entries):
            name = f"{name}-{len(entries) + 1}"
        size = (1.5 * len(kinds), 1.5 * count)
        _save(lambda axes, shown=exhibit: reconstructions(shown, axes), 0.8, size, out, name)
        triples = [
            [_image(exhibit.arrays[kind][index], f"Image {index + 1}, {kind}.") for kind in kinds]
            for index in range(count)
        ]
        of = f"{count} of {number}" if count < number else str(number)
        entries.append(
            {
                "name": name,
                "model": exhibit.model,
                "triples": triples,
                "caption": f"{of} images. From left to right: {', '.join(kinds)}.",
                "data": [("NPZ", files[exhibit.name, exhibit.model])],
            }
        )
    return entries


def _image(array: np.ndarray, alt: str) -> dict[str, str]:
    return {"uri": data_uri(array), "alt": alt}


def _save(
    draw: Callable[[Axes], Axes], left: float, size: tuple[float, float], out: Path, name: str
) -> None:
    """Write NAME.png and NAME.svg of a mosaic of this size, with `left` inches for its labels."""
    width, height = left + size[0] + 0.1, size[1] + 0.8
    with matplotlib.rc_context(RC):  # pyright: ignore[reportArgumentType]
        figure = Figure(figsize=(width, height))
        box = (left / width, 0.4 / height, size[0] / width, size[1] / height)
        draw(figure.add_axes(box)).set_anchor("NW")
        save_png(figure, out / "figures" / f"{name}.png")
        save_svg(figure, out / "figures" / f"{name}.svg")
