"""Strict loading: every key is used or dropped by name; anything else is an error.

Nothing is loaded unless all of it fits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

SHOWN_KEYS = 8  # a message that names more is not read


@dataclass(frozen=True)
class LoadReport:
    """What becomes of each key when weights are loaded.

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
                parts.append(f"{len(keys)} {word}: {some(keys)}")
        return "; ".join(parts)


def load_report(
    module: nn.Module, weights: Mapping[str, Tensor], dropped: Sequence[str]
) -> LoadReport:
    """What would become of each key; nothing is loaded.

    Args:
        module: What the weights are for.
        weights: By key.
        dropped: Shell patterns (`decoder_*`) of keys that are not part of the encoder.
    """
    own = module.state_dict()
    thrown = {key for key in weights if any(fnmatchcase(key, pattern) for pattern in dropped)}
    kept = [key for key in weights if key not in thrown]
    faults = {key: _fault(weights[key], own[key]) for key in kept if key in own}
    return LoadReport(
        used=tuple(key for key, fault in faults.items() if not fault),
        dropped=tuple(key for key in weights if key in thrown),
        missing=tuple(key for key in own if key not in faults),
        unexpected=tuple(key for key in kept if key not in own),
        unusable=tuple(f"{key} ({fault})" for key, fault in faults.items() if fault),
    )


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
    report = load_report(module, weights, dropped)
    if not report.complete:
        raise ValueError(f"{source} does not fit the model that its keys describe: {report}")
    module.load_state_dict({key: weights[key] for key in report.used}, strict=True)
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
        raise ValueError(f"expected the key {key!r} in {source}; it has {some(sorted(weights))}")
    if weights[key].ndim != num_axes:
        raise ValueError(
            f"expected {num_axes} axes in {key!r} of {source}, got {tuple(weights[key].shape)}"
        )
    return weights[key]


def some(keys: Sequence[str]) -> str:
    """The first few keys, and how many more there are."""
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    return ", ".join(keys[:SHOWN_KEYS]) + more
