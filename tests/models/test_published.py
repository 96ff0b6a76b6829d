import pytest
import torch
from torch import nn

from tests.models.official_files import FILES, saved
from tests.models.official_shapes import filled, head, plain, prefixed, with_table
from vitscope.models import published
from vitscope.models.backbone import IMAGENET_MEAN
from vitscope.models.described import UnknownHeads, num_heads
from vitscope.models.load import load
from vitscope.models.published import Published
from vitscope.models.spec import parse_spec
from vitscope.models.vit import sincos_positions

SOURCES = {name: value for name, value in vars(published).items() if isinstance(value, Published)}
SMALL = 384  # the width at which MoCo v3 has 12 heads and the others 6


def widened(weights):
    """An encoder of 384 channels and the tiny one's other sizes."""
    return {
        name: torch.zeros(
            [SMALL if side == 24 else 3 * SMALL if side == 72 else side for side in v.shape]
        )
        for name, v in weights.items()
    }


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_named_and_every_width_has_heads_that_divide_it(name):
    facts = SOURCES[name]
    repository, _, files = facts.source.partition(": ")
    assert " @ " in repository and ".py" in files and "LICENSE" in files
    assert facts.licence in {"MIT", "Apache-2.0", "CC-BY-NC-4.0"}
    spec = parse_spec("file:a.pth")
    for embed_dim, heads in facts.num_heads.items():
        assert embed_dim % heads == 0 and embed_dim // heads in (32, 64, 80)
        assert num_heads(None, embed_dim, facts, spec) == (
            heads,
            f"embed_dim {embed_dim} in {repository}",
        )
    with pytest.raises(UnknownHeads, match=r"file:a.pth\?num_heads=N"):
        num_heads(None, 100, facts, spec)


def test_moco_v3_s_small_model_has_twelve_heads_where_the_others_have_six(tmp_path):
    encoder = with_table(filled(plain()), sincos_positions(3, 3, 24))
    encoder = widened(encoder) | {"pos_embed": torch.zeros(1, 10, SMALL)}
    encoder["pos_embed"][0, 1:] = sincos_positions(3, 3, SMALL)
    state = prefixed("module.base_encoder.", encoder)
    moco = load(f"file:{saved(tmp_path / 'moco.pth', {'state_dict': state})}")
    assert (moco.num_heads, moco.facts["format"]) == (12, "moco_v3")
    assert moco.facts["heads_from"] == "embed_dim 384 in facebookresearch/moco-v3 @ c349e6e"
    dino = load(f"file:{saved(tmp_path / 'dino.pth', widened(filled(plain())))}")
    assert (dino.num_heads, dino.facts["format"]) == (6, "dino")


@pytest.mark.parametrize("name", ["moco_v3", "simmim", "beit", "dinov2 registers"])
def test_every_norm_has_the_authors_epsilon_unless_another_is_stated(tmp_path, name):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    for stated, eps in (("", 1e-6), ("&eps=1e-5", 1e-5)):
        module = load(f"{file.format}:{path}?num_heads=3{stated}").module
        norms = [each for each in module.modules() if isinstance(each, nn.LayerNorm)]
        assert len(norms) == 5 and {norm.eps for norm in norms} == {eps}


@pytest.mark.parametrize("name", FILES)
def test_pixels_are_normalised_as_the_authors_do(tmp_path, name):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    backbone = load(f"file:{path}?num_heads=3")
    by_half = name in ("beit", "beit fine-tuned")
    assert backbone.mean == ((0.5, 0.5, 0.5) if by_half else IMAGENET_MEAN)
    assert load(f"{file.format}:{path}?num_heads=3&std=1,2,3").std == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(("by_imagenet", "mean"), [(True, IMAGENET_MEAN), (False, (0.5, 0.5, 0.5))])
@pytest.mark.parametrize("name", ["beit", "beit absolute"])
def test_beit_s_arguments_say_how_pixels_were_normalised(tmp_path, name, by_imagenet, mean):
    from argparse import Namespace

    file = FILES[name]()
    arguments = Namespace(imagenet_default_mean_and_std=by_imagenet, model="beit_base")
    path = saved(tmp_path / "a.pth", file.content | {"args": arguments})
    assert load(f"file:{path}?num_heads=3").mean == mean


def test_licence_and_branch_are_said(tmp_path):
    file = FILES["moco_v3"]()
    path = saved(tmp_path / "a.pth", file.content)
    facts = load(f"file:{path}?num_heads=3").facts
    assert (facts["licence"], facts["branch"]) == ("CC-BY-NC-4.0", "base encoder")
    assert (facts["heads_from"], facts["position"]) == ("the spec", "fixed sine-cosine, row first")


@pytest.mark.parametrize(
    ("name", "branch", "message"),
    [
        ("moco_v3 linear", "momentum", "no key begins with 'momentum_encoder.'"),
        ("dino", "teacher", "no teacher in the file, it holds a backbone without branches"),
        ("dinov2 teacher", "student", "no student in the file, it holds only the teacher"),
        ("dino teacher", "momentum", "expected one of teacher, student"),
        ("mae", "teacher", "unknown options branch"),
    ],
)
def test_a_branch_that_is_not_there_is_refused(tmp_path, name, branch, message):
    file = FILES[name]()
    path = saved(tmp_path / "a.pth", file.content)
    with pytest.raises(ValueError, match=message):
        load(f"{file.format}:{path}?num_heads=3&branch={branch}")


def test_a_student_without_its_teacher_is_asked_for_by_name(tmp_path):
    file = FILES["dino student"]()
    del file.content["teacher"]
    path = saved(tmp_path / "a.pth", file.content)
    with pytest.raises(ValueError, match="no teacher in the file, it holds only the student"):
        load(f"file:{path}?num_heads=3")
    assert load(f"file:{path}?num_heads=3&branch=student").facts["branch"] == "student"


def test_simmim_s_swin_transformer_is_refused(tmp_path):
    state = {"encoder.mask_token": torch.ones(1), "encoder.layers.0.a": torch.ones(1)}
    path = saved(tmp_path / "a.pth", {"model": state | filled({"decoder.0.bias": (3,)})})
    with pytest.raises(ValueError, match="holds a Swin Transformer"):
        load(f"file:{path}")


def test_keys_with_a_prefix_and_without_are_refused(tmp_path):
    file = FILES["dino teacher"]()
    file.content["teacher"] |= {"cls_token": torch.ones(1)} | head()
    path = saved(tmp_path / "a.pth", file.content)
    with pytest.raises(ValueError, match=r"with and without 'backbone.': backbone.cls_token"):
        load(f"dino:{path}?num_heads=3")
