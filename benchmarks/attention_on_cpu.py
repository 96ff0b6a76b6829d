"""Training steps with fused and with explicit attention, side by side on this CPU.

    python benchmarks/attention_on_cpu.py --threads 1

Prints, per objective and precision, images per second of CPU time (best of `--steps` steps, each
variant in turn) and the ratio. `vitscope.optimisation.precision.explicit_attention` acts on it.
"""

import argparse
import time
from dataclasses import replace
from typing import Literal

import torch

import vitscope as vs
from vitscope.objectives import build_objective
from vitscope.optimisation.optimiser import adamw
from vitscope.optimisation.precision import fabric_for
from vitscope.recipe import Recipe
from vitscope.training.pretrain import forward_of, training_batches

OBJECTIVES = ("moco_v3", "simmim", "hybrid")
PRECISIONS: tuple[Literal["bf16-mixed", "32-true"], ...] = ("bf16-mixed", "32-true")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch_size", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(
        "| objective | precision | fused, images/s | explicit, images/s | ratio |\n"
        + "|---" * 5
        + "|"
    )
    for name in OBJECTIVES:
        recipe = vs.recipes.RECIPES[f"shape_texture_{name}"]()
        optimisation = replace(recipe.optimisation, batch_size=arguments.batch_size)
        for precision in PRECISIONS:
            made = replace(recipe, optimisation=optimisation, precision=precision)
            fused, explicit = images_per_second(made, arguments.steps)
            ratio = explicit / fused
            print(
                f"| {name} | {precision} | {fused:.1f} | {explicit:.1f} | {ratio:.2f} |", flush=True
            )


def images_per_second(recipe: Recipe, steps: int) -> tuple[float, float]:
    """CPU-time throughput with fused and with explicit attention, steps taken in turn."""
    fabric = fabric_for(recipe.precision, "cpu")
    fabric.launch()
    objective = build_objective(recipe.architecture, recipe.objective, recipe.seed)
    module, optimizer = fabric.setup(objective, adamw(objective, recipe.optimisation))
    batch = next(iter(training_batches(recipe).iterate(0)))
    forward = forward_of(module, recipe, torch.device("cpu"))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(steps):
        for fused, taken in seconds.items():
            for part in objective.modules():
                if hasattr(part, "fused_attn"):
                    part.fused_attn = fused
            start = time.process_time()
            optimizer.zero_grad()
            fabric.backward(forward(batch, 0)["loss"])
            optimizer.step()
            taken.append(time.process_time() - start)
    fused, explicit = (recipe.optimisation.batch_size / min(taken) for taken in seconds.values())
    return fused, explicit


if __name__ == "__main__":
    main()
