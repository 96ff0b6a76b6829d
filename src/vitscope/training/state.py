"""Saving and resuming the state of a run."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch import nn

from vitscope.recipe import Recipe
from vitscope.runs import Run, environment, write_atomically


def prepare_folder(recipe: Recipe, folder: Path) -> Run:
    """A new run folder with its recipe, or the existing one if it was made by the same recipe.

    Raises:
        ValueError: If the folder holds the run of another recipe, or other files.
    """
    run = Run(folder)
    if run.recipe_path.exists():
        found = run.recipe()
        if _what_matters(found) != _what_matters(recipe):
            raise ValueError(
                f"{folder} holds a run of another recipe ({_difference(found, recipe)}); "
                "give another folder, or the same recipe to resume"
            )
        return run
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"expected an empty or new folder, got {folder} with other files in it")
    write_atomically(run.recipe_path, lambda path: path.write_text(recipe.to_json()))
    facts = json.dumps({**environment(), "threads": str(torch.get_num_threads())}, indent=2)
    write_atomically(folder / "environment.json", lambda path: path.write_text(facts + "\n"))
    return run


def save_state(run: Run, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write what `load_state` needs, atomically."""
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
