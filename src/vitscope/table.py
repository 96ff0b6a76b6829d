"""Table and Exhibit: the two things that measuring leaves behind, and all that a report reads.

A Table is tidy rows in a pandas frame with the columns `COLUMNS`; what does not apply is null.
Scalars come one row per image. Curves come as a mean (`replicate` null) and bootstrap replicates,
whose weights depend on the image's id alone, so that models measured on the same images stay
paired and shards merge exactly.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

CATEGORIES = (
    "model",
    "dataset",
    "measure",
    "unit",
    "variant",
    "site",
    "coordinate_unit",
    "other_model",
)
INTEGERS = ("seed", "layer", "head", "image", "other_layer", "replicate")
COLUMNS = (
    "model",
    "dataset",
    "measure",
    "unit",
    "variant",  # mode, pooling or protocol
    "seed",
    "site",
    "layer",
    "head",
    "image",
    "coordinate",
    "coordinate_unit",
    "other_model",
    "other_layer",
    "replicate",
    "value",
)
SUMMARY_KEYS = (
    "model",
    "dataset",
    "measure",
    "unit",
    "variant",
    "seed",
    "site",
    "layer",
    "coordinate",
    "coordinate_unit",
)
NUM_REPLICATES = 200  # percentile intervals at 95 % need about this many; 2.5 % is the 5th smallest


@dataclass(frozen=True)
class Exhibit:
    """A small named array for a picture, of a few chosen images.

    Args:
        name: What it shows: "attention_maps", "reconstructions", ...
        model: The model it was made from.
        arrays: Named numpy arrays, uint8 or float; saved together.
        labels: What the axes and entries mean, JSON-like.
    """

    name: str
    model: str
    arrays: Mapping[str, np.ndarray]
    labels: Mapping[str, object] = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write as one compressed .npz in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}--{_slug(self.model)}.npz"
        facts = json.dumps({"name": self.name, "model": self.model, "labels": dict(self.labels)})
        with open(path.with_name(path.name + ".partial"), "wb") as file:
            np.savez_compressed(file, _facts=np.array(facts), **self.arrays)  # type: ignore[arg-type]
        path.with_name(path.name + ".partial").replace(path)
        return path

    @staticmethod
    def load(path: Path) -> "Exhibit":
        """Read what `save` wrote; nothing in the file is executed."""
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name != "_facts"}
            facts = json.loads(str(archive["_facts"]))
        return Exhibit(facts["name"], facts["model"], arrays, facts["labels"])


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-") or "model"


@dataclass
class Table:
    """Tidy rows of results.

    Args:
        frame: Columns `COLUMNS`, or a subset (the rest become null).
        notes: Facts for the report that are no measurement (settings, versions), JSON-like.
        exhibits: Arrays for pictures, saved beside the rows.

    Raises:
        ValueError: If `frame` has a column that the schema does not know.
    """

    frame: pd.DataFrame = field(default_factory=lambda: typed(pd.DataFrame(columns=list(COLUMNS))))
    notes: dict[str, object] = field(default_factory=dict)
    exhibits: tuple[Exhibit, ...] = ()

    def __post_init__(self) -> None:
        self.frame = typed(self.frame)

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, **columns: object) -> "Table":
        """Rows whose columns equal the given values (a list: any of them; None: null)."""
        keep = pd.Series(True, index=self.frame.index)
        for name, wanted in columns.items():
            column = self.frame[name]
            if wanted is None:
                keep &= column.isna()
            else:
                keep &= column.isin(wanted if isinstance(wanted, list | tuple | set) else [wanted])
        return Table(self.frame[keep], self.notes, self.exhibits)

    def save(self, path: str | Path) -> Path:
        """Write PATH (Parquet) and the exhibits beside it; a half-written file replaces nothing."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".partial")
        self.frame.attrs = {"vitscope": self.notes}
        self.frame.to_parquet(temporary, index=False)
        temporary.replace(path)
        for exhibit in self.exhibits:
            exhibit.save(_exhibits_folder(path))
        return path

    @staticmethod
    def load(path: str | Path) -> "Table":
        """Read what `save` wrote.

        Raises:
            ValueError: If the file is missing, is no Parquet file or has unknown columns.
        """
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"expected a Table (Parquet) at {path}; reading it failed: {error}"
            ) from error
        exhibits = [Exhibit.load(file) for file in sorted(_exhibits_folder(path).glob("*.npz"))]
        return Table(frame, dict(frame.attrs.get("vitscope", {})), tuple(exhibits))

    def summary(self, by: Sequence[str] = SUMMARY_KEYS, level: float = 0.95) -> pd.DataFrame:
        """Mean over images (heads averaged first) and its bootstrap interval, per group.

        Args:
            by: Columns that make a group.
            level: Coverage of the interval, in (0, 1).

        Returns:
            A frame with the columns `by`, mean, low, high and num_images. Rows without an image
            (baselines, whole-data values) have low = high = mean; curves use their replicates.
        """
        groups = self.frame.groupby(list(by), dropna=False, observed=True, sort=False).ngroup()
        keys = {name: _plain(self.frame[name][~groups.duplicated()]) for name in by}
        return pd.DataFrame(keys | _intervals(self.frame, groups.to_numpy(), level))


def _exhibits_folder(path: str | Path) -> Path:
    return Path(path).with_suffix(".exhibits")


def _plain(column: pd.Series) -> np.ndarray:
    """Values as numpy holds them: strings or None, integers, floats (with nan for null)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(object).where(column.notna(), None).to_numpy()
    return column.to_numpy(dtype=np.float64 if column.isna().any() else None)


def _intervals(frame: pd.DataFrame, group: np.ndarray, level: float) -> dict[str, np.ndarray]:
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


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every column of the schema, in order and in its type."""
    unknown = [name for name in frame.columns if name not in COLUMNS]
    if unknown:
        raise ValueError(
            f"a Table has the columns {', '.join(COLUMNS)}; unknown: {', '.join(unknown)}"
        )
    data = {}
    for name in COLUMNS:
        column = frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object)
        if name in CATEGORIES:
            data[name] = column.astype("category")
        elif name in INTEGERS:
            data[name] = column.astype("Int32")
        else:
            data[name] = column.astype("float32")
    return pd.DataFrame(data, index=frame.index).reset_index(drop=True)


def concat(tables: Iterable[Table]) -> Table:
    """All rows of several Tables. Notes are merged: dicts within, lists joined, else the later."""
    tables = list(tables)
    notes: dict[str, object] = {}
    for table in tables:
        notes = _merged(notes, table.notes)
    if not tables:
        return Table()
    frames = [table.frame.astype({name: object for name in CATEGORIES}) for table in tables]
    exhibits = tuple(exhibit for table in tables for exhibit in table.exhibits)
    return Table(pd.concat(frames, ignore_index=True), notes, exhibits)


def _merged(first: dict[str, object], second: dict[str, object]) -> dict[str, object]:
    merged = dict(first)
    for name, value in second.items():
        known = merged.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            merged[name] = _merged(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            merged[name] = known + [entry for entry in value if entry not in known]
        else:
            merged[name] = value
    return merged


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
