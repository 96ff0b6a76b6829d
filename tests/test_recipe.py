import dataclasses
import json

import pytest

from vitscope.recipe import Architecture, Objective, Optimisation, from_json
from vitscope.recipes import RECIPES


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_survives_the_way_through_json(name):
    assert from_json(RECIPES[name]().to_json()) == RECIPES[name]()


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_is_found_by_its_own_name(name):
    assert RECIPES[name]().name == name


def test_an_unknown_field_is_refused_by_name():
    values = json.loads(RECIPES["cifar10_hybrid"]().to_json())
    values["objective"]["lambda"] = 0.5
    with pytest.raises(ValueError, match="objective has no field lambda"):
        from_json(json.dumps(values))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "x", "objective": 3}'])
def test_what_is_no_recipe_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        from_json(text)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        (
            "architecture",
            "position",
            "sinecosine",
            "position: expected one of sincos, learned, relative, got",
        ),
        ("architecture", "depth", "6", "depth: expected int, got '6'"),
        ("architecture", "depth", True, "depth: expected int, got True"),
        ("architecture", "patch_size", 0, "patch_size: expected 1 or more, got 0"),
        ("objective", "cl_weight", 1.5, "cl_weight: expected 0 to 1, got 1.5"),
        ("objective", "mask_ratio", -0.1, "mask_ratio: expected more than 0 and at most 1"),
        ("objective", "mask_ratio", 0, "mask_ratio: expected more than 0 and at most 1, got 0"),
        ("objective", "crop_min", 0.0, "^crop_min: expected more than 0 and at most 1, got 0.0"),
        ("objective", "mim_crop_min", 0, "mim_crop_min: expected more than 0 and at most 1"),
        ("objective", "mim_crop_min", 1.1, "mim_crop_min: expected more than 0 and at most 1"),
        ("objective", "temperature", 0, "temperature: expected more than 0, got 0"),
        ("objective", "temperature", float("nan"), "temperature: expected more than 0, got nan"),
        ("architecture", "mlp_ratio", 0, "mlp_ratio: expected more than 0, got 0"),
        ("optimisation", "base_lr", 0, "base_lr: expected more than 0, got 0"),
        ("optimisation", "clip_norm", 0, "clip_norm: expected more than 0, got 0"),
        ("architecture", "patch_size", 5, "image_size by patch_size to divide evenly, got 32 and"),
        ("architecture", "num_heads", 3, "embed_dim by num_heads to divide evenly, got 128 and 3"),
        ("objective", "mask_unit", 3, "side by mask_unit to divide evenly, got 8 and 3"),
        ("optimisation", "batch_size", 1, "batch_size: expected 2 or more where cl_weight is abo"),
        ("optimisation", "batch_size", 0, "batch_size: expected 1 or more, got 0"),
        ("optimisation", "clip_norm", "none", "clip_norm: expected float . None, got 'none'"),
    ],
)
def test_a_value_of_another_type_or_range_is_refused_by_name(part, field, value, message):
    values = json.loads(RECIPES["cifar10_hybrid"]().to_json())
    values[part][field] = value
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(values))


def test_only_the_objective_that_needs_it_limits_mask_unit_and_batch_size():
    simmim, moco = RECIPES["cifar10_simmim"](), RECIPES["cifar10_moco_v3"]()
    alone = dataclasses.replace(simmim.optimisation, batch_size=1)
    assert dataclasses.replace(simmim, optimisation=alone).optimisation.batch_size == 1
    odd = dataclasses.replace(moco.objective, mask_unit=3)
    assert dataclasses.replace(moco, objective=odd).objective.mask_unit == 3


def test_limits_that_are_included_and_no_clipping_are_allowed():
    whole = Objective(mask_ratio=1, crop_min=1, mim_crop_min=1, blur_scale=0, cl_weight=0)
    assert whole.mask_ratio == 1
    assert Optimisation(clip_norm=None, warmup_lr=0, weight_decay=0).clip_norm is None


def test_the_learning_rate_follows_the_batch():
    official = RECIPES["moco_v3_vit_s16"]().optimisation
    assert official.learning_rate == pytest.approx(2.4e-3)
    assert RECIPES["simmim_vit_b16"]().optimisation.learning_rate == pytest.approx(4e-4)


def test_the_last_batch_may_pass_the_number_of_images():
    assert Optimisation(batch_size=100, num_images=201).num_steps == 3


@pytest.mark.parametrize("group", ["cifar10", "shape_texture"])
def test_arms_of_a_comparison_differ_in_name_and_weight_alone(group):
    arms = [RECIPES[f"{group}_{arm}"]() for arm in ("moco_v3", "simmim", "hybrid")]
    same = [
        dataclasses.replace(
            arm, name="", objective=dataclasses.replace(arm.objective, cl_weight=0.5)
        )
        for arm in arms
    ]
    assert same[0] == same[1] == same[2]
    assert [arm.objective.cl_weight for arm in arms] == [1.0, 0.0, 0.5]


def test_a_width_that_no_position_table_has_is_refused():
    with pytest.raises(ValueError, match=r"embed_dim by 4 .* to divide evenly, got 6 and 4"):
        Architecture(embed_dim=6, num_heads=3)
