"""A run folder: what training leaves, and how it is written so that nothing is ever half there.

recipe.json           the resolved recipe; running it again gives the same run
backbone.safetensors  the trained encoder, timm's key names
decoder.safetensors   mask token and pixel decoder, if images were masked
log.jsonl             one line per logged step
environment.json      versions, machine, threads
state.pt              everything needed to resume; removed when the run is complete
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from vitscope.recipe import Recipe, read_recipe

REPORTED_PACKAGES = (
    "vitscope",
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "numpy",
    "pillow",
)


@dataclass(frozen=True)
class Run:
    """A run folder and its files."""

    folder: Path

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe."""
        return self.folder / "recipe.json"

    @property
    def weights_path(self) -> Path:
        """The trained encoder; present when the run is complete."""
        return self.folder / "backbone.safetensors"

    @property
    def decoder_path(self) -> Path:
        """Mask token and pixel decoder; present if images were masked."""
        return self.folder / "decoder.safetensors"

    @property
    def log_path(self) -> Path:
        """One JSON object per line."""
        return self.folder / "log.jsonl"

    @property
    def environment_path(self) -> Path:
        """Versions, machine and thread count at the start."""
        return self.folder / "environment.json"

    @property
    def state_path(self) -> Path:
        """The state to resume from; present while the run is not complete."""
        return self.folder / "state.pt"

    @property
    def saved(self) -> bool:
        """Whether there is anything to lose: a state or trained weights."""
        return self.weights_path.exists() or self.state_path.exists()

    @property
    def complete(self) -> bool:
        """Whether training reached its end."""
        return self.weights_path.exists() and not self.state_path.exists()

    def recipe(self) -> Recipe:
        """The recipe that made this run.

        Raises:
            ValueError: If the folder holds none, or it can't be read (the message begins with
                its path).
        """
        if not self.recipe_path.exists():
            raise ValueError(
                f"expected a run folder with recipe.json at {self.folder}; "
                "make one with `vitscope pretrain`"
            )
        return read_recipe(self.recipe_path)

    def log(self) -> list[dict[str, float]]:
        """Logged steps in order; a damaged line (cut off by a crash, say) is left out."""
        if not self.log_path.exists():
            return []
        entries = []
        for line in self.log_path.read_text("utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                entries.append(entry)
        return entries


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write(temporary_path)` make a file, then put it in place of `path` at once.

    Raises:
        OSError: If writing fails (a full disk, say); what was at `path` stays, and the message
            says so.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".partial")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        kept = "the previous file is intact" if path.exists() else "there was none before"
        raise OSError(f"writing {path} failed ({error}); {kept}. Free some space?") from error
    finally:
        temporary.unlink(missing_ok=True)  # after an interrupt too


def environment() -> dict[str, str]:
    """Versions and machine, for a report or a run folder."""
    facts = {"python": sys.version.split()[0], "platform": platform.platform()}
    for package in REPORTED_PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            facts[package] = "not installed as a package"
    return facts
