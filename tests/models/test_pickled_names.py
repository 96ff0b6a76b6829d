import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from vitscope.models.pickled_names import MADE_WHILE_READING, pickled_names


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


MKDIR = f"{os.mkdir.__module__}.mkdir"  # posix or nt


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
def test_what_a_pickle_would_import_is_named_and_not_imported(tmp_path, kind, protocol):
    path, trace = tmp_path / "a", tmp_path / "executed"
    content = {"weight": torch.ones(3), "twice": [Malicious(trace), Malicious(trace)]}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content["twice"], protocol))
    else:
        zipped = kind == "zip"
        torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    assert pickled_names(path) == (MKDIR,)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_two_names_from_one_module_are_both_found(tmp_path, protocol):
    path = tmp_path / "a"
    path.write_bytes(pickle.dumps([os.mkdir, os.rmdir], protocol))  # its name is written once
    assert pickled_names(path) == (MKDIR, MKDIR.replace("mkdir", "rmdir"))


def test_weights_alone_name_nothing(tmp_path):
    torch.save(
        {"weight": torch.nn.Parameter(torch.ones(3)), "half": torch.ones(3).half()}, tmp_path / "a"
    )
    save_file({"weight": torch.ones(3)}, tmp_path / "b")
    (tmp_path / "c").write_text("a page of text\n" * 40)
    (tmp_path / "d").write_bytes(b"")
    assert [pickled_names(tmp_path / name) for name in "abcd"] == [()] * 4


def test_what_is_named_before_a_file_is_cut_short_counts(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(pickle.dumps(Malicious("anywhere"), 2)[:-5])
    assert pickled_names(path) == (MKDIR,)


def test_a_name_that_is_not_plainly_there_is_said_to_be_hidden(tmp_path):
    words = [b"\x8c" + bytes([len(word)]) + word for word in (b"posix", b"system", b"a", b"b")]
    path = tmp_path / "a"
    path.write_bytes(b"\x80\x04" + b"".join(words) + b"00" + b"\x93.")  # POP POP STACK_GLOBAL
    assert pickled_names(path) == (MADE_WHILE_READING,)


def test_a_zip_that_hangs_on_to_a_pickle_hides_nothing(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "harmless")
    path = tmp_path / "a"
    path.write_bytes(pickle.dumps(Malicious("anywhere"), 2) + (tmp_path / "harmless").read_bytes())
    assert pickled_names(path) == (MKDIR,)
