import argparse
import hashlib
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from vitscope.models.checkpoint import read_checkpoint


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def tensors():
    return {"weight": torch.randn(3, 5), "bias": torch.randn(3)}


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod.module."])
def test_weights_are_found_under_their_holder_without_wrappers_prefixes(tmp_path, wrapper):
    held = tensors()
    wrapped = {wrapper + key: value for key, value in held.items()}
    torch.save({"epoch": 3, "model": wrapped, "args": argparse.Namespace(lr=0.1)}, tmp_path / "a")
    checkpoint = read_checkpoint(tmp_path / "a")
    assert checkpoint.entries["epoch"] == 3
    weights = checkpoint.weights("state_dict", "model")
    assert weights.keys() == held.keys()
    assert all(weights[key].equal(held[key]) for key in held)


def test_a_prefix_that_only_some_keys_have_is_no_wrapper(tmp_path):
    torch.save({"module.weight": torch.ones(1), "bias": torch.ones(1)}, tmp_path / "a")
    assert set(read_checkpoint(tmp_path / "a").weights("model")) == {"module.weight", "bias"}


def test_safetensors_are_told_by_content_and_keep_their_header(tmp_path):
    held = tensors()
    path = tmp_path / "named_otherwise.pth"
    save_file(held, path, metadata={"who": "me"})
    checkpoint = read_checkpoint(path)
    assert checkpoint.metadata == {"who": "me"}
    assert checkpoint.weights()["weight"].equal(held["weight"])
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, zipped):
    path, trace = tmp_path / "a.pth", tmp_path / "executed"
    content = {"model": tensors(), "extra": Malicious(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="objects that would run code"):
        read_checkpoint(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the file is malicious indeed
    assert trace.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_plain_malicious_pickle_is_not_executed(tmp_path):
    path, trace = tmp_path / "a.pkl", tmp_path / "executed"
    path.write_bytes(pickle.dumps(Malicious(trace)))
    with pytest.raises(ValueError, match="expected weights"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["torch", "legacy", "safetensors"])
def test_a_file_cut_short_is_refused(tmp_path, kind, kept):
    path = tmp_path / "a"
    if kind == "safetensors":
        save_file({"weight": torch.ones(300)}, path)
    else:
        torch.save({"w": torch.ones(300)}, path, _use_new_zipfile_serialization=kind == "torch")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="cut short"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "content", [b"", b"a page of text\n" * 40, b"\x89PNG\r\n\x1a\n" + bytes(99), b"\0" * 8 + b"{"]
)
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match="expected"):
        read_checkpoint(tmp_path / "a")


def test_a_foreign_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="expected weights"):
        read_checkpoint(tmp_path / "a")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="there is none"):
        read_checkpoint(tmp_path / "nothing.pth")


@pytest.mark.parametrize("content", [torch.ones(3), [torch.ones(3)]])
def test_what_is_no_dictionary_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a")
    with pytest.raises(ValueError, match="expected a dictionary of tensors"):
        read_checkpoint(tmp_path / "a")


@pytest.mark.parametrize("held", [{}, {"weight": torch.ones(1), "note": "text"}, torch.ones(1)])
def test_a_holder_of_other_things_is_refused(tmp_path, held):
    torch.save({"model": held}, tmp_path / "a")
    with pytest.raises(ValueError, match="expected tensors"):
        read_checkpoint(tmp_path / "a").weights("model")
