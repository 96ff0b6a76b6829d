"""Saving and resuming the state of a run."""

import json
import sys
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vitscope.recipe import Recipe
from vitscope.runs import Run, environment, write_atomically


def require_same_recipe(recipe: Recipe, run: Run) -> None:
    """Raise ValueError if the folder holds the run of another recipe, or other files.

    A run that failed before anything was saved has nothing to lose: its folder counts as new.
    """
    foreign = _foreign_files(run)
    if run.recipe_path.exists():
        found = run.recipe()
        if not run.saved and not foreign:
            return
        if _what_matters(found) != _what_matters(recipe):
            raise ValueError(
                f"{run.folder} holds a run of another recipe ({_difference(found, recipe)}); "
                "give another folder, or the same recipe to resume"
            )
    elif run.saved or foreign:
        raise ValueError(
            f"expected an empty or new folder, got {run.folder} with other files in it"
        )


def prepare_folder(recipe: Recipe, run: Run) -> None:
    """Write the recipe and the environment, unless there is a saved run to go on with."""
    if run.saved:
        return
    write_atomically(run.recipe_path, lambda path: path.write_text(recipe.to_json()))
    facts = json.dumps({**environment(), "threads": str(torch.get_num_threads())}, indent=2)
    write_atomically(run.environment_path, lambda path: path.write_text(facts + "\n"))


def warn_of_other_threads(run: Run) -> None:
    """Say so on stderr if the run was started with another number of torch threads."""
    threads = str(torch.get_num_threads())
    try:
        before = json.loads(run.environment_path.read_bytes())["threads"]
    except (OSError, ValueError, TypeError, KeyError):
        before = "an unknown number of"
    if before != threads:
        print(
            f"vitscope: {run.folder} was started with {before} torch threads and goes on with "
            f"{threads}; the result may differ in the last bits",
            file=sys.stderr,
        )


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
        ValueError: If the file is damaged, or holds another model's state.
    """
    if not run.state_path.exists():
        return 0
    try:
        state = torch.load(run.state_path, map_location="cpu", weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        _require_shapes_of_parameters(optimizer)
        if not isinstance(state["step"], int) or state["step"] < 0:
            raise ValueError(f"expected a number of steps, got {state['step']!r}")
    except OSError:
        raise  # a file without permission is not damaged
    except Exception as error:  # whatever unpickling damaged bytes brings up
        raise ValueError(
            f"expected a training state at {run.state_path}, but it can't be used "
            f"({type(error).__name__}); delete the file to start anew"
        ) from error
    return state["step"]


def _require_shapes_of_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError if a moment has another shape than its weight; torch does not check."""
    state: dict[Any, dict[str, Any]] = optimizer.state
    for parameter, entries in state.items():
        for name, value in entries.items():
            if name != "step" and value.shape != parameter.shape:
                raise ValueError(f"{name}: expected {parameter.shape}, got {value.shape}")


def _foreign_files(run: Run) -> bool:
    """Whether anything lies there that no run leaves before its first save."""
    if not run.folder.is_dir():
        return run.folder.exists()
    own = (run.recipe_path, run.environment_path, run.log_path, run.state_path)
    names = {path.name for path in own}
    return any(path.name.removesuffix(".partial") not in names for path in run.folder.iterdir())


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
