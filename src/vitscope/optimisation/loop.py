"""The step loop: the one place where weights change."""

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import torch
from lightning_fabric import Fabric
from timm.scheduler.scheduler import Scheduler
from torch import Tensor, nn

Forward = Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
OnStep = Callable[[int, dict[str, float], float], None]


def optimise(
    fabric: Fabric,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Scheduler,
    batches: Iterator[Mapping[str, Tensor]],
    forward: Forward,
    on_step: OnStep,
    *,
    start: int,
    num_steps: int,
    seed: int,
    clip_norm: float | None,
    stopped: Callable[[], bool],
) -> int:
    """Take optimiser steps `start` to `num_steps`, or until `stopped()`.

    All randomness inside a step (stochastic depth, say) follows from `seed` and the step's number,
    and the learning rate from the number alone; so nothing but weights, optimiser state and the
    number needs to be saved to go on exactly.

    Args:
        forward: (batch, step) to a dict with a scalar ``loss`` and named terms.
        on_step: Called after each step with the number of steps done, the terms as floats, and
            the seconds waited for the batch.

    Returns:
        Number of steps done.

    Raises:
        FloatingPointError: If the loss is not finite; the weights are those before the step.
    """
    for step in range(start, num_steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited = time.perf_counter() - asked
        torch.manual_seed(seed * 1_000_003 + step)  # any injection of (seed, step) serves
        scheduler.step_update(step)
        terms = forward(batch, step)
        values = {name: term.item() for name, term in terms.items()}
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(
                f"the loss became {values['loss']} at step {step}; what was saved before is intact"
                ". Try a lower base_lr, a longer warmup, clip_norm=1.0 or precision 32-true"
            )
        optimizer.zero_grad()
        fabric.backward(terms["loss"])
        if clip_norm is not None:
            fabric.clip_gradients(module, optimizer, max_norm=clip_norm)
        optimizer.step()
        on_step(step + 1, values, waited)
        if stopped():
            return step + 1
    return num_steps


class StopRequest:
    """While entered, Ctrl-C or SIGTERM asks to stop after the running step; a second insists.

    While saving none insists: the run ends as soon as its files are in place.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._saving = False
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.received is not None

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Let the block come to its end, whatever signals arrive."""
        self._saving = True
        try:
            yield
        finally:
            self._saving = False

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and not self._saving:
            raise KeyboardInterrupt
        self.received = number
