import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from tests.models.tiny_vits import SIZES, TIMM, images, tiny, tiny_torchvision
from vitscope.models import timm_source
from vitscope.models.backbone import IMAGENET_MEAN
from vitscope.models.load import load
from vitscope.models.timm_source import sha256_of_tensors
from vitscope.models.vit import build_vit
from vitscope.recipe import Architecture

SMALL = "image_size=24&patch_size=8&embed_dim=32&depth=2&num_heads=4"


@pytest.mark.parametrize("kind", TIMM)
def test_a_module_states_its_own_geometry(kind):
    module = TIMM[kind]()
    backbone = load(module, name="mine")
    assert backbone.module is module and backbone.name == "mine"
    assert backbone.blocks == tuple(module.blocks)
    assert (backbone.num_heads, backbone.embed_dim) == (4, 32)
    assert (backbone.image_size, backbone.patch_size) == ((24, 40), (8, 8))
    assert (backbone.grid.height, backbone.grid.width) == (3, 5)
    prefix = {"no_prefix": 0, "attention_pooling": 0, "registers": 5, "rope": 3}
    assert backbone.num_prefix_tokens == prefix.get(kind, 1)
    assert backbone.facts["num_parameters"] == str(sum(p.numel() for p in module.parameters()))


def test_torchvision_s_vision_transformer_is_known():
    backbone = tiny_torchvision()
    assert (backbone.depth, backbone.num_heads, backbone.embed_dim) == (2, 4, 32)
    assert (backbone.grid.height, backbone.grid.width, backbone.num_prefix_tokens) == (3, 3, 1)


def test_a_compiled_module_is_opened():
    class Compiled(nn.Module):  # as torch.compile's, which is slow to import
        def __init__(self, module):
            super().__init__()
            self._orig_mod = module

    module = VisionTransformer(**SIZES)
    assert load(Compiled(module)).module is module


def test_a_module_in_memory_keeps_its_mode():
    module = VisionTransformer(**SIZES).train()
    assert load(module).module.training
    assert not load(f"random:vit?{SMALL}").module.training


def test_a_module_that_does_not_state_its_geometry_is_told_what_is_missing():
    with pytest.raises(ValueError, match="got Linear without blocks, embed_dim, num_prefix_tokens"):
        load(nn.Linear(3, 3))
    module = VisionTransformer(**SIZES)
    module.blocks[1].attn.num_heads = 2
    with pytest.raises(ValueError, match=r"one number of heads.*\[2, 4\]"):
        load(module)
    module = VisionTransformer(**SIZES)
    module.patch_embed.img_size = (25, 40)
    with pytest.raises(ValueError, match="3 x 5 patches on 25 x 40 pixels"):
        load(module)


def test_random_weights_are_those_that_training_starts_from():
    backbone = load(f"random:vit?{SMALL}&position=relative&init_values=0.1&seed=3")
    torch.manual_seed(3)
    vit = build_vit(
        Architecture(
            image_size=24,
            patch_size=8,
            embed_dim=32,
            depth=2,
            num_heads=4,
            position="relative",
            init_values=0.1,
        )
    )
    assert sha256_of_tensors(backbone.module.state_dict()) == sha256_of_tensors(vit.state_dict())
    assert (backbone.mean, backbone.facts["seed"]) == (IMAGENET_MEAN, "3")


@pytest.mark.parametrize("name", [f"vit?{SMALL}&", "test_vit?image_size=32x48&"])
def test_random_weights_repeat_with_their_seed_and_touch_no_other_stream(name):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = (load(f"random:{name}seed={seed}") for seed in (1, 1, 2))
    assert torch.rand(1).equal(expected)
    hashes = [sha256_of_tensors(b.module.state_dict()) for b in (first, again, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_timm_s_models_take_another_size_and_their_own_normalisation():
    backbone = load("random:test_vit?image_size=32x48")
    assert backbone.image_size == (32, 48)
    assert backbone.mean == tuple(timm.get_pretrained_cfg("test_vit").mean)
    assert backbone.name == "test_vit"


def test_published_weights_are_asked_for_and_described(monkeypatch):
    asked = {}

    def create_model(name, **arguments):
        asked.update(arguments, name=name)
        return made(name, **{**arguments, "pretrained": False})

    made = timm.create_model
    monkeypatch.setattr(timm_source.timm, "create_model", create_model)
    backbone = load("timm:test_vit.r160_in1k", name="published")
    assert asked["pretrained"] is True and asked["name"] == "test_vit.r160_in1k"
    assert backbone.name == "published"
    assert backbone.facts["tag"] == "r160_in1k"
    assert backbone.facts["weights"] == "timm/test_vit.r160_in1k"
    assert backbone.facts["licence"] == "apache-2.0"
    assert backbone.facts["sha256_of_tensors"] == sha256_of_tensors(backbone.module.state_dict())


def test_a_model_without_published_weights_is_never_random_in_secret():
    with pytest.raises(ValueError, match=r"No pretrained weights exist.*random:test_vit4 is"):
        load("timm:test_vit4")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("vit_tiny", "expected a model as kind:name"),
        (
            "moon:vit",
            "kind of timm, random, run, bundled, file, vitscope, moco_v3, .*deit, got 'moon:vit'",
        ),
        ("timm:vit_smol_patch16_224", "nearest are: .*vit_small_patch16_224"),
        ("random:resnet18", "got ResNet without blocks"),
        ("random:vit?depth=two", "option depth=two"),
        ("random:vit?depth=0", "option depth=0"),
        ("random:vit?seed=99999999999999999999", "option seed=9"),
        ("random:vit?size=64", "unknown options size; this source takes image_size"),
        ("random:vit?position=round", "expected one of sincos, learned, relative"),
        ("random:vit?embed_dim=30", "embed_dim by"),
        ("run:/nowhere", "expected a run folder"),
        ("file:/nowhere", "there is none"),
    ],
)
def test_what_cannot_be_loaded_says_what_to_do(spec, message):
    with pytest.raises(ValueError, match=message):
        load(spec)


def test_a_hash_of_tensors_sees_names_types_shapes_and_values():
    base = {"a": torch.arange(6.0), "b": torch.zeros(())}
    variants = [
        base,
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"].half(), "b": base["b"]},
        {"a": base["a"].reshape(2, 3), "b": base["b"]},
        {"a": base["a"] + 1, "b": base["b"]},
    ]
    assert len({sha256_of_tensors(variant) for variant in variants}) == 5
    assert sha256_of_tensors(base) == sha256_of_tensors(dict(reversed(base.items())))


def test_a_loaded_backbone_runs():
    backbone = tiny("registers")
    assert backbone.module(images(backbone)).shape == (2, 32)
