"""vitscope's own weights: a safetensors file that carries its recipe, alone or in a run folder."""

import os
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from vitscope.models.backbone import Backbone
from vitscope.models.checkpoint import Checkpoint, read_checkpoint
from vitscope.models.checkpoint_format import CheckpointFormat, Encoder
from vitscope.models.spec import Spec
from vitscope.models.vit import build_vit
from vitscope.recipe import Recipe, from_json

WEIGHTS_FILE = "backbone.safetensors"
RECIPE_FILE = "recipe.json"
DECODER_FILE = "decoder.safetensors"
HEADER = "vitscope_recipe"
BUNDLED = Path(__file__).resolve().parents[1] / "bundled"
DROPPED = ("*relative_position_index",)  # made from the grid; older timm versions save it


def save_weights(
    module: nn.Module, recipe: Recipe, path: str | Path, dtype: torch.dtype = torch.float32
) -> Path:
    """Write an encoder's weights, its recipe in the header; a half-written file replaces nothing.

    Args:
        module: What `build_vit(recipe.architecture)` gives, trained.
        recipe: How it was made.
        path: A .safetensors file.
        dtype: Of the stored floating-point values; float16 halves the file for a bundle.

    Returns:
        `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        key: value.detach()
        .to("cpu", dtype if value.is_floating_point() else value.dtype)
        .contiguous()
        for key, value in module.state_dict().items()
    }
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, metadata={HEADER: recipe.to_json()})
    os.replace(partial, path)
    return path


def is_vitscope(checkpoint: Checkpoint) -> bool:
    """Whether a file carries a recipe, or lies in a run folder beside one."""
    return HEADER in checkpoint.metadata or _is_in_run(checkpoint.path)


def vitscope_encoder(checkpoint: Checkpoint, spec: Spec) -> Encoder:
    """The encoder of one of vitscope's weight files.

    Raises:
        ValueError: If there is no recipe, or two that disagree.
    """
    spec.typed_options({})
    recipe = _recipe_of(checkpoint)
    facts = {
        "branch": "encoder",
        "recipe": recipe.name,
        "cl_weight": str(recipe.objective.cl_weight),
        "seed": str(recipe.seed),
    }
    return Encoder(
        module=build_vit(recipe.architecture),
        weights=checkpoint.weights(),
        dropped=DROPPED,
        heads_from="its recipe",
        name=recipe.name,
        facts=facts,
    )


def run_backbone(spec: Spec) -> Backbone:
    """The encoder that a run folder holds: `run:FOLDER`.

    Raises:
        ValueError: If the folder lacks a recipe or weights, or they do not fit.
    """
    return _folder_backbone(Path(spec.name), spec)


def bundled_backbone(spec: Spec) -> Backbone:
    """An encoder that is shipped with vitscope: `bundled:NAME`.

    Raises:
        ValueError: If there is none of that name; the message lists those there are.
    """
    if spec.name not in bundled_names():
        names = ", ".join(bundled_names()) or "none in this installation"
        raise ValueError(f"no bundled model {spec.name!r}; there are: {names}")
    backbone = _folder_backbone(BUNDLED / spec.name, spec)
    card = BUNDLED / spec.name / "card.json"
    facts = (
        {**backbone.facts, "card": card.read_text("utf-8")} if card.is_file() else backbone.facts
    )
    return replace(backbone, name=spec.name, facts=facts)


def bundled_names() -> tuple[str, ...]:
    """Names of the encoders that are shipped with vitscope, sorted."""
    return tuple(sorted(path.parent.name for path in BUNDLED.glob(f"*/{WEIGHTS_FILE}")))


def decoder_path(backbone: Backbone) -> Path | None:
    """The pixel decoder beside a run's or bundled encoder; None if there is none."""
    kind, _, rest = str(backbone.facts.get("spec", "")).partition(":")
    folders = {"run": Path(rest), "bundled": BUNDLED / rest}
    path = folders.get(kind, Path()) / DECODER_FILE
    return path if kind in folders and path.is_file() else None


def recipe_of_folder(folder: Path) -> Recipe:
    """The recipe of a run folder or of a bundled encoder."""
    return from_json((folder / RECIPE_FILE).read_text("utf-8"))


def _folder_backbone(folder: Path, spec: Spec) -> Backbone:
    for name in (RECIPE_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(
                f"expected a run folder with {RECIPE_FILE} and {WEIGHTS_FILE} at {folder}; {name} "
                "is missing: this is no run folder, or its run has not ended"
            )
    return FORMAT.backbone(read_checkpoint(folder / WEIGHTS_FILE), spec)


def _is_in_run(path: Path) -> bool:
    return path.name == WEIGHTS_FILE and (path.parent / RECIPE_FILE).is_file()


def _recipe_of(checkpoint: Checkpoint) -> Recipe:
    recipes: dict[str, Recipe] = {}
    if HEADER in checkpoint.metadata:
        recipes["the file's header"] = from_json(checkpoint.metadata[HEADER])
    if _is_in_run(checkpoint.path):
        recipes[RECIPE_FILE] = from_json((checkpoint.path.parent / RECIPE_FILE).read_text("utf-8"))
    if not recipes:
        raise ValueError(
            f"expected a recipe in the header of {checkpoint.path}, or as {RECIPE_FILE} beside a "
            f"{WEIGHTS_FILE}; without one the architecture is unknown"
        )
    if len({recipe.architecture for recipe in recipes.values()}) > 1:
        raise ValueError(
            f"the recipes in {' and '.join(recipes)} of {checkpoint.path} describe different "
            "architectures; one of the two files comes from another run"
        )
    return next(iter(recipes.values()))


FORMAT = CheckpointFormat(
    name="vitscope",
    recognises=is_vitscope,
    encoder=vitscope_encoder,
    description="vitscope's own safetensors, with the recipe in the header or beside it",
)
