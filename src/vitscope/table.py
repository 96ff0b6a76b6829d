"""Table and Exhibit: the two things that measuring leaves behind, and all that a report reads.

A Table is tidy rows in a pandas frame with the columns `COLUMNS`; what does not apply is null.
Scalars come one row per image. Curves come as a mean (`replicate` null) and bootstrap replicates,
whose weights depend on the image's id alone, so that models measured on the same images stay
paired.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from vitscope.bootstrap import group_intervals
from vitscope.runs import write_atomically

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
        """Write as one compressed .npz in `folder`.

        Raises:
            ValueError: If a folder has the file's name.
            OSError: If writing fails; a file that was there before is kept.
        """
        path = folder / f"{self.name}--{_slug(self.model)}.npz"
        _refuse_folder(path)
        facts = json.dumps({"name": self.name, "model": self.model, "labels": dict(self.labels)})

        def write(partial: Path) -> None:
            with open(partial, "wb") as file:  # a path would get the suffix .npz
                np.savez_compressed(file, _facts=np.array(facts), **self.arrays)  # type: ignore[arg-type]

        write_atomically(path, write)
        return path

    @staticmethod
    def load(path: Path) -> "Exhibit":
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            ValueError: If the file is damaged or is no exhibit.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name != "_facts"}
                facts = json.loads(str(archive["_facts"]))
            return Exhibit(facts["name"], facts["model"], arrays, facts["labels"])
        except DAMAGED as error:
            raise ValueError(
                f"expected an exhibit (NPZ) at {path}; reading it failed ({error}); measure again, "
                "or remove the file to go without its pictures"
            ) from error


# What numpy, zipfile and json raise for files that are cut off, changed or of another kind.
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise ValueError(
            f"expected a file to write, got a folder: {path}; name a file in it, "
            f"such as {path / 'results.parquet'}"
        )


def _slug(text: str) -> str:
    """A file name of its own for every text: what a file name can't hold is told by a checksum."""
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")
    return plain if plain == text else f"{plain}-{zlib.crc32(text.encode()):08x}"


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
        """Write PATH (Parquet) and the exhibits beside it; a half-written file replaces nothing.

        Raises:
            ValueError: If there is a folder at `path`; nothing is written then.
            OSError: If writing fails; a file that was there before is kept.
        """
        path = Path(path)
        _refuse_folder(path)
        self.frame.attrs = {"vitscope": self.notes}
        write_atomically(path, lambda partial: self.frame.to_parquet(partial, index=False))
        for old in _exhibits_folder(path).glob("*.npz"):
            old.unlink()
        for exhibit in self.exhibits:
            exhibit.save(_exhibits_folder(path))
        return path

    @staticmethod
    def load(path: str | Path) -> "Table":
        """Read what `save` wrote.

        Raises:
            ValueError: If the file is missing, is no Parquet file or has unknown columns.
        """
        if not Path(path).is_file():
            there = "it is a folder" if Path(path).is_dir() else "there is no such file"
            raise ValueError(
                f"expected a Table (Parquet) at {path}; {there}; "
                "name the file that a measurement wrote"
            )
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
        return pd.DataFrame(keys | group_intervals(self.frame, groups.to_numpy(), level))


def _exhibits_folder(path: str | Path) -> Path:
    return Path(path).with_suffix(".exhibits")


def _plain(column: pd.Series) -> np.ndarray:
    """Values as numpy holds them: strings or None, integers, floats (with nan for null)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(object).where(column.notna(), None).to_numpy()
    return column.to_numpy(dtype=np.float64 if column.isna().any() else None)


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
    """All rows of several Tables. Notes are merged; where two disagree, both values are kept."""
    tables = list(tables)
    notes: dict[str, object] = {}
    for table in tables:
        notes = _merged(notes, table.notes)
    if not tables:
        return Table()
    frames = [table.frame.astype({name: object for name in CATEGORIES}) for table in tables]
    exhibits = tuple(exhibit for table in tables for exhibit in table.exhibits)
    return Table(pd.concat(frames, ignore_index=True), notes, exhibits)


def _merged(first: Mapping, second: Mapping) -> dict:
    merged = dict(first)
    for name, value in second.items():
        known = merged.get(name)
        if known is None or known == value:
            merged[name] = value
        elif isinstance(known, Mapping) and isinstance(value, Mapping):
            merged[name] = _merged(known, value)
        else:
            merged[name] = _either(known, value)
    return merged


def _either(first: object, second: object) -> list:
    """Both values, once each."""
    both = [*(first if isinstance(first, list) else [first])]
    return both + [v for v in (second if isinstance(second, list) else [second]) if v not in both]
