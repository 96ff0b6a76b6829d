"""Bootstrap over images: weights that depend on an image's id alone, and their intervals."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pandas as pd

NUM_REPLICATES = 200  # percentile intervals at 95 % need about this many; 2.5 % is the 5th smallest


def bootstrap_weights(images: np.ndarray, num_replicates: int = NUM_REPLICATES) -> np.ndarray:
    """Poisson(1) bootstrap weights that depend on image ids alone.

    Args:
        images: Integer ids, shape (image,).
        num_replicates: Number of resamples.

    Returns:
        Counts, shape (replicate, image), float64: how often each image is in each resample. The
        same id has the same counts in any batch, shard, model or run.

    Source:
        Poisson bootstrap (Hanley and MacGibbon 2006); one Philox stream per image id.
    """
    return np.stack([_image_weights(int(image), num_replicates) for image in images], axis=1)


@lru_cache(maxsize=100_000)
def _image_weights(image: int, num_replicates: int) -> np.ndarray:
    stream = np.random.Generator(np.random.Philox(key=[0x5649_5453_434F_5045, image]))
    return stream.poisson(1.0, num_replicates).astype(np.float64)


def mean_interval(
    values: np.ndarray, images: np.ndarray, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean and bootstrap percentile interval of one value per image.

    Args:
        values: Shape (image,).
        images: The images' ids, shape (image,); equal ids give paired intervals.
        level: Coverage, in (0, 1).

    Returns:
        Mean, lower and upper end. With one image the interval is the mean itself.
    """
    replicates = _resampled(np.asarray(values, dtype=np.float64)[None], np.asarray(images))
    low, high = np.quantile(replicates[:, 0], [(1 - level) / 2, (1 + level) / 2])
    return float(np.mean(values)), float(low), float(high)


def _resampled(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Bootstrap means (replicate, group) of values (group, image)."""
    weights = bootstrap_weights(images)
    totals = weights.sum(axis=1)
    return (weights @ values.T)[totals > 0] / totals[totals > 0, None]


def group_intervals(frame: pd.DataFrame, group: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Mean, interval and number of images of each group of a Table's rows.

    Args:
        frame: Columns value, image and replicate.
        group: Number of the group of each row, from 0.
        level: Coverage, in (0, 1).

    Returns:
        mean, low, high and num_images, each (group,); see `Table.summary`.
    """
    value = frame["value"].to_numpy(dtype=np.float64)
    rows = pd.DataFrame({"group": group, "image": frame["image"], "value": value})
    draw, has_image = frame["replicate"].notna(), frame["image"].notna()
    every = range(group.max(initial=-1) + 1)
    mean = rows[~draw].groupby("group")["value"].mean().reindex(every).to_numpy(copy=True)
    low, high, num_images = mean.copy(), mean.copy(), np.zeros(len(every), dtype=np.int64)
    tails = [(1 - level) / 2, (1 + level) / 2]
    drawn, curves = np.unique(group[draw]), rows[draw].groupby("group")["value"]
    low[drawn], high[drawn] = (curves.quantile(tail) for tail in tails)
    for images, members, values in _by_images(rows[~draw & has_image & ~np.isin(group, drawn)]):
        mean[members] = values.mean(axis=1)
        low[members], high[members] = np.quantile(_resampled(values, images), tails, axis=0)
        num_images[members] = len(images)
    return {"mean": mean, "low": low, "high": high, "num_images": num_images}


def _by_images(rows: pd.DataFrame) -> Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Image ids, the groups measured on exactly them, and values (group, image), heads averaged."""
    each = rows.groupby(["group", "image"])["value"].mean()
    members, starts = np.unique(each.index.get_level_values("group"), return_index=True)
    ids = each.index.get_level_values("image").to_numpy(dtype=np.int64)
    alike: dict[bytes, list[tuple[int, np.ndarray]]] = {}
    parts = zip(np.split(ids, starts[1:]), members, np.split(each, starts[1:]), strict=False)
    for images, member, values in parts:
        alike.setdefault(images.tobytes(), []).append((member, values))
    for images, pairs in alike.items():
        group, values = zip(*pairs, strict=True)
        yield np.frombuffer(images, dtype=np.int64), np.array(group), np.stack(values)
