"""A run is never lost: what was stopped, killed or starved of disk goes on exactly."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import vitscope as vs
from vitscope.recipes import RECIPES, smoke
from vitscope.runs import Run, write_atomically
from vitscope.training.pretrain import pretrain
from vitscope.training.state import load_state, save_state


def tiny(name="shape_texture_hybrid", num_images=24):
    """Six steps of four images."""
    recipe = smoke(RECIPES[name]())
    return dataclasses.replace(
        recipe,
        architecture=dataclasses.replace(recipe.architecture, drop_path=0.5),  # draws numbers
        optimisation=dataclasses.replace(recipe.optimisation, num_images=num_images),
    )


def weights(folder):
    return load_file(folder / "backbone.safetensors")


def assert_same_run(first, second):
    for name, tensor in weights(first).items():
        assert torch.equal(tensor, weights(second)[name]), name
    decoders = [load_file(folder / "decoder.safetensors") for folder in (first, second)]
    assert all(torch.equal(tensor, decoders[1][name]) for name, tensor in decoders[0].items())


def stop_after(monkeypatch, num_steps):
    """Raise SIGTERM in this process while the given step is logged."""
    from vitscope.training import pretrain as module

    class Progress(module.Progress):
        def update(self, step, *rest):
            super().update(step, *rest)
            if step == num_steps:
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(module, "Progress", Progress)


@pytest.mark.parametrize(("num_steps", "precision"), [(1, "32-true"), (4, "bf16-mixed")])
def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, monkeypatch, num_steps, precision):
    recipe = dataclasses.replace(tiny(), precision=precision)
    pretrain(recipe, tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, num_steps)
        stopped = pretrain(recipe, tmp_path / "stopped", quiet=True)
    assert not stopped.complete
    assert stopped.log()[-1]["step"] == num_steps
    assert pretrain(recipe, tmp_path / "stopped", quiet=True).complete
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    assert [entry["step"] for entry in stopped.log()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_process_group_saves_with_workers_too(tmp_path, number):
    """As a terminal's Ctrl-C and a scheduler's SIGTERM arrive: at the workers as well."""
    recipe = dataclasses.replace(tiny(num_images=40_000), num_workers=2)
    arguments = ["--num-workers", "2", "--data", recipe.data, "--out", tmp_path / "run"]
    settings = {
        "--architecture.image-size": 32, "--architecture.embed-dim": 24,
        "--architecture.depth": 1, "--architecture.num-heads": 3, "--precision": "32-true",
        "--architecture.patch-size": 8, "--optimisation.batch-size": 4,
    }  # fmt: skip
    arguments += [part for pair in settings.items() for part in pair]
    command = [sys.executable, "-m", "vitscope.cli", "pretrain", "shape_texture_hybrid"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)], start_new_session=True, stdout=subprocess.PIPE, text=True
    )
    while not (log := tmp_path / "run" / "log.jsonl").exists() or not log.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, number)
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "The same command goes on from there" in printed
    assert (tmp_path / "run" / "state.pt").exists()


def test_a_killed_run_goes_on_from_its_last_checkpoint_bit_for_bit(tmp_path):
    """kill -9 between a checkpoint and the next step; nothing gets a chance to clean up."""
    recipe = dataclasses.replace(tiny(), checkpoint_minutes=0.0)
    pretrain(recipe, tmp_path / "whole", quiet=True)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from vitscope.recipe import from_json\n"
        "from vitscope.training import pretrain as module\n"
        "class Progress(module.Progress):\n"
        "    def update(self, step, *rest):\n"
        "        super().update(step, *rest)\n"
        "        if step == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "module.Progress = Progress\n"
        "module.pretrain(from_json(Path(sys.argv[1]).read_text()), sys.argv[2], quiet=True)\n"
    )
    arguments = [str(tmp_path / "whole" / "recipe.json"), str(tmp_path / "killed")]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert pretrain(recipe, tmp_path / "killed", quiet=True).complete
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


def test_the_number_of_workers_changes_nothing(tmp_path):
    pretrain(tiny(), tmp_path / "alone", quiet=True)
    pretrain(dataclasses.replace(tiny(), num_workers=2), tmp_path / "helped", quiet=True)
    assert_same_run(tmp_path / "alone", tmp_path / "helped")


def test_a_complete_run_is_not_trained_again(tmp_path):
    run = pretrain(tiny(), tmp_path / "run", quiet=True)
    written = run.weights_path.stat().st_mtime_ns
    pretrain(tiny(), tmp_path / "run", quiet=True)
    assert run.weights_path.stat().st_mtime_ns == written
    assert not run.state_path.exists()


def test_the_folder_of_another_recipe_is_refused_and_kept(tmp_path):
    pretrain(tiny(), tmp_path / "run", quiet=True)
    other = dataclasses.replace(tiny(), seed=1)
    with pytest.raises(ValueError, match=r"another recipe.*seed: 0 there, 1 here"):
        pretrain(other, tmp_path / "run", quiet=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="other files"):
        pretrain(tiny(), tmp_path / "notes", quiet=True)
    assert (tmp_path / "notes" / "thesis.txt").read_text() == "mine"


def test_a_damaged_state_is_named(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = pretrain(tiny(), tmp_path / "run", quiet=True)
    run.state_path.write_bytes(run.state_path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"state\.pt, but it can't be used"):
        pretrain(tiny(), tmp_path / "run", quiet=True)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    from vitscope.objectives import Hybrid

    recipe = dataclasses.replace(tiny(), checkpoint_minutes=0.0)
    forward, calls = Hybrid.forward, []

    def breaks_at_the_fourth(self, *inputs):
        calls.append(None)
        terms = forward(self, *inputs)
        return {**terms, "loss": terms["loss"] * float("nan")} if len(calls) == 4 else terms

    with monkeypatch.context() as patch:
        patch.setattr(Hybrid, "forward", breaks_at_the_fourth)
        with pytest.raises(FloatingPointError, match="nan at step 3"):
            pretrain(recipe, tmp_path / "broken", quiet=True)
    pretrain(recipe, tmp_path / "whole", quiet=True)
    pretrain(recipe, tmp_path / "broken", quiet=True)
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_weights_that_are_not_finite_never_replace_a_state(tmp_path):
    run, module = Run(tmp_path), torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    save_state(run, module, optimizer, 3)
    with torch.no_grad():
        module.weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"after step 4 weights are not finite \(weight\)"):
        save_state(run, module, optimizer, 4)
    assert load_state(run, torch.nn.Linear(2, 2), optimizer) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "folder:/nowhere"}, "nowhere"),
        ({"data": "world:independent?num_images=3"}, "at least batch_size"),
    ],
)
def test_a_run_that_cannot_start_leaves_no_folder(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        pretrain(dataclasses.replace(tiny(), **change), tmp_path / "run", quiet=True)
    assert pretrain(tiny(), tmp_path / "run", quiet=True).complete


def test_corrupt_images_are_named_at_the_end(tmp_path, capsys):
    for number in range(5):
        Image.new("RGB", (9, 9)).save(tmp_path / f"{number}.png")
    (tmp_path / "5.png").write_bytes(b"no image")
    recipe = dataclasses.replace(tiny(), data=f"folder:{tmp_path}")
    pretrain(recipe, tmp_path / "run", quiet=True)
    assert "skipped 1 of 6 images that cannot be decoded: " in capsys.readouterr().err


def test_a_full_disk_leaves_the_previous_file(tmp_path):
    path = tmp_path / "state.pt"
    write_atomically(path, lambda target: target.write_text("good"))

    def fails_half_way(target):
        target.write_text("ba")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"No space left.*the previous file is intact"):
        write_atomically(path, fails_half_way)
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_runs_in_miniature_and_loads(tmp_path, name):
    run = pretrain(smoke(RECIPES[name]()), tmp_path / "run", quiet=True)
    assert run.complete
    backbone = vs.load(f"run:{run.folder}")
    assert backbone.depth == 2
    for key, tensor in weights(run.folder).items():
        assert torch.equal(backbone.module.state_dict()[key], tensor)
    assert (
        json.loads((run.folder / "environment.json").read_text())["torch"]
        == torch.__version__.split("+")[0]
    )
    assert run.recipe() == smoke(RECIPES[name]())


@pytest.mark.parametrize(
    ("cl_weight", "views"), [(0.0, {"masked_view"}), (1.0, {"view1", "view2"})]
)
def test_a_branch_without_weight_has_no_views_and_draws_no_numbers(monkeypatch, cl_weight, views):
    from vitscope.training import pretrain as module

    recipe = tiny()
    objective = dataclasses.replace(recipe.objective, cl_weight=cl_weight)
    recipe = dataclasses.replace(recipe, objective=objective)
    batches = module.training_batches(recipe)
    assert set(batches.views) == views
    masks = []
    drawn = module.block_mask
    monkeypatch.setattr(module, "block_mask", lambda *given: masks.append(1) or drawn(*given))
    built = module.build_objective(recipe.architecture, objective, recipe.seed)
    before = torch.get_rng_state()
    plain = module.build_objective(recipe.architecture, objective, recipe.seed)
    assert torch.equal(torch.get_rng_state(), before)
    module.forward_of(built, recipe, torch.device("cpu"))(next(batches.iterate(0)), 0)
    assert len(masks) == (cl_weight == 0)
    assert (built.masked is None, built.contrastive is None) == (cl_weight == 1, cl_weight == 0)
    assert plain.state_dict().keys() == built.state_dict().keys()
