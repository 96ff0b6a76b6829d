"""Pre-training: run a recipe, never lose it."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric
from safetensors.torch import save_file
from torch import Tensor

from vitscope.data.loader import TrainingBatches
from vitscope.data.source import skipped_summary
from vitscope.data.sources import open_source
from vitscope.data.transforms import moco_v3_views, simmim_view
from vitscope.objectives import Hybrid, build_objective
from vitscope.objectives.masking import block_mask
from vitscope.objectives.momentum import cosine_momentum
from vitscope.optimisation.loop import StopRequest, optimise
from vitscope.optimisation.optimiser import adamw, schedule
from vitscope.optimisation.precision import explicit_attention, fabric_for
from vitscope.recipe import Recipe
from vitscope.runs import Run, write_atomically
from vitscope.training.progress import Progress
from vitscope.training.state import (
    load_state,
    prepare_folder,
    require_same_recipe,
    save_state,
    warn_of_other_threads,
)


def pretrain(
    recipe: Recipe, out: str | Path | None = None, *, device: str = "auto", quiet: bool = False
) -> Run:
    """Pre-train as the recipe says; call again with the same folder to go on after a stop.

    Ctrl-C and SIGTERM save and return after the running step. A resumed run equals one that was
    never stopped bit for bit (same machine, torch and thread count).

    Args:
        recipe: What to do.
        out: Run folder; `runs/NAME` by default.
        device: Lightning Fabric's accelerator: "auto", "cpu", "cuda", "mps".
        quiet: Show no progress bar.

    Returns:
        The run; `run.complete` is false if it was stopped.

    Raises:
        ValueError: If the folder holds a run of another recipe, or the data has too few images.
        FloatingPointError: If the loss is not finite; the last checkpoint stays.
        OSError: If the disk is full; the last checkpoint stays.
    """
    run = Run(Path(out or f"runs/{recipe.name}"))
    require_same_recipe(recipe, run)
    if run.complete:
        return run
    batches = training_batches(recipe)
    fabric = fabric_for(recipe.precision, device)
    fabric.launch()
    objective = build_objective(recipe.architecture, recipe.objective, recipe.seed)
    explicit_attention(objective, fabric, recipe.precision)
    module, optimizer = fabric.setup(objective, adamw(objective, recipe.optimisation))
    prepare_folder(recipe, run)  # from here on nothing can be wrong with what was asked
    start = load_state(run, objective, optimizer)  # after the setup, which moved the weights
    if start > 0:
        warn_of_other_threads(run)
    with StopRequest() as stopped, Progress(run, recipe, start, quiet) as progress:
        training = Training(run, recipe, fabric, objective, module, optimizer, batches)
        step = training.continued(start, progress, stopped)
        with stopped.saving():
            save_state(run, objective, optimizer, step)
            if step == recipe.optimisation.num_steps:
                save_weights(run, objective)
                run.state_path.unlink()
    if batches.source.skipped:
        print(f"vitscope: {skipped_summary(batches.source)}", file=sys.stderr)
    return run


@dataclass(frozen=True)
class Training:
    """A run's parts, set up on the device."""

    run: Run
    recipe: Recipe
    fabric: Fabric
    objective: Hybrid
    module: torch.nn.Module  # Fabric's wrapper of the objective
    optimizer: torch.optim.Optimizer
    batches: TrainingBatches

    def continued(self, start: int, progress: Progress, stopped: StopRequest) -> int:
        """Take steps from `start` to the recipe's last, or until stopped; returns those done."""
        settings = self.recipe.optimisation
        saved = time.monotonic()

        def after_step(step: int, terms: dict[str, float], waited: float) -> None:
            nonlocal saved
            progress.update(step, terms, waited, self.optimizer.param_groups[0]["lr"])
            if time.monotonic() - saved > 60 * self.recipe.checkpoint_minutes:
                with stopped.saving():
                    save_state(self.run, self.objective, self.optimizer, step)
                saved = time.monotonic()

        return optimise(
            self.fabric,
            self.module,
            self.optimizer,
            schedule(self.optimizer, settings),
            _on_device(self.batches.iterate(start), self.fabric.device),
            forward_of(self.module, self.recipe, self.fabric.device),
            after_step,
            start=start,
            num_steps=settings.num_steps,
            seed=self.recipe.seed,
            clip_norm=settings.clip_norm,
            stopped=stopped,
        )


def training_batches(recipe: Recipe) -> TrainingBatches:
    """The recipe's batches: the views that its objective needs, and no others."""
    architecture, objective = recipe.architecture, recipe.objective
    views = {}
    if objective.cl_weight > 0:
        view1, view2 = moco_v3_views(
            architecture.image_size, objective.crop_min, blur_scale=objective.blur_scale
        )
        views |= {"view1": view1, "view2": view2}
    if objective.cl_weight < 1:
        views["masked_view"] = simmim_view(architecture.image_size, objective.mim_crop_min)
    return TrainingBatches(
        open_source(recipe.data),
        views,
        batch_size=recipe.optimisation.batch_size,
        seed=recipe.seed,
        num_workers=recipe.num_workers,
    )


def save_weights(run: Run, objective: Hybrid) -> None:
    """Write the trained encoder, and the decoder if there is one, as safetensors."""
    encoder = {name: tensor.cpu() for name, tensor in objective.encoder.state_dict().items()}
    write_atomically(run.weights_path, lambda path: save_file(_contiguous(encoder), path))
    if objective.masked is not None:
        decoder = {
            name: tensor.cpu()
            for name, tensor in objective.masked.state_dict().items()
            if not name.startswith("encoder.")
        }
        write_atomically(run.decoder_path, lambda path: save_file(_contiguous(decoder), path))


def forward_of(
    module: torch.nn.Module, recipe: Recipe, device: torch.device
) -> Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]:
    """The loss of a batch at a step: masks drawn for the step, momentum on its schedule."""
    objective, num_steps = recipe.objective, recipe.optimisation.num_steps
    side = recipe.architecture.image_size // recipe.architecture.patch_size

    def forward(batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        mask = None
        if "masked_view" in batch:
            generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
            mask = block_mask(
                len(batch["masked_view"]),
                (side, side),
                objective.mask_unit,
                objective.mask_ratio,
                generator,
            ).to(device)
        return module(
            batch.get("view1"),
            batch.get("view2"),
            batch.get("masked_view"),
            mask,
            cosine_momentum(step / num_steps, objective.momentum),
        )

    return forward


def _on_device(
    batches: Iterator[Mapping[str, Tensor]], device: torch.device
) -> Iterator[Mapping[str, Tensor]]:
    for batch in batches:
        yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in tensors.items()}
