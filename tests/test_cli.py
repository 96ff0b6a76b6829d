import dataclasses
import shlex
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from vitscope.cli import COMMANDS
from vitscope.recipes import RECIPES, smoke
from vitscope.runs import Run
from vitscope.table import Table
from vitscope.training.pretrain import pretrain

WORLD = "world:independent?size=32&num_images=80"
MODEL = "random:vit?image_size=40&patch_size=8&embed_dim=24&depth=2&num_heads=3"


def vitscope(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "vitscope.cli", *map(str, arguments)], capture_output=True, text=True
    )


def run_here(monkeypatch, capsys, *arguments):
    """The same, in this process: torch is imported already."""
    from vitscope.cli import main

    monkeypatch.setattr(sys, "argv", ["vitscope", *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr()


@pytest.mark.parametrize("command", [*COMMANDS, "pretrain", f"pretrain {next(iter(RECIPES))}"])
def test_help_has_an_example(monkeypatch, capsys, command):
    code, printed = run_here(monkeypatch, capsys, *command.split(), "--help")
    assert code == 0
    assert "Example: vitscope " + command.split()[0] in " ".join(printed.out.split())


def test_help_does_not_import_torch():
    code = (
        "import sys; sys.argv = ['vitscope', 'compare', '--help']\n"
        "from vitscope.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_mistake_is_one_line_and_exit_code_2():
    result = vitscope("measure", "moco:vit", "--data", "world:independent")
    assert result.returncode == 2
    assert result.stderr.startswith("vitscope: expected a model as kind:name")
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mesure"], "no command 'mesure'; there are"),
        (["pretrain", "cifar"], "a recipe or a recipe.json, got 'cifar'; there are shape_texture"),
        (["pretrain"], "a recipe or a recipe.json, got ''"),
        (["measure", MODEL, "--data", "folder:/nowhere"], "nowhere"),
        (["measure", MODEL, "--data", "images"], "data spec that begins with folder:"),
        (["measure", MODEL, "--data", "world:independant"], "independent"),
        (["measure", "run:/nowhere", "--data", "world:independent"], "run folder"),
        (["measure", "bundled:nothing", "--data", "world:independent"], "no bundled model"),
        (["compare", "--data", "world:independent"], "one or more models"),
        (["compare", f"a={MODEL}", f"a={MODEL}", "--data", "world:independent"], "two models"),
        (["report", "nowhere.parquet"], "expected a Table"),
        (["report"], "expected one or more Tables"),
        (["measure", MODEL, "--data", "world:independent", "--batch-size", 0], "batch_size of 1"),
        (["measure", MODEL, "--data", "world:independent", "--device", "abacus"], "got 'abacus'"),
        (["measure", MODEL, "--data", "world:independent?num_images=0"], "at least one image"),
        (["measure", MODEL, "--dat", "world:independent"], "Missing from vitscope measure: --data"),
        (["pretrain", "cifar10_simmim", "--precision", "fp8"], "invalid choice 'fp8'"),
        (["pretrain", "cifar10_simmim", "--objective.cl-weight", "2"], "expected 0 to 1, got 2.0"),
        (["pretrain", "cifar10_simmim", "--device", "abacus", "--data", WORLD], "got 'abacus'"),
        (["compare", MODEL, "--data", "nowhere:", "--probe", "folder:/x"], "images at /x"),
        (
            ["compare", f"chance={MODEL}", "--data", "world:independent"],
            "cannot be called 'chance'",
        ),
        (["compare", f"={MODEL}", "--data", "world:independent"], "cannot be called ''"),
        (["compare", MODEL, "--data", WORLD, "--out", __file__], "a folder to write in"),
        (["measure", MODEL, "--data", WORLD, "--out", "/"], "a file to write, got the folder /"),
        (["evaluate", MODEL, "--data", WORLD, "--test", WORLD], "expected other images to score"),
        (["evaluate", MODEL, "--data", f"{WORLD}&seed=x"], "seed: expected a whole number"),
    ],
)
def test_wrong_input_says_what_was_expected(monkeypatch, capsys, arguments, message):
    code, printed = run_here(monkeypatch, capsys, *arguments)
    assert code == 2
    assert message in printed.err
    assert printed.err.count("\n") == 1 and printed.err.startswith("vitscope: ")


def test_a_misspelt_field_is_corrected(monkeypatch, capsys):
    code, printed = run_here(monkeypatch, capsys, "pretrain", "cifar10_hybrid", "--sed", "1")
    assert code == 2
    assert "--seed" in printed.err + printed.out


def test_from_training_to_a_report(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = {
        "--data": "world:independent?size=32&num_images=16",
        "--architecture.image-size": 32,
        "--architecture.embed-dim": 24,
        "--architecture.depth": 2,
        "--architecture.num-heads": 3,
        "--architecture.patch-size": 4,
        "--optimisation.batch-size": 4,
        "--optimisation.num-images": 8,
        "--objective.projector-hidden-dim": 16,
        "--out": tmp_path / "run",
        "--quiet": True,
        "--precision": "32-true",
    }
    code, printed = run_here(
        monkeypatch,
        capsys,
        "pretrain",
        "cifar10_hybrid",
        *(part for pair in settings.items() for part in pair),
    )
    assert code == 0, printed.err
    assert f"vitscope measure run:{tmp_path / 'run'}" in printed.out

    data = "world:independent?size=32&num_images=8"
    model = f"run:{tmp_path / 'run'}"
    code, printed = run_here(
        monkeypatch, capsys, "measure", model, "--data", data, "--out", tmp_path / "m.parquet"
    )
    assert code == 0, printed.err
    assert len(Table.load(tmp_path / "m.parquet")) > 0

    probe = "world:independent?size=32&num_images=40,world:independent?size=32&num_images=24&seed=1"
    train, test = probe.split(",")
    code, printed = run_here(
        monkeypatch,
        capsys,
        "evaluate",
        model,
        "--data",
        train,
        "--test",
        test,
        "--out",
        tmp_path / "p.parquet",
    )
    assert code == 0, printed.err
    assert "ridge, mean" in printed.out

    code, printed = run_here(
        monkeypatch,
        capsys,
        "compare",
        f"mine={model}",
        f"random={MODEL}",
        "--data",
        data,
        "--probe",
        probe,
        "--out",
        tmp_path / "report",
    )
    assert code == 0, printed.err
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000

    code, printed = run_here(
        monkeypatch,
        capsys,
        "report",
        tmp_path / "m.parquet",
        tmp_path / "p.parquet",
        "--out",
        tmp_path / "again",
    )
    assert code == 0, printed.err
    assert (tmp_path / "again" / "report.html").exists()


def test_a_saved_recipe_runs_again(monkeypatch, capsys, tmp_path):
    recipe = smoke(RECIPES["shape_texture_simmim"]())
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    out = tmp_path / "two words"
    arguments = (tmp_path / "recipe.json", "--seed", 3, "--out", out, "--quiet", True)
    code, printed = run_here(monkeypatch, capsys, "pretrain", *arguments)
    assert code == 0, printed.err
    assert Run(out).recipe() == dataclasses.replace(recipe, seed=3)
    shown = next(line for line in printed.out.splitlines() if "vitscope measure" in line)
    assert shlex.split(shown)[:3] == ["vitscope", "measure", f"run:{out}"]


def test_measures_can_be_left_out_and_files_are_named_after_the_model(
    monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    arguments = ("--data", WORLD, "--measures", "attention_distance", "row_entropy")
    code, printed = run_here(monkeypatch, capsys, "compare", f"my model={MODEL}", *arguments)
    assert code == 0, printed.err
    measured = Table.load(tmp_path / "report" / "table.parquet").frame["measure"]
    assert set(measured) == {"attention_distance", "row_entropy"}
    code, printed = run_here(monkeypatch, capsys, "measure", MODEL, *arguments)
    assert code == 0, printed.err
    assert len(list(tmp_path.glob("measures-*.parquet"))) == 1


def test_weight_files_are_inspected_and_converted(monkeypatch, capsys, tmp_path):
    run = pretrain(smoke(RECIPES["shape_texture_moco_v3"]()), tmp_path / "run", quiet=True)
    code, printed = run_here(monkeypatch, capsys, "models", "inspect", run.weights_path)
    assert code == 0, printed.err
    assert "vitscope" in printed.out and "depth 2" in printed.out
    state = {"model": load_file(run.weights_path)}
    torch.save(state, tmp_path / "a.pth")
    code, printed = run_here(monkeypatch, capsys, "models", "convert", tmp_path / "a.pth")
    assert code == 0, printed.err
    assert (tmp_path / "a.safetensors").exists()
    code, printed = run_here(monkeypatch, capsys, "models", "inspect", tmp_path / "nothing.pth")
    assert code == 2 and "expected a weight file" in printed.err
