"""A failed start leaves nothing in the way; a damaged state is named; a save can't be broken."""

import dataclasses
import json
import os
import signal

import pytest
import torch

from tests.training.test_pretrain import stop_after, tiny
from vitscope.objectives import Hybrid
from vitscope.runs import Run
from vitscope.training.pretrain import pretrain
from vitscope.training.state import load_state, save_state


def fail_in_the_first_step(monkeypatch, folder):
    def fails(self, *inputs):
        raise ValueError("in the first step")

    with monkeypatch.context() as patch:
        patch.setattr(Hybrid, "forward", fails)
        with pytest.raises(ValueError, match="in the first step"):
            pretrain(tiny(), folder, quiet=True)
    assert Run(folder).recipe() == tiny()


def test_a_run_that_failed_in_its_first_step_makes_room_for_the_corrected_recipe(
    tmp_path, monkeypatch
):
    fail_in_the_first_step(monkeypatch, tmp_path)
    Run(tmp_path).log_path.write_text('{"step": 1, "loss": 9.0}\n')
    (tmp_path / "state.pt.partial").write_text("killed while saving")
    corrected = dataclasses.replace(tiny(), seed=1)
    run = pretrain(corrected, tmp_path, quiet=True)
    assert run.complete and run.recipe() == corrected
    assert [entry["step"] for entry in run.log()] == [1, 2, 3, 4, 5, 6]
    assert run.log()[0]["loss"] != 9.0


def test_a_failed_run_with_other_files_beside_it_is_kept(tmp_path, monkeypatch):
    fail_in_the_first_step(monkeypatch, tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="another recipe"):
        pretrain(dataclasses.replace(tiny(), seed=1), tmp_path, quiet=True)
    assert Run(tmp_path).recipe() == tiny()


@pytest.mark.parametrize("name", ["state.pt", "backbone.safetensors"])
def test_what_another_recipe_saved_is_kept(tmp_path, monkeypatch, name):
    fail_in_the_first_step(monkeypatch, tmp_path)
    (tmp_path / name).write_text("saved")
    with pytest.raises(ValueError, match="another recipe"):
        pretrain(dataclasses.replace(tiny(), seed=1), tmp_path, quiet=True)
    (tmp_path / "recipe.json").unlink()
    with pytest.raises(ValueError, match="other files"):
        pretrain(tiny(), tmp_path, quiet=True)


def linear(num_outputs=2):
    """A layer after one step, so that the optimiser has moments."""
    module = torch.nn.Linear(3, num_outputs)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return module, optimizer


def saved_state(run, module, optimizer):
    save_state(run, module, optimizer, 5)
    return torch.load(run.state_path, weights_only=True)


def without(key):
    return lambda state: {name: value for name, value in state.items() if name != key}


def with_(**changes):
    return lambda state: {**state, **changes}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {},
        lambda state: [1],
        without("step"),
        without("optimizer"),
        with_(step="5"),
        with_(module={"another": torch.zeros(2)}),
        lambda state: {**state, "module": linear(5)[0].state_dict()},
        lambda state: {**state, "optimizer": linear(5)[1].state_dict()},  # torch takes it
        with_(optimizer=torch.optim.AdamW([torch.zeros(1)]).state_dict()),
    ],
)
def test_a_state_of_another_content_is_named(tmp_path, change):
    run, (module, optimizer) = Run(tmp_path), linear()
    torch.save(change(saved_state(run, module, optimizer)), run.state_path)
    with pytest.raises(ValueError, match=r"expected a training state at .*state\.pt.* start anew"):
        load_state(run, *linear())


@pytest.mark.parametrize(
    "content", [b"", b"some text\n", b"hello", b"\x80\x02}q\x00.", b"\xff\xfe"]
)
def test_a_state_of_other_bytes_is_named(tmp_path, content):
    run = Run(tmp_path)
    run.state_path.write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a training state at .*state\.pt.* start anew"):
        load_state(run, *linear())


def test_an_intact_state_comes_back(tmp_path):
    run, (module, optimizer) = Run(tmp_path), linear()
    save_state(run, module, optimizer, 5)
    again, moments = linear()
    assert load_state(run, again, moments) == 5
    assert torch.equal(again.weight, module.weight)
    assert torch.equal(
        moments.state[again.weight]["exp_avg"], optimizer.state[module.weight]["exp_avg"]
    )


@pytest.mark.parametrize("log", [b"\xff\xfe\n", b"[1]\n7\n"])
def test_a_damaged_log_does_not_block_the_resume(tmp_path, monkeypatch, log):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        run = pretrain(tiny(), tmp_path, quiet=True)
    run.log_path.write_bytes(run.log_path.read_bytes() + log)
    run = pretrain(tiny(), tmp_path, quiet=True)
    assert run.complete
    assert [json.loads(line)["step"] for line in run.log_path.open()] == [1, 2, 3, 4, 5, 6]


def test_a_resume_with_another_number_of_threads_says_that_bits_may_differ(
    tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        pretrain(tiny(), tmp_path, quiet=True)
        stop_after(patch, 2)
        run = pretrain(tiny(), tmp_path, quiet=True)
    assert capsys.readouterr().err == ""
    facts = json.loads(run.environment_path.read_text())
    run.environment_path.write_text(json.dumps({**facts, "threads": "61"}))
    pretrain(tiny(), tmp_path, quiet=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert f"61 torch threads and goes on with {torch.get_num_threads()};" in line
    assert "may differ in the last bits" in line


@pytest.mark.parametrize("minutes", [5.0, 0.0])  # the last save alone; every step's save too
def test_signals_while_saving_wait_until_the_file_is_in_place(tmp_path, monkeypatch, minutes):
    recipe, save, calls = dataclasses.replace(tiny(), checkpoint_minutes=minutes), torch.save, []

    def interrupted_save(state, path):
        calls.append(state["step"])
        if state["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        save(state, path)

    with monkeypatch.context() as patch:
        if minutes:
            stop_after(patch, 2)
        patch.setattr(torch, "save", interrupted_save)
        run = pretrain(recipe, tmp_path, quiet=True)
    assert calls == ([2] if minutes else [1, 2, 2])
    assert torch.load(run.state_path, weights_only=True)["step"] == 2
    assert pretrain(recipe, tmp_path, quiet=True).complete


def test_a_second_signal_between_saves_still_insists(tmp_path, monkeypatch):
    recipe = dataclasses.replace(tiny(), checkpoint_minutes=0.0)
    forward, calls = Hybrid.forward, []

    def signalled(self, *inputs):
        calls.append(None)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(self, *inputs)

    monkeypatch.setattr(Hybrid, "forward", signalled)
    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe, tmp_path, quiet=True)
    assert torch.load(Run(tmp_path).state_path, weights_only=True)["step"] == 2
