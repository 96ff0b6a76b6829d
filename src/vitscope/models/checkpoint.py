"""Weight files, read safely: nothing in a file is executed.

A file is safetensors, or a pickle of which only tensors and plain containers are read.
"""

import argparse
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vitscope.models.strict_loading import some

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and torch.compile put these before each key
CONVERSION = "vitscope_conversion"  # header of a file that `convert` wrote
SEPARATOR = "/"  # there, between an entry and its key; no module's name has one


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a weight file holds.

    Args:
        path: The file.
        sha256: Of the file's bytes, hexadecimal.
        entries: The top level: tensors by key, or dictionaries that hold them.
        metadata: The header of a safetensors file.
        source_sha256: Of the file that this one was converted from; empty if it was not.
    """

    path: Path
    sha256: str
    entries: Mapping[str, object]
    metadata: Mapping[str, str] = field(default_factory=dict)
    source_sha256: str = ""

    def weights(self, *holders: str) -> dict[str, Tensor]:
        """Tensors by key, without the prefixes that wrappers add.

        Args:
            holders: Top-level entries that may hold them; the first one present is read. None is
                present: the top level itself is read.

        Raises:
            ValueError: If something there is no tensor.
        """
        holder = next((name for name in holders if name in self.entries), None)
        held = self.entries if holder is None else self.entries[holder]
        where = f"{self.path}" if holder is None else f"{self.path}, entry {holder!r},"
        if not isinstance(held, Mapping) or not held:
            raise ValueError(
                f"expected tensors by key in {where} got {type(held).__name__}: not weights"
            )
        weights = {str(key): value for key, value in held.items() if isinstance(value, Tensor)}
        if foreign := [str(key) for key in held if str(key) not in weights]:
            raise ValueError(
                f"expected tensors only in {where} but {some(foreign)} are none; "
                "this is no state dict, or of a format that vitscope does not know"
            )
        while prefix := next((p for p in WRAPPERS if all(k.startswith(p) for k in weights)), None):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
        return weights


class _Unread:
    """Stands for an object that training left in a file and nobody needs: it keeps nothing."""

    def __new__(cls, *_: object) -> "_Unread":
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass


class _UnreadMapping:
    """Stands for a dictionary of another class; it is read as a plain one."""

    def __new__(cls, *_: object) -> Any:
        return OrderedDict()


# What official files hold beside tensors and plain containers, and what is made of it instead. Only
# these names are let through, and none of them is imported.
HARMLESS: dict[str, type] = {
    "argparse.Namespace": argparse.Namespace,  # dino, ibot, mae, beit and deit save their arguments
    "yacs.config.CfgNode": _UnreadMapping,  # SimMIM saves its configuration
    "numpy.core.multiarray.scalar": _Unread,  # dino, ibot and beit take the learning rate from an
    "numpy._core.multiarray.scalar": _Unread,  # array, and so the optimiser's groups hold such
    "numpy.dtype": _Unread,
}


def read_checkpoint(path: str | Path) -> Checkpoint:
    """What a weight file holds, on the CPU. No code in the file runs.

    Args:
        path: A safetensors file, or one that `torch.save` wrote.

    Raises:
        ValueError: If the file is missing, cut short, of another kind, or holds objects other than
            tensors, plain containers and those that official files are known to hold (`HARMLESS`).
    """
    path = Path(path)
    sha256 = sha256_of(path)
    if is_safetensors(path):
        return _read_safetensors(path, sha256)
    try:
        with torch.serialization.safe_globals([(kind, name) for name, kind in HARMLESS.items()]):
            entries = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        raise ValueError(
            f"expected weights in {path}: safetensors, or a torch.save of tensors alone. It is cut "
            "short, of another kind, or holds objects that would run code when read; then convert "
            f"it where you trust it. Reading failed: {_reason(error)}"
        ) from error
    if not isinstance(entries, Mapping):
        raise ValueError(
            f"expected a dictionary of tensors in {path}, got {type(entries).__name__}"
        )
    return Checkpoint(path, sha256, entries)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors do: 8 bytes of length, then a JSON header."""
    with open(path, "rb") as file:
        file.seek(8)
        return file.read(1) == b"{"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Raises:
        ValueError: If there is no such file.
    """
    if not path.is_file():
        raise ValueError(f"expected a weight file at {path}; there is none")
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_safetensors(path: Path, sha256: str) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"expected whole safetensors in {path}; it is cut short or damaged: {_reason(error)}"
        ) from error
    if CONVERSION not in metadata:
        return Checkpoint(path, sha256, tensors, metadata)
    try:
        conversion = json.loads(metadata[CONVERSION])
        entries = _nested(tensors, conversion)
        return Checkpoint(path, sha256, entries, metadata, conversion["source_sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"expected what vitscope's converter writes in the header of {path}, entry "
            f"{CONVERSION!r}; convert the file again: {_reason(error)}"
        ) from error


def _nested(tensors: dict[str, Tensor], conversion: Mapping[str, Any]) -> dict[str, object]:
    """The top level of a converted file, as it was before."""
    shared = {name: tensors[first] for name, first in conversion["shared"].items()}
    entries: dict[str, Any] = dict(conversion["left_out"])
    for name, value in (tensors | shared).items():
        holder, separator, key = name.partition(SEPARATOR)
        if separator:
            entries.setdefault(holder, {})[key] = value
        else:
            entries[name] = value
    return entries


def _reason(error: Exception) -> str:
    """What torch found, without its advice to read the file unsafely."""
    found = re.search(r"unsupported \w+ \S+", str(error), re.IGNORECASE)
    lines = str(error).strip().splitlines() or ["no more is known"]
    return f"{type(error).__name__}: {found[0] if found else lines[0]}"
