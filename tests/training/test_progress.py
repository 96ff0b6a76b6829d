"""What a person reads in a terminal of 80 columns is whole."""

import dataclasses
import io
import re
import time

import pytest
from rich.console import Console

from vitscope.recipes import RECIPES
from vitscope.runs import Run
from vitscope.training.progress import Progress


@pytest.mark.parametrize(
    ("num_steps", "seconds", "loss", "shown"),
    [
        (3125, 1.0, 2.131, "7/3125 loss 2.1310 128 img/s wait 6% 51:58"),
        (3125, 4.0, 2.131, "7/3125 loss 2.1310 32 img/s wait 6% 3:27:52"),
        (93750, 12.0, 12.131, "188/93750 loss 12.1310 11 img/s wait 6% 311:52:24"),
    ],
)
def test_loss_and_time_left_fit_beside_a_bar(
    tmp_path, monkeypatch, num_steps, seconds, loss, shown
):
    recipe = RECIPES["shape_texture_moco_v3"]()
    optimisation = dataclasses.replace(
        recipe.optimisation, batch_size=128, num_images=128 * num_steps
    )
    recipe = dataclasses.replace(recipe, name="mine [red] " * 9, optimisation=optimisation)
    now = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    console = Console(width=80, force_terminal=True, file=io.StringIO(), get_time=lambda: now)
    with Progress(Run(tmp_path), recipe, 0, quiet=False, console=console) as progress:
        for step in range(1, progress.every + 1):
            now += seconds
            progress.update(step, {"loss": loss}, 0.06 * seconds, 1e-3)
        now += 1.0  # the time left is renewed twice a second at most
        with console.capture() as capture:
            progress._bar.refresh()
    line = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\n]", "", capture.get())
    bar, numbers = re.fullmatch(r"(\S+) (.*?) *", line).groups()
    assert " ".join(numbers.split()) == shown
    assert len(bar) >= 12
    assert len(line) <= 80
