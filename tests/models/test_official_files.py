"""Every official layout: which format it is, and that what is loaded computes the same."""

import pytest
import torch
from safetensors.torch import save_file

from tests import deterministic
from tests.models.official_files import FILES, OfficialFile, saved
from tests.models.official_forward import output, tokens_by_layer
from tests.models.official_shapes import CHANNELS, DEPTH, HEADS, PATCH, SIDE, filled, plain
from vitscope.models.checkpoint import read_checkpoint
from vitscope.models.convert import convert_to_safetensors
from vitscope.models.formats import FORMATS, detected_format
from vitscope.models.load import load
from vitscope.models.vit import build_vit
from vitscope.models.vitscope_weights import save_weights
from vitscope.recipe import Architecture, Recipe


def recognisers(path):
    checkpoint = read_checkpoint(path)
    return [known.name for known in FORMATS if known.recognises(checkpoint)]


def loaded(path, file: OfficialFile, kind: str):
    return load(f"{kind}:{path}" + (f"?{file.query}" if file.options else ""))


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_of_one_format_before_conversion_and_after(tmp_path, name):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    assert recognisers(path) == [file.format]
    convert_to_safetensors(path, tmp_path / "a.safetensors")
    assert recognisers(tmp_path / "a.safetensors") == [file.format]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["file", "its own", "converted"])
def test_the_loaded_encoder_computes_what_the_authors_define(tmp_path, name, kind):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    if kind == "converted":
        path = convert_to_safetensors(path, tmp_path / "a.safetensors").path
    backbone = loaded(path, file, file.format if kind == "its own" else "file")
    assert backbone.facts["format"] == file.format
    assert backbone.facts["keys"].endswith(f"used, {file.dropped} dropped")
    assert (backbone.depth, backbone.num_heads, backbone.embed_dim) == (DEPTH, HEADS, CHANNELS)
    assert (backbone.grid.height, backbone.grid.width, *backbone.patch_size) == (3, 3, 4, 4)

    images = deterministic.images(2, size=SIDE * PATCH)
    reached = []
    for block in backbone.blocks:
        block.register_forward_hook(lambda module, inputs, tokens: reached.append(tokens))
    with torch.no_grad():
        features = backbone.module.double()(images)
    expected = tokens_by_layer(file.encoder, images, HEADS)[1:]
    for tokens, correct in zip(reached, expected, strict=True):
        torch.testing.assert_close(tokens, correct, rtol=0, atol=1e-10)
    correct = output(file.encoder, images, HEADS)
    torch.testing.assert_close(features, correct, rtol=0, atol=1e-10)
    assert features.std() > 0.1 and backbone.num_prefix_tokens == expected[0].shape[1] - 9


@pytest.mark.parametrize("position", ["sincos", "learned", "relative"])
def test_vitscope_s_own_files_are_no_other_format_s(tmp_path, position):
    sizes = {"image_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3}
    recipe = Recipe(name="mine", architecture=Architecture(**sizes, position=position))
    save_weights(build_vit(recipe.architecture), recipe, tmp_path / "a.safetensors")
    assert recognisers(tmp_path / "a.safetensors") == ["vitscope"]


@pytest.mark.parametrize(
    "content",
    [
        {"model": filled(plain())},  # learned positions and no classifier: anybody's
        {"state_dict": filled(plain() | {"head.weight": (5, CHANNELS)})},
        {"state_dict": filled({"layer1.0.conv1.weight": (4, 3, 3, 3)})},
        {"epoch": 3},
    ],
)
def test_what_no_author_saves_is_of_no_format(tmp_path, content):
    path = saved(tmp_path / "a.pth", content)
    assert recognisers(path) == []
    with pytest.raises(ValueError, match=r"none that vitscope knows.*dinov2: facebookresearch"):
        load(f"file:{path}")


def test_a_file_that_could_be_of_two_formats_is_refused(tmp_path):
    file = FILES["mae"]()
    decoder = {"decoder.0.weight": torch.ones(1), "encoder.mask_token": torch.ones(1)}
    path = saved(tmp_path / "a.pth", {"model": file.encoder | decoder})
    with pytest.raises(ValueError, match="could be of the formats simmim and mae; name one"):
        detected_format(read_checkpoint(path))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["missing", "unexpected", "unusable"])
def test_a_file_that_does_not_fit_is_refused_by_key(tmp_path, name, fault):
    file = FILES[name]()
    branch = file.options.get("branch", "teacher")
    holders = [*("state_dict", "model", "module"), branch]
    holder = next((file.content[name] for name in holders if name in file.content), file.content)
    key = next(k for k in holder if k.endswith("1.mlp.fc2.bias") or k.endswith("1.mlp.w3.bias"))
    if file.options.get("branch") == "momentum":
        key = key.replace("base_encoder", "momentum_encoder")
    if fault == "missing":
        del holder[key]
    elif fault == "unexpected":
        holder[key.replace("bias", "queue")] = torch.ones(1)
    else:
        holder[key] = torch.ones(5)
    path = saved(tmp_path / "a.pth", file.content)
    with pytest.raises(ValueError, match=f"does not fit.*1 {fault}: blocks.1.mlp.fc2"):
        loaded(path, file, file.format)


def test_sizes_that_are_stated_twice_must_agree(tmp_path):
    path = saved(tmp_path / "a.pth", FILES["simmim"]().content)
    with pytest.raises(ValueError, match="table of relative positions is of 3 heads, not 6"):
        load(f"simmim:{path}?num_heads=6")
    assert load(f"simmim:{path}?num_heads=3").facts["heads_from"].startswith("the table")


@pytest.mark.parametrize(
    ("name", "image_size"), [("beit", "12x20"), ("mae", "12x20"), ("mae", "13")]
)
def test_a_size_that_the_positions_do_not_fit_is_refused(tmp_path, name, image_size):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    with pytest.raises(ValueError, match=r"do not fit 3 x 5 patches|does not fit|no multiple"):
        load(f"{name}:{path}?image_size={image_size}" + ("&num_heads=3" if file.options else ""))


def test_tables_of_no_square_grid_ask_for_the_image_s_size(tmp_path):
    file = FILES["simmim"]()
    state = file.content["model"]
    state["encoder.rel_pos_bias.relative_position_bias_table"] = torch.zeros(5 * 9 + 3, HEADS)
    path = saved(tmp_path / "a.pth", file.content)
    with pytest.raises(ValueError, match="state the image's size"):
        load(f"simmim:{path}")
    assert load(f"simmim:{path}?image_size=12x20").grid.width == 5


def test_a_flat_file_of_safetensors_is_read_as_a_pickle_is(tmp_path):
    save_file(FILES["dinov2"]().content, tmp_path / "a.safetensors")
    assert load(f"file:{tmp_path}/a.safetensors?num_heads=3").facts["format"] == "dinov2"
