import dataclasses

import pytest
import torch

from vitscope.objectives import Hybrid, MoCoV3, SimMIM, build_objective
from vitscope.objectives.masking import block_mask
from vitscope.recipe import Architecture, Objective

SMALL = Architecture(image_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3)
HEADS = Objective(projector_hidden_dim=20, projector_dim=12)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    view1, view2, masked_view = torch.randn(3, 5, 3, 32, 32, generator=generator)
    return view1, view2, masked_view, block_mask(5, (4, 4), 2, 0.6, generator)


def hybrid(cl_weight):
    return build_objective(SMALL, dataclasses.replace(HEADS, cl_weight=cl_weight), seed=3)


def pure(cl_weight):
    """The objective at an end of the scale, on an encoder of its own with the same weights."""
    other = build_objective(SMALL, dataclasses.replace(HEADS, cl_weight=0.5), seed=3)
    return other.contrastive if cl_weight == 1 else other.masked


def five_steps(module, forward):
    named = {  # a pure objective calls its parts "decoder", the hybrid "masked.decoder"
        name.removeprefix("masked.").removeprefix("contrastive."): parameter
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }
    trained = [named[name] for name in sorted(named)]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.1)
    history = []
    for step in range(5):
        loss = forward(module, *batch(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        history.append((loss.item(), [parameter.grad.clone() for parameter in trained]))
        optimizer.step()
    return history, [parameter.detach() for parameter in trained]


@pytest.mark.parametrize("cl_weight", [0.0, 1.0])
def test_each_end_is_the_pure_objective_in_loss_gradients_and_weights(cl_weight):
    def run_pure(module, view1, view2, masked_view, mask):
        if cl_weight == 1:
            return module(view1, view2, 0.99)
        return module(masked_view, mask)

    def run_hybrid(module, view1, view2, masked_view, mask):
        return module(view1, view2, masked_view, mask, 0.99)

    expected, expected_weights = five_steps(pure(cl_weight), run_pure)
    actual, weights = five_steps(hybrid(cl_weight), run_hybrid)
    assert len(weights) == len(expected_weights)
    for (loss, gradients), (expected_loss, expected_gradients) in zip(
        actual, expected, strict=True
    ):
        assert loss == expected_loss
        assert all(map(torch.equal, gradients, expected_gradients))
    assert all(map(torch.equal, weights, expected_weights))


@pytest.mark.parametrize("cl_weight", [0.0, 1.0])
def test_the_unused_branch_is_not_built_and_needs_no_inputs(cl_weight):
    module = hybrid(cl_weight)
    view1, view2, masked_view, mask = batch()
    if cl_weight == 1:
        assert module.masked is None
        terms = module(view1, view2, None, None, 0.99)
        assert "masked_loss" not in terms
    else:
        assert module.contrastive is None
        terms = module(None, None, masked_view, mask, 0.99)
        assert "contrastive_loss" not in terms
    assert terms["loss"].isfinite()


def test_the_loss_is_the_weighted_sum_of_its_terms():
    terms = hybrid(0.3)(*batch(), 0.99)
    expected = 0.7 * terms["masked_loss"] + 0.3 * terms["contrastive_loss"]
    torch.testing.assert_close(terms["loss"], expected)


def test_gradients_of_the_hybrid_are_the_weighted_gradients_of_its_parts():
    module = hybrid(0.3)
    view1, view2, masked_view, mask = batch()
    weight = module.encoder.blocks[0].attn.qkv.weight
    (masked,) = torch.autograd.grad(module.masked(masked_view, mask)["loss"], weight)
    (contrastive,) = torch.autograd.grad(module.contrastive(view1, view2, 0.99)["loss"], weight)
    fresh = hybrid(0.3)
    fresh(view1, view2, masked_view, mask, 0.99)["loss"].backward()
    actual = fresh.encoder.blocks[0].attn.qkv.weight.grad
    torch.testing.assert_close(actual, 0.7 * masked + 0.3 * contrastive)


def test_arms_start_from_the_same_encoder():
    encoders = [hybrid(cl_weight).encoder.state_dict() for cl_weight in (0.0, 0.5, 1.0)]
    for name, tensor in encoders[0].items():
        assert torch.equal(tensor, encoders[1][name])
        assert torch.equal(tensor, encoders[2][name])


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    hybrid(0.5)
    assert torch.equal(before, torch.get_rng_state())


def test_every_trained_parameter_receives_a_gradient():
    module = hybrid(0.5)
    module(*batch(), 0.99)["loss"].backward()
    without = [
        name
        for name, parameter in module.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []


def test_a_frozen_patch_projection_stays_as_it_was():
    frozen = dataclasses.replace(HEADS, cl_weight=1.0, freeze_patch_projection=True)
    module = build_objective(SMALL, frozen, seed=3)
    module(*batch()[:2], None, None, 0.99)["loss"].backward()
    assert module.encoder.patch_embed.proj.weight.grad is None
    assert module.encoder.patch_embed.proj.bias.grad is None


def test_branches_that_do_not_fit_the_weight_are_refused():
    encoder = hybrid(0.5).encoder
    with pytest.raises(ValueError, match="cl_weight in"):
        Hybrid(encoder, 1.5, None, None)
    with pytest.raises(ValueError, match="contrastive branch unless 0"):
        Hybrid(encoder, 0.5, None, SimMIM(encoder))
    with pytest.raises(ValueError, match="same encoder"):
        Hybrid(encoder, 1.0, MoCoV3(hybrid(0.5).encoder, 8, 4), None)
