"""Recipe: a frozen description of how a model is made. Everything a run does follows from it."""

import json
import types
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

INFINITY = float("inf")


@dataclass(frozen=True)
class Range:
    """Allowed numbers: `low` (unless `above`, which leaves it out) to `high`."""

    low: float
    high: float = INFINITY
    above: bool = False

    def __contains__(self, value: float) -> bool:
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.high == INFINITY:
            return f"more than {self.low:g}" if self.above else f"{self.low:g} or more"
        if self.above:
            return f"more than {self.low:g} and at most {self.high:g}"
        return f"{self.low:g} to {self.high:g}"


COUNT = Range(1)
FREE = Range(0)
POSITIVE = Range(0, above=True)
SHARE = Range(0, 1)
POSITIVE_SHARE = Range(0, 1, above=True)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The Vision Transformer that is trained; one value for all arms of a comparison."""

    image_size: int = 64  # pixels, square
    patch_size: int = 8  # pixels
    embed_dim: int = 128
    depth: int = 6
    num_heads: int = 4
    mlp_ratio: float = 4.0
    position: Literal["sincos", "learned", "relative"] = "sincos"
    """sincos: fixed 2-D table (MoCo v3); relative: one bias table shared by all blocks (SimMIM)."""
    init_values: float | None = None
    """LayerScale's initial value; None: no LayerScale. SimMIM's ViT has 0.1."""
    initialisation: Literal["moco_v3", "simmim"] = "moco_v3"
    """Whose initial weights: Xavier with separate q, k, v, or truncated normal scaled by depth."""
    drop_path: float = 0.0
    """Stochastic depth of the last block; rises linearly from 0. Used while training only."""

    def __post_init__(self) -> None:
        sizes = ("image_size", "patch_size", "embed_dim", "depth", "num_heads")
        ranges: dict[str, Range] = dict.fromkeys(sizes, COUNT)
        _require(self, ranges | {"mlp_ratio": POSITIVE, "drop_path": SHARE})
        _require_divisible("image_size by patch_size", self.image_size, self.patch_size)
        _require_divisible("embed_dim by num_heads", self.embed_dim, self.num_heads)
        _require_divisible("embed_dim by 4 (the sine-cosine table)", self.embed_dim, 4)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised: `(1 - cl_weight) * MIM + cl_weight * CL`; 0 is SimMIM, 1 is MoCo v3."""

    cl_weight: float = 0.5
    """The paper's lambda, from 0 (masked image modelling alone) to 1 (contrastive alone)."""
    temperature: float = 0.2
    momentum: float = 0.99
    """Of the momentum encoder at the start; rises to 1 along a half cosine."""
    projector_hidden_dim: int = 4096
    projector_dim: int = 256
    freeze_patch_projection: bool = False
    """MoCo v3 freezes it; masked image modelling needs its gradients."""
    mask_ratio: float = 0.6
    mask_unit: int = 2
    """Side of a masked square, in patches. SimMIM masks 32 px = 2 patches of 16 px."""
    crop_min: float = 0.08
    """Smallest share of the image that a contrastive view shows."""
    blur_scale: float = 1.0
    """Factor on the published blur (0.1 to 2 px at 224 px); image_size / 224 blurs alike."""
    mim_crop_min: float = 0.67
    """Smallest share of the image that a masked view shows."""

    def __post_init__(self) -> None:
        ranges: dict[str, Range] = dict.fromkeys(
            ("projector_hidden_dim", "projector_dim", "mask_unit"), COUNT
        )
        ranges |= dict.fromkeys(("cl_weight", "momentum"), SHARE)
        ranges |= dict.fromkeys(("mask_ratio", "crop_min", "mim_crop_min"), POSITIVE_SHARE)
        _require(self, ranges | {"temperature": POSITIVE, "blur_scale": FREE})


@dataclass(frozen=True, kw_only=True)
class Optimisation:
    """AdamW and its schedule; learning rates scale with `batch_size / lr_batch`."""

    batch_size: int = 128
    num_images: int = 100_000
    """Images shown in all (the last batch may pass it); epochs follow from the data's length."""
    base_lr: float = 1.5e-4
    lr_batch: int = 256
    warmup: float = 0.1
    """Share of the steps with a linearly rising learning rate."""
    warmup_lr: float = 0.0
    """Base learning rate at the first step; follows the linear rule as well."""
    schedule: Literal["cosine", "step"] = "cosine"
    milestone: float = 0.875
    """Share of the steps after which a step schedule divides the learning rate by 10."""
    weight_decay: float = 0.1
    decay_all: bool = True
    """MoCo v3 decays every parameter; SimMIM spares 1-D parameters and biases."""
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        ranges: dict[str, Range] = dict.fromkeys(("batch_size", "num_images", "lr_batch"), COUNT)
        ranges |= dict.fromkeys(("warmup", "milestone", "beta1", "beta2"), SHARE)
        ranges |= dict.fromkeys(("base_lr", "clip_norm"), POSITIVE)
        _require(self, ranges | dict.fromkeys(("warmup_lr", "weight_decay"), FREE))

    @property
    def num_steps(self) -> int:
        """Optimiser steps in all."""
        return -(-self.num_images // self.batch_size)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        return self.base_lr * self.batch_size / self.lr_batch


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is made: data, architecture, objective, optimisation, seed."""

    name: str
    data: str = "world:independent?size=64"
    """Data spec: folder:PATH, cifar10:PATH, world:SPLIT?size=64."""
    architecture: Architecture = field(default_factory=Architecture)
    objective: Objective = field(default_factory=Objective)
    optimisation: Optimisation = field(default_factory=Optimisation)
    seed: int = 0
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    num_workers: int = 0
    checkpoint_minutes: float = 5.0
    """Between two saves of the whole training state."""

    def __post_init__(self) -> None:
        _require(self, dict.fromkeys(("seed", "num_workers", "checkpoint_minutes"), FREE))
        self._require_parts_that_fit()

    def _require_parts_that_fit(self) -> None:
        sizes, unit = self.architecture, self.objective.mask_unit
        if self.objective.cl_weight < 1:
            side = sizes.image_size // sizes.patch_size
            _require_divisible("the patches of a side by mask_unit", side, unit)
        if self.objective.cl_weight > 0 and self.optimisation.batch_size < 2:
            raise ValueError(
                "batch_size: expected 2 or more where cl_weight is above 0 (the projector's batch "
                f"norm compares images), got {self.optimisation.batch_size}"
            )

    def to_json(self) -> str:
        """The whole recipe as indented JSON; `from_json` gives it back."""
        return json.dumps(asdict(self), indent=2) + "\n"


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        ValueError: As `from_json`; the message begins with the path.
        OSError: If there is no such file.
    """
    try:
        return from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def from_json(text: str | bytes) -> Recipe:
    """The recipe that `Recipe.to_json` wrote.

    Raises:
        ValueError: If the text is no JSON, has a field that Recipe does not know or lacks one
            that it needs, or a value of another type or outside its range.
    """
    try:
        values = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"expected a recipe as JSON; parsing failed: {error}") from error
    return _filled(Recipe, values, "recipe")


def _filled(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"expected the fields of {where} as a JSON object, got {values!r}")
    known = {entry.name: entry for entry in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise ValueError(f"{where} has no field {', '.join(unknown)}; it has {', '.join(known)}")
    nested = {"architecture": Architecture, "objective": Objective, "optimisation": Optimisation}
    if kind is Recipe:
        if "name" not in values:
            raise ValueError("expected a recipe with a name, got none")
        made = {name: _filled(part, values.get(name, {}), name) for name, part in nested.items()}
        values = values | made
    return kind(**values)


def _require(part: Any, ranges: dict[str, Range]) -> None:
    """Refuse values of another type than declared, or outside `ranges`."""
    for name, declared in get_type_hints(type(part)).items():
        value = getattr(part, name)
        if not _fits(value, declared):
            wanted = getattr(declared, "__name__", str(declared))
            if get_origin(declared) is Literal:
                wanted = f"one of {', '.join(get_args(declared))}"
            raise ValueError(f"{name}: expected {wanted}, got {value!r}")
    for name, allowed in ranges.items():
        value = getattr(part, name)
        if value is not None and value not in allowed:
            raise ValueError(f"{name}: expected {allowed}, got {value!r}")


def _require_divisible(names: str, whole: int, part: int) -> None:
    if whole % part:
        raise ValueError(f"expected {names} to divide evenly, got {whole} and {part}")


def _fits(value: Any, declared: Any) -> bool:
    if get_origin(declared) is Literal:
        return value in get_args(declared)
    if get_origin(declared) in (Union, types.UnionType):
        return any(_fits(value, part) for part in get_args(declared))
    if declared is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, declared) and (declared is bool or not isinstance(value, bool))
