import json
import os
from argparse import Namespace
from fractions import Fraction

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from tests.models.official_files import FILES, saved
from tests.models.test_pickled_names import MKDIR, Malicious
from vitscope.models.checkpoint import CONVERSION, read_checkpoint
from vitscope.models.convert import convert_to_safetensors
from vitscope.models.load import load


def names_in(path):
    with safe_open(path, framework="pt") as file:
        return set(file.keys())


def test_state_dicts_keep_their_entries_keys_types_and_values(tmp_path):
    content = {
        "model": {"a.weight": torch.randn(3, 5), "a.half": torch.randn(7).bfloat16()},
        "teacher": {"a.weight": torch.randn(3, 5).t()},
        "top": torch.arange(3),
    }
    torch.save({**content, "epoch": 3}, tmp_path / "a.pth")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "new" / "a.safetensors")
    assert names_in(done.path) == {"model/a.weight", "model/a.half", "teacher/a.weight", "top"}
    found = read_checkpoint(done.path)
    assert found.entries.keys() == {*content, "epoch"} and found.entries["epoch"] == 3
    assert torch.equal(found.entries["top"], content["top"])
    for holder in ("model", "teacher"):
        for key, value in content[holder].items():
            assert torch.equal(found.entries[holder][key], value)
            assert found.entries[holder][key].dtype == value.dtype
    assert (found.source_sha256, found.sha256) == (done.source_sha256, done.sha256)
    assert read_checkpoint(tmp_path / "a.pth").sha256 == done.source_sha256
    assert [path.name for path in done.path.parent.iterdir()] == ["a.safetensors"]


def test_what_is_no_state_dict_is_left_out_by_name_and_plain_values_are_kept(tmp_path):
    content = {
        "model": {"weight": torch.ones(3)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}},
        "mixed": {"weight": torch.ones(3), "note": "text"},
        "args": Namespace(lr=0.1, name="vit", crops=(0.08, 1.0)),
        "loss": float("inf"),
    }
    torch.save(content, tmp_path / "a.pth")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors")
    assert done.tensors == ("model/weight",)
    assert done.left_out == ("optimizer", "mixed", "args", "loss")
    entries = read_checkpoint(done.path).entries
    assert entries["args"] == {"lr": 0.1, "name": "vit", "crops": "(builtins.tuple)"}
    assert entries["optimizer"] == "(builtins.dict)" and entries["loss"] == float("inf")
    assert "1 tensors" in str(done) and "optimizer, mixed, args, loss" in str(done)


def test_tensors_with_two_names_are_stored_once_and_keep_both(tmp_path):
    shared, matrix = torch.randn(5, 3), torch.randn(4, 7)
    state = {"a": shared, "b": shared, "row": matrix[1], "column": matrix[:, 1], "matrix": matrix}
    same_start = {"c": shared[:1], "d": shared, "e": shared.reshape(3, 5)}
    torch.save({"model": state, "other": same_start}, tmp_path / "a.pth")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors")
    assert done.shared == {"model/b": "model/a", "other/d": "model/a"}
    assert names_in(done.path).isdisjoint(done.shared)
    entries = read_checkpoint(done.path).entries
    assert entries["model"]["a"] is entries["model"]["b"] is entries["other"]["d"]
    for holder, tensors in (("model", state), ("other", same_start)):
        for key, value in tensors.items():
            assert torch.equal(entries[holder][key], value), key


def test_empty_tensors_are_not_taken_for_one(tmp_path):
    state = {"a": torch.zeros(0), "b": torch.zeros(0, 3), "c": torch.ones(2)}
    torch.save(state, tmp_path / "a.pth")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors")
    assert set(done.tensors) == {"a", "b", "c"} and not done.shared
    assert read_checkpoint(done.path).weights()["b"].shape == (0, 3)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_file_is_refused_and_its_objects_named(tmp_path, zipped):
    path, trace = tmp_path / "a.pth", tmp_path / "executed"
    content = {"model": {"weight": torch.ones(3)}, "extra": Malicious(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        ValueError, match=f"objects that are not weights: {MKDIR}. .*convert it with trust"
    ):
        convert_to_safetensors(path, tmp_path / "a.safetensors")
    assert not trace.exists() and os.listdir(tmp_path) == ["a.pth"]


def test_trust_reads_the_objects_and_drops_them(tmp_path):
    torch.save({"model": {"w": torch.ones(3)}, "lr": Fraction(1, 3)}, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"not weights: fractions\.Fraction"):
        convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors", trust=True)
    assert read_checkpoint(done.path).entries["lr"] == "(fractions.Fraction)"


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_whole_module_becomes_its_state_dict(tmp_path, wrapped):
    module = nn.Linear(5, 3)
    torch.save({"model": module, "epoch": 3} if wrapped else module, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"not weights: torch.nn.modules.linear.Linear"):
        convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors", trust=True)
    weights = read_checkpoint(done.path).weights("model")
    assert torch.equal(weights["weight"], module.weight)


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize(
    "content", [b"", b"a page of text\n" * 40, b"\x89PNG\r\n\x1a\n" + bytes(99)]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content, trust):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected weights in|could not unpickle"):
        convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors", trust)
    assert os.listdir(tmp_path) == ["a.pth"]


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_is_refused(tmp_path, zipped, trust):
    path = tmp_path / "a.pth"
    torch.save({"w": torch.ones(300)}, path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"cut short|could not unpickle"):
        convert_to_safetensors(path, tmp_path / "a.safetensors", trust)
    assert os.listdir(tmp_path) == ["a.pth"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "expected a state dict in .*; its entries are epoch"),
        ({"a/b": torch.ones(1)}, "keys with '/' cannot be told from entries: a/b"),
        ({"model": {"a/b": torch.ones(1)}}, "keys with '/'"),
        ([torch.ones(1)], "expected a dictionary"),
    ],
)
def test_a_file_without_a_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    for trust in (False, True):
        with pytest.raises(ValueError, match=message):
            convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors", trust)


def test_nothing_is_overwritten_and_nothing_half_written_stays(tmp_path, monkeypatch):
    torch.save({"w": torch.ones(1)}, tmp_path / "a.pth")
    done = convert_to_safetensors(tmp_path / "a.pth", tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="exists; remove it, or name another file"):
        convert_to_safetensors(tmp_path / "a.pth", done.path)
    with pytest.raises(ValueError, match="is safetensors already"):
        convert_to_safetensors(done.path, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match="there is none"):
        convert_to_safetensors(tmp_path / "b.pth", tmp_path / "b.safetensors")

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("vitscope.models.convert.save_file", full)
    with pytest.raises(OSError, match="No space"):
        convert_to_safetensors(tmp_path / "a.pth", tmp_path / "b.safetensors")
    assert sorted(os.listdir(tmp_path)) == ["a.pth", "a.safetensors"]


@pytest.mark.parametrize(
    "header",
    [
        "{",
        "[]",
        "{}",
        '{"shared": {"b": "nowhere"}, "left_out": {}}',
        '{"shared": 3, "left_out": 3}',
    ],
)
def test_a_header_that_no_conversion_wrote_is_refused(tmp_path, header):
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", metadata={CONVERSION: header})
    with pytest.raises(ValueError, match="convert the file again"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_converted_file_says_what_it_was(tmp_path):
    file = FILES["beit"]()
    arguments = Namespace(imagenet_default_mean_and_std=True)
    path = saved(tmp_path / "a.pth", file.content | {"args": arguments})
    done = convert_to_safetensors(path, tmp_path / "a.safetensors")
    backbone = load(f"file:{done.path}")
    assert backbone.facts["sha256_before_conversion"] == read_checkpoint(path).sha256
    assert backbone.mean == load(f"file:{path}").mean == (0.485, 0.456, 0.406)
    header = json.loads(read_checkpoint(done.path).metadata[CONVERSION])
    assert header["source_sha256"] == read_checkpoint(path).sha256
