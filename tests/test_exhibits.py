import dataclasses

import numpy as np
import pytest
import torch

import vitscope as vs
from vitscope.data.sources import as_source
from vitscope.data.transforms import evaluation_transform
from vitscope.exhibits import attention_exhibit, reconstruction_exhibit
from vitscope.recipes import RECIPES, smoke

IMAGES = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def masked_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "masked"
    return vs.pretrain(smoke(RECIPES["cifar10_simmim"]()), folder, quiet=True)


def test_reconstructions_change_hidden_pixels_alone(masked_run):
    backbone = vs.load(f"run:{masked_run.folder}")
    arrays = reconstruction_exhibit(backbone, as_source(IMAGES), 3).arrays
    assert arrays["original"].shape == (3, 32, 32, 3)
    hidden = (arrays["masked"] != arrays["original"]).any(-1)
    # 3 of 4 squares of 2 x 2 patches: ceil(0.6 * 4); noise is next to never mid-grey.
    assert hidden.mean() == pytest.approx(0.75, abs=0.01)
    visible = (arrays["masked"] == arrays["original"]).all(-1)
    np.testing.assert_array_equal(arrays["reconstruction"][visible], arrays["original"][visible])
    assert (arrays["reconstruction"] != arrays["original"])[hidden].any()


def test_every_model_gets_the_same_mask(masked_run):
    backbone = vs.load(f"run:{masked_run.folder}")
    other = dataclasses.replace(backbone, name="other")
    first, second = (
        reconstruction_exhibit(model, as_source(IMAGES), 3).arrays for model in (backbone, other)
    )
    np.testing.assert_array_equal(first["masked"], second["masked"])


def test_a_model_without_a_decoder_has_no_reconstructions(tmp_path):
    run = vs.pretrain(smoke(RECIPES["cifar10_moco_v3"]()), tmp_path / "run", quiet=True)
    backbone = vs.load(f"run:{run.folder}")
    assert reconstruction_exhibit(backbone, as_source(IMAGES), 3) is None


def test_maps_are_the_rows_of_their_queries():
    backbone = vs.load("random:vit?image_size=32&patch_size=4&embed_dim=24&depth=2&num_heads=3")
    arrays = attention_exhibit(backbone, as_source(IMAGES), 2).arrays
    transform = evaluation_transform((32, 32), backbone.mean, backbone.std)
    images = torch.stack([transform(image) for image in IMAGES[:2]])
    query, key = last_query_and_key(backbone, images)
    scores = query @ key.mT * 8**-0.5
    for image in range(2):
        for number, (row, column) in enumerate(arrays["queries"][image]):
            token = 1 + 8 * row + column
            expected = scores[image, :, token, 1:].softmax(-1).mean(0).reshape(8, 8)
            actual = arrays["maps"][image, number, 1].astype(np.float32)
            np.testing.assert_allclose(actual, expected, atol=1e-4)


def last_query_and_key(backbone, images):
    """Query and key of the last block, by way of its linear layer alone."""
    caught = []
    hook = backbone.blocks[-1].attn.qkv.register_forward_hook(lambda *call: caught.append(call[2]))
    with torch.no_grad():
        backbone.module(images)
    hook.remove()
    query, key, _ = caught[0].reshape(len(images), 65, 3, 3, 8).permute(2, 0, 3, 1, 4)
    return query, key


def test_no_map_is_drawn_of_attention_that_does_not_explain_its_block():
    backbone = vs.load("random:vit?image_size=32&patch_size=8&embed_dim=16&depth=2&num_heads=2")
    backbone.blocks[1].attn.register_forward_hook(lambda *call: 0.5 * call[2])
    with pytest.raises(ValueError, match="block 2"):
        attention_exhibit(backbone, as_source(IMAGES), 2)
