import dataclasses
import json

import pytest

from vitscope.recipe import Optimisation, from_json
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
        ("architecture", "position", "sinecosine", "position: expected Literal.* got 'sinecosine'"),
        ("architecture", "depth", "6", "depth: expected int, got '6'"),
        ("architecture", "depth", True, "depth: expected int, got True"),
        ("architecture", "patch_size", 0, "patch_size: expected 1 or more, got 0"),
        ("objective", "cl_weight", 1.5, "cl_weight: expected 0 to 1, got 1.5"),
        ("objective", "mask_ratio", -0.1, "mask_ratio: expected 0 to 1"),
        ("optimisation", "batch_size", 0, "batch_size: expected 1 or more, got 0"),
        ("optimisation", "clip_norm", "none", "clip_norm: expected float . None, got 'none'"),
    ],
)
def test_a_value_of_another_type_or_range_is_refused_by_name(part, field, value, message):
    values = json.loads(RECIPES["cifar10_hybrid"]().to_json())
    values[part][field] = value
    with pytest.raises(ValueError, match=message):
        from_json(json.dumps(values))


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
