"""The command line: every verb of the package. Heavy imports wait until a command runs."""

import contextlib
import dataclasses
import functools
import io
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from vitscope.recipe import Recipe
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
    out: Path = Path("measures.parquet"),
    measures: tuple[str, ...] = (),
    mode: str = "canonical",
    batch_size: int = 64,
    device: str | None = None,
) -> None:
    """Measure one model on images, and save the Table.

    Example: vitscope measure bundled:shape_texture_moco_v3 --data world:independent?num_images=256

    Args:
        model: timm:NAME, run:FOLDER, bundled:NAME, random:ARCH, mae:FILE, file:PATH.
        data: folder:PATH, cifar10:PATH or world:SPLIT?size=64.
        out: The Table, as Parquet.
        measures: Names; all if none is given.
        mode: canonical, or paper for the published recipes.
        batch_size: Images per forward pass.
        device: cpu, cuda, ...; where the model is if not given.
    """
    import vitscope as vs

    table = vs.measure(model, data, measures or None, None, mode, batch_size, device)
    _say(f"{len(table):,} rows: {table.save(out)}")
    _warn(table.notes)


def evaluate(
    model: Positional[str],
    data: str,
    test: str | None = None,
    out: Path = Path("probe.parquet"),
    batch_size: int = 256,
    device: str | None = None,
) -> None:
    """Probe every depth of one model with a linear classifier, and save the Table.

    Example: vitscope evaluate run:runs/mine --data cifar10:data?split=train

    Args:
        model: timm:NAME, run:FOLDER, bundled:NAME, random:ARCH, mae:FILE, file:PATH.
        data: Labelled images to fit on.
        test: Labelled images to score; for cifar10 and world found from the data if not given.
        out: The Table, as Parquet.
        batch_size: Images per forward pass.
        device: cpu, cuda, ...; where the model is if not given.
    """
    import vitscope as vs

    table = vs.evaluate(model, data, test, batch_size=batch_size, device=device)
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
        batch_size: Images per forward pass.
        device: cpu, cuda, ...; where the models are if not given.
    """
    import vitscope as vs
    from vitscope.table import concat

    probed = [_probe_sources(spec) for spec in probe]  # a mistake shows before anything is measured
    loaded = {name: vs.load(spec, name) for name, spec in _named(models).items()}
    tables = [vs.compare(loaded, data, batch_size=batch_size, device=device)]
    tables[0].save(out / "table.parquet")  # whatever happens to the probes
    for train, test in probed:
        tables += [vs.evaluate(model, train, test, device=device) for model in loaded.values()]
    table = concat(tables)
    table.notes["command"] = _command()
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
    """Pre-train by a recipe; the same command resumes."""
    if not arguments or arguments[0] not in RECIPES:
        wanted = arguments[0] if arguments else ""
        if wanted in ("", "-h", "--help"):
            _say(_recipes_help())
            raise SystemExit(0 if wanted else 2)
        raise ValueError(f"no recipe {wanted!r}; there are {', '.join(RECIPES)}")
    recipe = RECIPES[arguments[0]]()

    chosen = _parsed(
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
    _say(f"done: {run.folder}\n  vitscope measure run:{run.folder} --data {chosen.recipe.data}")
    _say(f'  import vitscope as vs; backbone = vs.load("run:{run.folder}")')


COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "measure": measure,
    "evaluate": evaluate,
    "compare": compare,
    "report": report,
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
            command = _deferred(COMMANDS[arguments[0]])
            _parsed(command, arguments[1:], prog=f"vitscope {arguments[0]}")()
    except (ValueError, OSError, FloatingPointError) as error:
        message = " ".join(str(error).split())
        print(f"vitscope: {message}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _deferred(command: Callable[..., None]) -> Callable[..., Callable[[], None]]:
    """The command with its arguments given, but not run yet: parsing and running fail apart."""

    @functools.wraps(command)
    def given(*positional: Any, **named: Any) -> Callable[[], None]:
        return functools.partial(command, *positional, **named)

    return given


def _parsed(wanted: Callable[..., Any], arguments: Sequence[str], **settings: Any) -> Any:
    """What the arguments say; a mistake is a ValueError of one line, not tyro's box."""
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            return tyro.cli(wanted, args=list(arguments), **settings)
    except SystemExit as stopped:
        if not stopped.code:
            raise
        lines = box.getvalue().splitlines()[1:]  # the first is the box's title
        text = " ".join(re.sub(r"[\u2500-\u257f]", " ", line) for line in lines)
        raise ValueError(text or "the arguments can't be read") from None


def _probe_sources(spec: str) -> tuple[Any, Any]:
    from vitscope.evaluation import probe_sources

    train, _, test = spec.partition(",")
    return probe_sources(train, test or None)


def _named(models: Sequence[str]) -> dict[str, str]:
    if not models:
        raise ValueError("expected one or more models, such as timm:vit_small_patch16_224.dino")
    named: dict[str, str] = {}
    for entry in models:
        before, equals, after = entry.partition("=")
        # A spec has its colon before any = (random:vit?depth=6); a name has none.
        name, spec = (before, after) if equals and ":" not in before else (entry, entry)
        if name in named:
            raise ValueError(f"two models are called {name!r}; name them: NAME=SPEC")
        named[name] = spec
    return named


def _help() -> str:
    lines = ["usage: vitscope COMMAND ...   (vitscope COMMAND --help says more)", ""]
    for name, command in {**COMMANDS, "pretrain": pretrain}.items():
        lines.append(f"  {name:<10} {(command.__doc__ or '').splitlines()[0]}")
    return "\n".join([*lines, "", "Example: vitscope demo"])


def _recipes_help() -> str:
    lines = ["usage: vitscope pretrain RECIPE [--FIELD VALUE ...] [--out FOLDER]", ""]
    lines += [f"  {name:<24} {(make.__doc__ or '').strip()}" for name, make in RECIPES.items()]
    return "\n".join([*lines, "", "Example: vitscope pretrain cifar10_hybrid --out runs/mine"])


def _command() -> str:
    return " ".join(["vitscope", *sys.argv[1:]])


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(notes: dict[str, object]) -> None:
    warnings = notes.get("warnings", [])
    for warning in warnings if isinstance(warnings, list) else []:
        print(f"vitscope: {warning}", file=sys.stderr)


if __name__ == "__main__":
    main()
