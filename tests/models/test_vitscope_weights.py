import hashlib
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import deterministic
from tests.models.tiny_vits import images
from vitscope.models import vitscope_weights
from vitscope.models.load import load
from vitscope.models.vit import build_vit
from vitscope.models.vitscope_weights import save_weights
from vitscope.recipe import Architecture, Objective, Recipe

RECIPE = Recipe(
    name="tiny hybrid",
    architecture=Architecture(image_size=24, patch_size=8, embed_dim=32, depth=2, num_heads=4),
    objective=Objective(mask_unit=1),  # 3 patches a side
    seed=5,
)


def trained(recipe: Recipe = RECIPE):
    vit = build_vit(recipe.architecture).eval()
    deterministic.fill(vit)
    return vit


def run_folder(folder, recipe: Recipe = RECIPE, dtype=torch.float32):
    vit = trained(recipe)
    save_weights(vit, recipe, folder / "backbone.safetensors", dtype)
    (folder / "recipe.json").write_text(recipe.to_json())
    return vit


@pytest.mark.parametrize("position", ["sincos", "learned", "relative"])
@pytest.mark.parametrize("kind", ["run", "file"])
def test_a_run_gives_back_its_encoder(tmp_path, position, kind):
    recipe = replace(RECIPE, architecture=replace(RECIPE.architecture, position=position))
    vit = run_folder(tmp_path, recipe)
    path = tmp_path / "backbone.safetensors"
    backbone = load(f"{kind}:{tmp_path if kind == 'run' else path}")
    batch = images(backbone)
    assert backbone.module(batch).equal(vit(batch)) and not backbone.module.training
    assert backbone.name == "tiny hybrid"
    assert (backbone.depth, backbone.num_heads, backbone.embed_dim) == (2, 4, 32)
    facts = backbone.facts
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts["seed"], facts["recipe"], facts["cl_weight"]) == ("5", "tiny hybrid", "0.5")


def test_a_file_carries_its_recipe_wherever_it_goes(tmp_path):
    save_weights(trained(), RECIPE, tmp_path / "moved" / "elsewhere.safetensors")
    assert load(f"file:{tmp_path}/moved/elsewhere.safetensors").depth == 2
    assert [path.name for path in (tmp_path / "moved").iterdir()] == ["elsewhere.safetensors"]


def test_a_run_without_a_header_is_read_by_its_recipe(tmp_path):
    run_folder(tmp_path)
    path = tmp_path / "backbone.safetensors"
    save_file(load_file(path), path)
    assert load(f"run:{tmp_path}").depth == load(f"vitscope:{path}").depth == 2


def test_weights_without_a_recipe_are_refused(tmp_path):
    save_file(trained().state_dict(), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="without one the architecture is unknown"):
        load(f"vitscope:{tmp_path}/a.safetensors")


@pytest.mark.parametrize("missing", ["recipe.json", "backbone.safetensors"])
def test_an_unfinished_run_is_refused(tmp_path, missing):
    run_folder(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        load(f"run:{tmp_path}")


def test_a_recipe_of_another_run_is_refused(tmp_path):
    run_folder(tmp_path)
    other = replace(RECIPE, architecture=replace(RECIPE.architecture, num_heads=8))
    (tmp_path / "recipe.json").write_text(other.to_json())  # every shape fits all the same
    with pytest.raises(ValueError, match="describe different architectures"):
        load(f"run:{tmp_path}")


def test_a_recipe_with_unknown_fields_is_refused(tmp_path):
    run_folder(tmp_path)
    fields = json.loads(RECIPE.to_json()) | {"colour": "red"}
    (tmp_path / "recipe.json").write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="no field colour"):
        load(f"run:{tmp_path}")


def test_bundled_models_are_stored_in_float16_and_loaded_in_float32(tmp_path, monkeypatch):
    monkeypatch.setattr(vitscope_weights, "BUNDLED", tmp_path)
    vit = run_folder(tmp_path / "small", dtype=torch.float16)
    backbone = load("bundled:small")
    assert backbone.name == "small"
    for name, value in backbone.module.state_dict().items():
        assert value.dtype == torch.float32
        assert value.equal(vit.state_dict()[name].half().float()), name


def test_an_unknown_bundled_model_names_those_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(vitscope_weights, "BUNDLED", tmp_path)
    with pytest.raises(ValueError, match="none in this installation"):
        load("bundled:small")
    for name in ("one", "two"):
        run_folder(tmp_path / name)
    with pytest.raises(ValueError, match=r"no bundled model '\.\./one'; there are: one, two"):
        load("bundled:../one")
