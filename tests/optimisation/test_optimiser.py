import math

import pytest
import torch

from vitscope.models.vit import build_vit
from vitscope.objectives import SimMIM
from vitscope.optimisation.optimiser import adamw, schedule
from vitscope.recipe import Architecture, Optimisation
from vitscope.recipes import RECIPES

SMALL = {"image_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}


def names_by_decay(module, settings):
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = adamw(module, settings).param_groups
    return {
        group["weight_decay"]: {names[id(parameter)] for parameter in group["params"]}
        for group in groups
    }


def test_moco_v3_decays_every_trained_parameter_and_nothing_frozen():
    vit = build_vit(Architecture(**SMALL))
    groups = names_by_decay(vit, RECIPES["moco_v3_vit_s16"]().optimisation)
    trained = {name for name, parameter in vit.named_parameters() if parameter.requires_grad}
    assert groups == {0.1: trained}
    assert "pos_embed" not in trained


def test_simmim_spares_biases_vectors_and_cls_but_not_mask_token_and_bias_table():
    settings = Architecture(**SMALL, position="relative", init_values=0.1)
    simmim = SimMIM(build_vit(settings))
    groups = names_by_decay(simmim, RECIPES["simmim_vit_b16"]().optimisation)
    assert set(groups) == {0.0, 0.05}
    decayed = groups[0.05]
    assert "mask_token" in decayed
    assert "encoder.rel_pos_bias.relative_position_bias_table" in decayed
    spared = ("cls_token", "blocks.0.attn.q_bias", "blocks.0.gamma_1", "norm.weight")
    for name in (f"encoder.{name}" for name in spared):
        assert name in groups[0.0]
    assert not any(name.endswith("bias") for name in decayed)
    assert decayed | groups[0.0] == {name for name, _ in simmim.named_parameters()}


def rates(settings):
    optimizer = adamw(torch.nn.Linear(2, 2), settings)
    scheduler = schedule(optimizer, settings)
    values = []
    for step in range(settings.num_steps):
        scheduler.step_update(step)
        values.append(optimizer.param_groups[0]["lr"])
    return values


def test_cosine_follows_the_official_formula_at_every_step():
    settings = Optimisation(batch_size=64, num_images=64 * 50, base_lr=1.5e-4, warmup=0.2)
    peak = 1.5e-4 * 64 / 256
    for step, rate in enumerate(rates(settings)):
        if step < 10:
            expected = peak * step / 10
        else:
            expected = peak * 0.5 * (1 + math.cos(math.pi * (step - 10) / 40))
        assert rate == pytest.approx(expected, rel=1e-12, abs=1e-18)


def test_the_step_schedule_warms_up_from_its_own_start_and_divides_by_ten():
    settings = Optimisation(
        batch_size=512,
        num_images=512 * 80,
        base_lr=1e-4,
        lr_batch=512,
        warmup=0.1,
        warmup_lr=5e-7,
        schedule="step",
        milestone=0.875,
    )
    values = rates(settings)
    assert values[0] == pytest.approx(5e-7)
    assert values[4] == pytest.approx(5e-7 + 4 / 8 * (1e-4 - 5e-7))
    assert values[8:70] == pytest.approx([1e-4] * 62)
    assert values[70:] == pytest.approx([1e-5] * 10)


def test_the_rate_depends_on_the_step_alone():
    """So that a resumed run needs no scheduler state."""
    settings = Optimisation(batch_size=64, num_images=64 * 50)
    optimizer = adamw(torch.nn.Linear(2, 2), settings)
    schedule(optimizer, settings).step_update(33)
    assert optimizer.param_groups[0]["lr"] == rates(settings)[33]
