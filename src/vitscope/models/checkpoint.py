"""Weight files, read safely and loaded strictly.

Nothing in a file is executed: it is safetensors, or a pickle of which only tensors and plain
containers are read. Every key is used, or dropped by name; anything else is an error.
"""

import argparse
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel and torch.compile put these before each key
SHOWN_KEYS = 8  # a message that names more is not read


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a weight file holds.

    Args:
        path: The file.
        sha256: Of the file's bytes, hexadecimal.
        entries: The top level: tensors by key, or dictionaries that hold them.
        metadata: The header of a safetensors file.
    """

    path: Path
    sha256: str
    entries: Mapping[str, object]
    metadata: Mapping[str, str] = field(default_factory=dict)

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
                f"expected tensors only in {where} but {_some(foreign)} are none; "
                "this is no state dict, or of a format that vitscope does not know"
            )
        while prefix := next((p for p in WRAPPERS if all(k.startswith(p) for k in weights)), None):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
        return weights


@dataclass(frozen=True)
class LoadReport:
    """What became of each key when weights were loaded.

    Args:
        used: Copied into the module.
        dropped: In the file, and named as not part of the encoder.
        missing: In the module only.
        unexpected: In the file only.
        unusable: In both, but of another shape or type, or with values that are not finite.
    """

    used: tuple[str, ...]
    dropped: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    unusable: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every key was used or dropped by name."""
        return not (self.missing or self.unexpected or self.unusable)

    def __str__(self) -> str:
        parts = [f"{len(self.used)} keys used, {len(self.dropped)} dropped"]
        for word in ("missing", "unexpected", "unusable"):
            if keys := getattr(self, word):
                parts.append(f"{len(keys)} {word}: {_some(keys)}")
        return "; ".join(parts)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """What a weight file holds, on the CPU. No code in the file runs.

    Args:
        path: A safetensors file, or one that `torch.save` wrote.

    Raises:
        ValueError: If the file is missing, cut short, of another kind, or holds objects other than
            tensors, plain containers and an argparse.Namespace (training scripts save theirs).
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"expected a weight file at {path}; there is none")
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(8)
        is_safetensors = file.read(1) == b"{"  # 8 bytes of length, then a JSON header
    if is_safetensors:
        return _read_safetensors(path, sha256)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            entries = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle can raise anything
        raise ValueError(
            f"expected weights in {path}: safetensors, or a torch.save of tensors alone. It is cut "
            "short, of another kind, or holds objects that would run code when read; then save its "
            f"state dict again where you trust it. Reading failed: {_reason(error)}"
        ) from error
    if not isinstance(entries, Mapping):
        raise ValueError(
            f"expected a dictionary of tensors in {path}, got {type(entries).__name__}"
        )
    return Checkpoint(path, sha256, entries)


def _read_safetensors(path: Path, sha256: str) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            entries = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return Checkpoint(path, sha256, entries, file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"expected whole safetensors in {path}; it is cut short or damaged: {_reason(error)}"
        ) from error


def load_strictly(
    module: nn.Module, weights: Mapping[str, Tensor], *, dropped: Sequence[str], source: str
) -> LoadReport:
    """Copy weights into a module, all or nothing.

    Args:
        module: Takes the weights in its own precision.
        weights: By key.
        dropped: Shell patterns (`decoder_*`) of keys that are not part of the encoder.
        source: Names the weights in a message.

    Returns:
        Which keys were used and dropped.

    Raises:
        ValueError: If a key is missing, unexpected, of another shape or type, or not finite.
    """
    own = module.state_dict()
    thrown = [key for key in weights if any(fnmatchcase(key, pattern) for pattern in dropped)]
    kept = {key: value for key, value in weights.items() if key not in thrown}
    shared = [key for key in kept if key in own]
    faults = {key: _fault(kept[key], own[key]) for key in shared}
    report = LoadReport(
        used=tuple(key for key in shared if not faults[key]),
        dropped=tuple(thrown),
        missing=tuple(key for key in own if key not in kept),
        unexpected=tuple(key for key in kept if key not in own),
        unusable=tuple(f"{key} ({fault})" for key, fault in faults.items() if fault),
    )
    if not report.complete:
        raise ValueError(f"{source} does not fit the model that its keys describe: {report}")
    module.load_state_dict(kept, strict=True)
    return report


def _fault(value: Tensor, own: Tensor) -> str:
    if value.shape != own.shape:
        return f"expected shape {tuple(own.shape)}, got {tuple(value.shape)}"
    if own.is_floating_point() and not value.is_floating_point():
        return f"expected floating-point values, got {value.dtype}"
    if own.is_floating_point() and not value.isfinite().all():
        return "has values that are not finite"
    return ""


def require_key(weights: Mapping[str, Tensor], key: str, num_axes: int, source: str) -> Tensor:
    """A tensor from which a model's sizes are read.

    Raises:
        ValueError: If it is missing or has another number of axes.
    """
    if key not in weights:
        raise ValueError(f"expected the key {key!r} in {source}; it has {_some(sorted(weights))}")
    if weights[key].ndim != num_axes:
        raise ValueError(
            f"expected {num_axes} axes in {key!r} of {source}, got {tuple(weights[key].shape)}"
        )
    return weights[key]


def _some(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more


def _reason(error: Exception) -> str:
    """What torch found, without its advice to read the file unsafely."""
    found = re.search(r"unsupported \w+ \S+", str(error), re.IGNORECASE)
    lines = str(error).strip().splitlines() or ["no more is known"]
    return f"{type(error).__name__}: {found[0] if found else lines[0]}"
