"""The command line: every verb of the package. Heavy imports wait until a command runs."""

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vitscope.command_line import (
    as_file_name,
    command_as_typed,
    deferred,
    file_to_write,
    folder_to_write,
    models_by_name,
    parsed,
    progress_shown,
    sources_of_probe,
)
from vitscope.recipe import Recipe, read_recipe
from vitscope.recipes import RECIPES

Positional = tyro.conf.Positional
OUT_HELP = "Folder for the report, the Table and the pictures."


def demo(out: Path = Path("demo")) -> None:
    """Compare the bundled encoders, train each objective for a minute, and write a report.

    Example: vitscope demo --out demo

    Args:
        out: Folder for the report, the Table and the runs.
    """
    from vitscope.demo import run_demo

    run_demo(out)


def measure(
    model: Positional[str],
    data: str,
    out: Path | None = None,
    measures: tuple[str, ...] = (),
    mode: str = "canonical",
    batch_size: int = 64,
    device: str | None = None,
) -> None:
    """Measure one model on images, and save the Table.

    Example: vitscope measure bundled:shape_texture_moco_v3 --data world:independent?num_images=256

    Args:
        model: timm:NAME, run:FOLDER, bundled:NAME, random:ARCH, file:PATH, mae:PATH, ...
        data: folder:PATH, cifar10:PATH or world:SPLIT?size=64.
        out: The Table, as Parquet; measures-MODEL.parquet if not given.
        measures: Names; all if none is given.
        mode: canonical, or paper for the published recipes.
        batch_size: Images per forward pass.
        device: cpu, cuda, ...; where the model is if not given.
    """
    import vitscope as vs

    backbone = vs.load(model)
    out = file_to_write(out or Path(f"measures-{as_file_name(backbone.name)}.parquet"))
    with progress_shown():
        table = vs.measure(backbone, data, measures or None, None, mode, batch_size, device)
    _say(f"{len(table):,} rows: {table.save(out)}")
    _warn(table.notes)


def evaluate(
    model: Positional[str],
    data: str,
    test: str | None = None,
    out: Path | None = None,
    batch_size: int = 256,
    device: str | None = None,
) -> None:
    """Probe every depth of one model with a linear classifier, and save the Table.

    Example: vitscope evaluate run:runs/mine --data cifar10:data?split=train

    Args:
        model: timm:NAME, run:FOLDER, bundled:NAME, random:ARCH, file:PATH, mae:PATH, ...
        data: Labelled images to fit on.
        test: Labelled images to score; for cifar10 and world found from the data if not given.
        out: The Table, as Parquet; probe-MODEL.parquet if not given.
        batch_size: Images per forward pass.
        device: cpu, cuda, ...; where the model is if not given.
    """
    import vitscope as vs

    backbone = vs.load(model)
    out = file_to_write(out or Path(f"probe-{as_file_name(backbone.name)}.parquet"))
    with progress_shown():
        table = vs.evaluate(backbone, data, test, batch_size=batch_size, device=device)
    for row in table.summary(by=("variant", "layer")).itertuples():
        interval = f"{row.mean:.1%} [{row.low:.1%}, {row.high:.1%}]"
        _say(f"{row.variant:<16} layer {row.layer}: {interval}")
    _say(f"{len(table):,} rows: {table.save(out)}")
    _warn(table.notes)


def compare(
    models: Positional[tuple[str, ...]],
    data: str,
    probe: tuple[str, ...] = (),
    out: Path = Path("report"),
    measures: tuple[str, ...] = (),
    batch_size: int = 64,
    device: str | None = None,
) -> None:
    """Measure several models on the same images, and write the report.

    Example: vitscope compare CL=run:runs/a MIM=mae:mae.pth --data folder:images

    Args:
        models: Specs, or NAME=SPEC to name them in the report.
        data: Images that all models see.
        probe: Labelled data specs to probe every depth on; TRAIN or TRAIN,TEST.
        out: Folder for the report, the Table and the pictures.
        measures: Names; all if none is given.
        batch_size: Images per forward pass.
        device: cpu, cuda, ...; where the models are if not given.
    """
    import vitscope as vs
    from vitscope.table import concat

    folder_to_write(out)  # mistakes show before anything is measured
    probed = [sources_of_probe(spec) for spec in probe]
    loaded = models_by_name(models)
    chosen = measures or None
    with progress_shown():
        tables = [vs.compare(loaded, data, chosen, batch_size=batch_size, device=device)]
        tables[0].save(out / "table.parquet")  # whatever happens to the probes
        for train, test in probed:
            tables += [vs.evaluate(model, train, test, device=device) for model in loaded.values()]
    table = concat(tables)
    table.notes["command"] = command_as_typed()
    _warn(table.notes)
    _say(f"report: {vs.report(table, out)}")


def report(tables: Positional[tuple[Path, ...]], out: Path = Path("report")) -> None:
    """Write the report of saved Tables; no model and no GPU needed.

    Example: vitscope report mine.parquet theirs.parquet --out report

    Args:
        tables: Parquet files that measure, evaluate or compare wrote.
        out: Folder for the report.
    """
    from vitscope.reporting import report as write_report
    from vitscope.table import Table

    if not tables:
        raise ValueError("expected one or more Tables (Parquet files), got none")
    _say(f"report: {write_report([Table.load(path) for path in tables], out)}")


def models(
    action: Positional[Literal["inspect", "convert"]],
    file: Positional[str],
    out: Path | None = None,
    trust: bool = False,
) -> None:
    """Say what a weight file is, or convert it to safetensors.

    Example: vitscope models inspect vit-s-300ep.pth.tar

    Args:
        action: inspect says format, sizes and what becomes of keys; convert writes safetensors.
        file: A weight file; for inspect also its spec, such as "mae:FILE?num_heads=8".
        out: What convert writes; FILE with the ending .safetensors if not given.
        trust: Convert even what runs code when it is read; only where you trust who made FILE.
    """
    if action == "inspect":
        from vitscope.models.inspect import inspect_checkpoint

        _say(str(inspect_checkpoint(file)))
    else:
        from vitscope.models.convert import convert_to_safetensors

        target = file_to_write(out or Path(file).with_suffix(".safetensors"))
        _say(str(convert_to_safetensors(file, target, trust)))


@dataclasses.dataclass(frozen=True)
class _Pretrain:
    recipe: Annotated[Recipe, tyro.conf.arg(name="")]
    out: Path | None = None
    """Run folder; runs/NAME if not given. An unfinished run in it is resumed."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: bool = False
    """Show no progress bar."""


def pretrain(arguments: Sequence[str]) -> None:
    """Pre-train by a recipe, or by a saved recipe.json; the same command resumes."""
    wanted = arguments[0] if arguments else ""
    if wanted in ("-h", "--help"):
        _say(_recipes_help())
        return
    if wanted.endswith(".json"):
        recipe = read_recipe(Path(wanted))
    elif wanted in RECIPES:
        recipe = RECIPES[wanted]()
    else:
        names = ", ".join(RECIPES)
        raise ValueError(f"expected a recipe or a recipe.json, got {wanted!r}; there are {names}")

    chosen = parsed(
        _Pretrain,
        arguments[1:],
        default=_Pretrain(recipe),
        prog=f"vitscope pretrain {arguments[0]}",
        description=f"Example: vitscope pretrain {arguments[0]} --out runs/mine --seed 1",
        config=(tyro.conf.FlagConversionOff,),
    )
    from vitscope.training.pretrain import pretrain as run_recipe

    run = run_recipe(chosen.recipe, chosen.out, device=chosen.device, quiet=chosen.quiet)
    if not run.complete:
        _say(f"stopped; saved in {run.folder}. The same command goes on from there")
        raise SystemExit(130)
    following = ["vitscope", "measure", f"run:{run.folder}", "--data", chosen.recipe.data]
    _say(f"done: {run.folder}\n  {shlex.join(following)}")
    _say(f"  import vitscope as vs; backbone = vs.load({f'run:{run.folder}'!r})")


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "measure": measure,
    "evaluate": evaluate,
    "compare": compare,
    "report": report,
    "models": models,
}


def main() -> None:
    """Run one command; a mistake in what was asked ends in one line and exit code 2."""
    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["pretrain"]:
            pretrain(arguments[1:])
        elif not arguments or arguments[0] in ("-h", "--help"):
            _say(_help())
        elif arguments[0] not in COMMANDS:
            raise ValueError(
                f"no command {arguments[0]!r}; there are pretrain, {', '.join(COMMANDS)}"
            )
        else:
            command = deferred(COMMANDS[arguments[0]])
            parsed(command, arguments[1:], prog=f"vitscope {arguments[0]}")()
    except (ValueError, OSError, FloatingPointError) as error:
        message = " ".join(str(error).split())
        print(f"vitscope: {message}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _help() -> str:
    lines = ["usage: vitscope COMMAND ...   (vitscope COMMAND --help says more)", ""]
    for name, command in {**COMMANDS, "pretrain": pretrain}.items():
        lines.append(f"  {name:<10} {(command.__doc__ or '').splitlines()[0]}")
    return "\n".join([*lines, "", "Example: vitscope demo"])


def _recipes_help() -> str:
    lines = ["usage: vitscope pretrain RECIPE|FILE.json [--FIELD VALUE ...] [--out FOLDER]", ""]
    lines += [f"  {name:<24} {(make.__doc__ or '').strip()}" for name, make in RECIPES.items()]
    return "\n".join([*lines, "", "Example: vitscope pretrain cifar10_hybrid --out runs/mine"])


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(notes: dict[str, object]) -> None:
    warnings = notes.get("warnings", [])
    for warning in warnings if isinstance(warnings, list) else []:
        print(f"vitscope: {warning}", file=sys.stderr)


if __name__ == "__main__":
    main()
