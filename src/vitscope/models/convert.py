"""From a pickle to safetensors, so that a file has to be trusted once at most."""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vitscope.models.checkpoint import (
    CONVERSION,
    HARMLESS,
    SEPARATOR,
    is_safetensors,
    read_checkpoint,
    sha256_of,
)
from vitscope.models.pickled_names import pickled_names
from vitscope.models.strict_loading import some

Plain = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What became of a file.

    Args:
        path: The safetensors file that was written.
        sha256: Of its bytes, hexadecimal.
        source_sha256: Of the bytes of the file it was made from.
        tensors: Names of the tensors in it, ENTRY/KEY or KEY.
        shared: Names that are kept as second names of tensors, by name.
        left_out: Entries of the old file that hold no state dict (optimiser, arguments, ...).
    """

    path: Path
    sha256: str
    source_sha256: str
    tensors: tuple[str, ...]
    shared: Mapping[str, str]
    left_out: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.path}: {len(self.tensors)} tensors, {len(self.shared)} second names, left out: "
            f"{some(self.left_out) or 'nothing'}\nsha256 {self.sha256}"
        )


def convert_to_safetensors(path: str | Path, out: str | Path, trust: bool = False) -> Conversion:
    """Write the state dicts of a weight file as safetensors.

    They keep their entries and keys, so that the new file is recognised and loaded as the old one
    was. Numbers, texts and a Namespace of such stay in the header; the rest (an optimiser's state)
    is left out, by name. A half-written file replaces nothing.

    Args:
        path: A file that `torch.save` wrote.
        out: The file to write; there must be none.
        trust: Unpickle objects that are not weights, which runs their code. Without it such a file
            is refused, and the message names the objects.

    Raises:
        ValueError: If the file cannot be read, holds no state dict, or needs trust.
    """
    path, out = Path(path), Path(out)
    source_sha256 = sha256_of(path)
    if is_safetensors(path):
        raise ValueError(f"{path} is safetensors already")
    if out.exists():
        raise ValueError(f"{out} exists; remove it, or name another file")
    entries = _entries(path, trust)
    held = {name: value for name, value in entries.items() if _is_weights(value)}
    if not held:
        raise ValueError(f"expected a state dict in {path}; its entries are {some([*entries])}")
    tensors, shared = _without_second_names(_flat(held))
    left_out = {name: _plain(value) for name, value in entries.items() if name not in held}
    header = {"source_sha256": source_sha256, "shared": shared, "left_out": left_out}
    partial = out.with_name(out.name + ".partial")
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_file(tensors, partial, metadata={CONVERSION: json.dumps(header)})
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return Conversion(
        path=out,
        sha256=sha256_of(out),
        source_sha256=source_sha256,
        tensors=tuple(tensors),
        shared=shared,
        left_out=tuple(left_out),
    )


def _entries(path: Path, trust: bool) -> Mapping[str, object]:
    """The top level of a file: read safely, else, where it is trusted, unpickled."""
    try:
        return {str(key): value for key, value in read_checkpoint(path).entries.items()}
    except ValueError as error:
        objects = [name for name in pickled_names(path) if name not in HARMLESS]
        if not trust and not objects:
            raise  # it is cut short, or no weight file
        if not trust:
            raise ValueError(
                f"{path} holds objects that are not weights: {some(objects)}. Reading them runs "
                "their code. Where you trust who made the file, convert it with trust"
            ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # code of others can raise anything
        raise ValueError(
            f"could not unpickle {path}: {type(error).__name__}: {error}. It holds "
            f"{some(objects) or 'nothing but weights'}; the packages of these must be installed"
        ) from error
    if isinstance(content, nn.Module):
        content = content.state_dict()
    if not isinstance(content, Mapping):
        raise ValueError(f"expected a dictionary in {path}, got {type(content).__name__}")
    return {
        str(key): value.state_dict() if isinstance(value, nn.Module) else value
        for key, value in content.items()
    }


def _is_weights(value: object) -> bool:
    """Whether an entry is a tensor or a state dict."""
    if isinstance(value, Mapping):
        named = all(isinstance(key, str) for key in value)
        return bool(value) and named and all(map(_is_dense, value.values()))
    return _is_dense(value)


def _is_dense(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided


def _flat(held: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors by ENTRY/KEY, or by KEY at the top level."""
    flat: dict[str, Tensor] = {}
    for name, value in held.items():
        keys = [name] if isinstance(value, Tensor) else [name, *value]
        if odd := [key for key in keys if SEPARATOR in key]:
            raise ValueError(f"keys with {SEPARATOR!r} cannot be told from entries: {some(odd)}")
        if isinstance(value, Tensor):
            flat[name] = value
        else:
            flat |= {f"{name}{SEPARATOR}{key}": each for key, each in value.items()}
    return flat


def _without_second_names(flat: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Each tensor once, and its further names; a view of another's memory becomes a copy."""
    tensors: dict[str, Tensor] = {}
    shared: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, value in flat.items():
        same = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        if same in first:
            shared[name] = first[same]
        else:
            first[same] = name
            tensors[name] = value.detach().clone(memory_format=torch.contiguous_format)
    return tensors, shared


def _plain(value: object) -> Plain | dict[str, Plain]:
    """What the header says of an entry: plain values as they are, a type's name for the rest."""
    if isinstance(value, argparse.Namespace):
        return {name: _plain(each) for name, each in vars(value).items()}  # pyright: ignore
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return f"({type(value).__module__}.{type(value).__qualname__})"
