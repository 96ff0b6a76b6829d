import hashlib

import pytest
import torch

from tests.models.official_files import FILES, saved
from tests.models.official_shapes import CHANNELS, DEPTH, HEADS
from tests.models.test_pickled_names import MKDIR, Malicious
from vitscope.models.inspect import inspect_checkpoint
from vitscope.models.vit import build_vit
from vitscope.models.vitscope_weights import save_weights
from vitscope.recipe import Architecture, Objective, Recipe


@pytest.mark.parametrize("name", FILES)
def test_every_official_file_is_described(tmp_path, name):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    found = inspect_checkpoint(f"file:{path}" + (f"?{file.query}" if file.options else ""))
    assert (found.formats, found.problem) == ((file.format,), "")
    assert (found.path, found.num_bytes) == (path, path.stat().st_size)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    model = found.model
    assert model is not None and model.report.complete
    assert (model.depth, model.embed_dim, model.num_heads) == (DEPTH, CHANNELS, HEADS)
    assert len(model.report.dropped) == file.dropped
    assert str(path) in str(found) and "problem" not in str(found)


def test_the_text_is_what_the_command_says(tmp_path):
    path = saved(tmp_path / "a.pth", FILES["simmim"]().content)
    lines = str(inspect_checkpoint(path)).splitlines()
    assert lines[2:] == [
        "holds       model: 40 tensors",
        "            optimizer: 1 entries",
        "            lr_scheduler: 1 entries",
        "            max_accuracy: 0.0",
        "            epoch: 799",
        "            config: 2 entries",
        "objects     yacs.config.CfgNode",
        "format      simmim",
        "model       Beit, encoder",
        "sizes       depth 2, embed_dim 24",
        "num_heads   3, from the table of relative positions",
        "image       12 x 12 pixels, mean (0.485, 0.456, 0.406), std (0.229, 0.224, 0.225)",
        "tokens      3 x 3 patches of 4 x 4, after 1 others",
        "used        36 keys",
        "dropped     rel_pos_bias (1), mask_token (1), decoder (2)",
    ]


def test_heads_that_nobody_states_are_said_to_be_unknown(tmp_path):
    path = saved(tmp_path / "a.pth", FILES["dino"]().content)
    found = inspect_checkpoint(str(path))
    assert found.model is not None and found.model.num_heads is None
    assert found.model.report.complete and "num_heads   not known" in str(found)
    assert "embed_dim 24 is no published size" in found.problem


def test_a_misfit_is_described_key_by_key(tmp_path):
    file = FILES["moco_v3"]()
    state = file.content["state_dict"]
    del state["module.base_encoder.norm.bias"]
    state["module.queue"] = torch.ones(3)
    state["module.base_encoder.blocks.1.norm1.bias"] = torch.full((CHANNELS,), torch.nan)
    found = inspect_checkpoint(saved(tmp_path / "a.pth", file.content))
    assert found.model is not None
    report = found.model.report
    assert (report.missing, report.unexpected) == (("norm.bias",), ("queue",))
    assert report.unusable == ("blocks.1.norm1.bias (has values that are not finite)",)
    assert "some keys do not fit" in found.problem and "unexpected  queue" in str(found)


def test_a_named_format_is_taken_for_granted(tmp_path):
    file = FILES["mae"]()
    file.content["model"]["pos_embed"] = torch.randn(1, 10, CHANNELS)
    path = saved(tmp_path / "a.pth", file.content)
    assert inspect_checkpoint(path).problem.startswith("no format fits its keys; name one")
    found = inspect_checkpoint(f"mae:{path}?num_heads=3")
    assert (found.formats, found.problem) == ((), "") and found.model is not None
    assert "format      none that vitscope knows" in str(found)


def test_a_file_without_the_keys_of_its_format_has_a_problem_and_no_model(tmp_path):
    path = saved(tmp_path / "a.pth", {"model": {"weight": torch.ones(3)}})
    found = inspect_checkpoint(f"beit:{path}")
    assert found.model is None and "expected the key 'patch_embed.proj.weight'" in found.problem


def test_a_malicious_file_is_described_without_being_read(tmp_path):
    trace = tmp_path / "executed"
    torch.save({"model": Malicious(trace)}, tmp_path / "a.pth")
    found = inspect_checkpoint(tmp_path / "a.pth")
    assert found.objects == (MKDIR,) and "objects that would run code" in found.problem
    assert not trace.exists() and f"objects     {MKDIR}" in str(found)


def test_one_of_vitscope_s_own_is_described_by_its_recipe(tmp_path):
    architecture = Architecture(image_size=12, patch_size=4, embed_dim=24, depth=2, num_heads=3)
    recipe = Recipe(name="mine", architecture=architecture, objective=Objective(mask_unit=1))
    save_weights(build_vit(architecture), recipe, tmp_path / "a.safetensors")
    found = inspect_checkpoint(tmp_path / "a.safetensors")
    assert found.model is not None and found.problem == ""
    assert (found.model.num_heads, found.model.heads_from) == (3, "its recipe")


@pytest.mark.parametrize("source", ["/nowhere/a.pth", "mae:/nowhere/a.pth"])
def test_a_file_that_is_not_there_is_an_error(source):
    with pytest.raises(ValueError, match="there is none"):
        inspect_checkpoint(source)


def test_keys_that_are_there_twice_are_a_problem_not_an_error(tmp_path):
    file = FILES["dino teacher"]()
    file.content["teacher"]["cls_token"] = torch.ones(1)
    found = inspect_checkpoint(saved(tmp_path / "a.pth", file.content))
    assert "with and without 'backbone.': backbone.cls_token" in found.problem
