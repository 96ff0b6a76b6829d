"""What the commands share: arguments read or refused in one line, models by name, safe outputs."""

import contextlib
import functools
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro


def deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The command with its arguments given, but not run yet: parsing and running fail apart."""

    @functools.wraps(command)
    def given(*positional: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(command, *positional, **named)

    return given


def parsed(wanted: Callable[..., Any], arguments: Sequence[str], **settings: Any) -> Any:
    """What the arguments say; a mistake is a ValueError of one line, not tyro's box."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(wanted, args=list(arguments), **settings)
    except SystemExit as stopped:
        if not stopped.code:
            raise
        lines = box.getvalue().splitlines()[1:]  # the first is the box's title
        text = " ".join(re.sub(r"[\u2500-\u257f]|-{5,}", " ", line) for line in lines)
        raise ValueError(text or "the arguments can't be read") from None


def models_by_name(models: Sequence[str]) -> dict[str, Any]:
    """Backbones by the name that was given, or else by their own."""
    import vitscope as vs

    if not models:
        raise ValueError("expected one or more models, such as timm:vit_small_patch16_224.dino")
    loaded: dict[str, Any] = {}
    for entry in models:
        before, equals, after = entry.partition("=")
        # A spec has its colon before any = (random:vit?depth=6); a name has none.
        named = bool(equals) and ":" not in before
        backbone = vs.load(after, before) if named else vs.load(entry)
        name = before if named else backbone.name
        if name in loaded:
            raise ValueError(f"two models are called {name!r}; name them: NAME=SPEC")
        loaded[name] = backbone
    return loaded


def sources_of_probe(spec: str) -> tuple[Any, Any]:
    """Training and test images of TRAIN or TRAIN,TEST."""
    from vitscope.evaluation import probe_sources

    train, _, test = spec.partition(",")
    return probe_sources(train, test or None)


@contextlib.contextmanager
def progress_shown() -> Iterator[None]:
    """A bar on stderr for every pass over images, gone when it is over; none without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    from vitscope.data.watching import watched_by

    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn())
    console = Console(stderr=True)
    shown = {"console": console, "transient": True, "disable": not console.is_terminal}
    with Progress(*columns, TimeLeft(compact=True), **shown) as bars:
        current = bars.add_task("", total=None, visible=False)

        def tell(name: str, done: int, num_batches: int) -> None:
            nonlocal current
            if done == 0:
                bars.remove_task(current)
                current = bars.add_task(name, total=num_batches)
            bars.update(current, completed=done)

        with watched_by(tell):
            yield


def as_file_name(name: str) -> str:
    """A model's name as part of a file's."""
    return re.sub(r"[^\w.-]+", "_", name)


def file_to_write(path: Path) -> Path:
    """The path, if a file can be written there; said before any work is done."""
    if path.is_dir():
        raise ValueError(f"expected a file to write, got the folder {path}; name a file in it")
    folder_to_write(path.parent)
    return path


def folder_to_write(path: Path) -> None:
    """Raise ValueError unless a folder at this path exists or can be made, and be written in."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"expected a folder to write in at {path}, but {existing} is none")


def command_as_typed() -> str:
    """The command that is running, quoted so that it can be pasted into a shell."""
    return shlex.join(["vitscope", *sys.argv[1:]])
