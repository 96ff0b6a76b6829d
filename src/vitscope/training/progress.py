"""What a person sees while a run goes on, and the log it leaves."""

import json
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from vitscope.recipe import Recipe
from vitscope.runs import Run, write_atomically

NUM_LOG_LINES = 500  # enough for a smooth curve, small enough to commit beside the weights


class Progress:
    """Progress bar (loss, images/s, data wait, time left; fits 80 columns) and log.jsonl."""

    def __init__(
        self, run: Run, recipe: Recipe, start: int, quiet: bool, console: Console | None = None
    ) -> None:
        self.name = recipe.name
        self.batch_size = recipe.optimisation.batch_size
        self.num_steps = recipe.optimisation.num_steps
        self.every = -(-self.num_steps // NUM_LOG_LINES)
        self.start = start
        self._sums: dict[str, float] = {}
        self._count = 0
        self._waited = 0.0
        self._since = time.perf_counter()
        self._keep_log_until(run, start)
        self._log = run.log_path.open("a")  # open until __exit__
        self._bar = Bar(
            BarColumn(bar_width=24),  # what the others leave of 80; gives way where they are long
            TextColumn("{task.completed}/{task.total}"),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]} img/s"),
            TextColumn("wait {task.fields[wait]}"),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            console=console,
            disable=quiet,
            refresh_per_second=2,
        )
        self._task = self._bar.add_task(
            self.name, total=self.num_steps, completed=start, loss="-", rate="-", wait="-"
        )

    def update(self, step: int, terms: dict[str, float], waited: float, lr: float) -> None:
        """Note one finished step; write a line every so often (means since the last line)."""
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        self._waited += waited
        self._bar.update(self._task, completed=step)
        if step % self.every and step != self.num_steps:
            return
        seconds = max(time.perf_counter() - self._since, 1e-9)
        entry: dict[str, float] = {"step": step, "images": step * self.batch_size, "lr": lr}
        entry |= {name: round(total / self._count, 6) for name, total in self._sums.items()}
        entry["images_per_second"] = round(self._count * self.batch_size / seconds, 1)
        entry["data_wait"] = round(self._waited / seconds, 4)
        self._log.write(json.dumps(entry) + "\n")
        self._log.flush()
        self._bar.update(
            self._task,
            loss=f"{entry['loss']:.4f}",
            rate=f"{entry['images_per_second']:.0f}",
            wait=f"{entry['data_wait']:.0%}",
        )
        self._sums, self._count, self._waited = {}, 0, 0.0
        self._since = time.perf_counter()

    def __enter__(self) -> "Progress":
        if not self._bar.disable:  # a line of its own: names are long, and the bar needs room
            self._bar.console.print(self.name, markup=False, highlight=False)
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        self._log.close()

    @staticmethod
    def _keep_log_until(run: Run, step: int) -> None:
        """Drop lines past the step we resume from: they will be written again."""
        lines = [json.dumps(entry) for entry in run.log() if entry["step"] <= step]
        if run.log_path.exists():
            kept = "".join(line + "\n" for line in lines)
            write_atomically(run.log_path, lambda path: path.write_text(kept))
