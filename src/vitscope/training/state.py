"""Saving and resuming the state of a run."""

import json
import pickle
from dataclasses import replace
from zipfile import BadZipFile

import torch
from torch import nn

from vitscope.recipe import Recipe
from vitscope.runs import Run, environment, write_atomically


def require_same_recipe(recipe: Recipe, run: Run) -> None:
    """Raise ValueError if the folder holds the run of another recipe, or other files."""
    if run.recipe_path.exists():
        found = run.recipe()
        if _what_matters(found) != _what_matters(recipe):
            raise ValueError(
                f"{run.folder} holds a run of another recipe ({_difference(found, recipe)}); "
                "give another folder, or the same recipe to resume"
            )
    elif run.folder.exists() and (not run.folder.is_dir() or any(run.folder.iterdir())):
        raise ValueError(
            f"expected an empty or new folder, got {run.folder} with other files in it"
        )


def prepare_folder(recipe: Recipe, run: Run) -> None:
    """Write the recipe and the environment into a new run folder; leave an existing one."""
    if run.recipe_path.exists():
        return
    write_atomically(run.recipe_path, lambda path: path.write_text(recipe.to_json()))
    facts = json.dumps({**environment(), "threads": str(torch.get_num_threads())}, indent=2)
    environment_path = run.folder / "environment.json"
    write_atomically(environment_path, lambda path: path.write_text(facts + "\n"))


def save_state(run: Run, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write what `load_state` needs, atomically.

    Raises:
        FloatingPointError: If a weight is not finite; the previous state stays.
    """
    if broken := [
        name for name, weight in module.named_parameters() if not weight.isfinite().all()
    ]:
        raise FloatingPointError(
            f"after step {step} weights are not finite ({broken[0]}); {run.folder} keeps what was "
            "saved before. Try a lower base_lr, a longer warmup, clip_norm=1.0 or precision 32-true"
        )
    state = {
        "step": step,
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    write_atomically(run.state_path, lambda path: torch.save(state, path))


def load_state(run: Run, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Put a saved state into place.

    Returns:
        Number of steps already done; 0 for a new run.

    Raises:
        ValueError: If the file is damaged.
    """
    if not run.state_path.exists():
        return 0
    try:
        state = torch.load(run.state_path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(
            f"expected a training state at {run.state_path}, but it can't be read ({error}); "
            "delete the file to start the run anew"
        ) from error
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"]


def _what_matters(recipe: Recipe) -> Recipe:
    """The recipe without what does not change the numbers."""
    return replace(recipe, num_workers=0, checkpoint_minutes=0.0)


def _difference(found: Recipe, wanted: Recipe) -> str:
    pairs = _flat(json.loads(found.to_json())), _flat(json.loads(wanted.to_json()))
    changed = [name for name in pairs[0] if pairs[0][name] != pairs[1].get(name)]
    return "; ".join(
        f"{name}: {pairs[0][name]!r} there, {pairs[1].get(name)!r} here" for name in changed
    )


def _flat(values: dict[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
