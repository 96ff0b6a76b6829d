"""What must hold of every measure, checked once over `MEASURES`."""

import pytest
import torch

import vitscope.measures
from vitscope.axes import PatchGrid
from vitscope.measures import MEASURES
from vitscope.measures.attention_sums import smoothed

GRID = PatchGrid(5, 7, patch_height=16, patch_width=8)
EVERY = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
ATTENTION = pytest.mark.parametrize(
    "measure", [m for m in MEASURES if m.reads == "attention"], ids=lambda measure: measure.name
)


@pytest.fixture
def inputs(random_attention, random_tokens):
    """The tensors that a measure reads, for three images."""

    def make(measure):
        if measure.reads == "attention":
            return (random_attention(3, 2, 35, scale=2),)
        tokens = (random_tokens(3, 35, 11, seed=0), random_tokens(3, 35, 11, seed=1))
        return tokens if measure.reads == "token_pairs" else tokens[:1]

    return make


def value(measure, tensors, function=None):
    function = function or measure.function
    return function(*tensors) if measure.reads == "token_pairs" else function(*tensors, GRID)


@EVERY
def test_there_is_one_value_per_image_and_head_or_coordinate(measure, inputs):
    expected = (3, 2) if measure.reads == "attention" else (3,)
    if measure.coordinates is not None:
        expected = (3, len(measure.coordinates(GRID)))
    assert value(measure, inputs(measure)).shape == expected
    if measure.paper is not None:
        assert value(measure, inputs(measure), measure.paper).shape == expected


@EVERY
def test_an_image_is_measured_alone_whatever_its_batch_and_place(measure, inputs):
    tensors = inputs(measure)
    for function in {measure.function, measure.paper or measure.function}:
        whole = value(measure, tensors, function)
        for image in range(3):
            alone = value(measure, [tensor[image : image + 1] for tensor in tensors], function)
            torch.testing.assert_close(alone[0], whole[image])
        reordered = value(measure, [tensor[[2, 0, 1]] for tensor in tensors], function)
        torch.testing.assert_close(reordered, whole[[2, 0, 1]])


@ATTENTION
def test_a_head_is_measured_alone_whatever_its_place(measure, inputs):
    (attention,) = inputs(measure)
    torch.testing.assert_close(
        value(measure, [attention[:, [1, 0]]]), value(measure, [attention])[:, [1, 0]]
    )


@ATTENTION
@pytest.mark.parametrize("smoothing", [0.0, 1e-8])
@pytest.mark.parametrize("ends", [(35,), (1, 35), (17, 35), (1, 3, 4, 30, 35), tuple(range(1, 36))])
def test_any_split_into_query_rows_gives_the_same_as_the_whole(measure, inputs, ends, smoothing):
    (attention,) = inputs(measure)
    attention = smoothed(attention, smoothing)
    sums = [0] * len(measure.sums)
    for start, end in zip((0, *ends), ends, strict=False):
        block, rows = attention[:, :, start:end], slice(start, end)
        sums = [
            total + part(block, GRID, rows) for total, part in zip(sums, measure.sums, strict=True)
        ]
    combined = measure.combine(*sums, num_queries=35)
    torch.testing.assert_close(combined, value(measure, [attention]))


@EVERY
def test_values_lie_in_the_declared_range_even_at_the_extremes(measure, inputs):
    cases = [inputs(measure)]
    if measure.reads == "attention":
        one_key = torch.eye(35)[[3] * 35]
        for weights in (torch.eye(35), one_key, torch.full((35, 35), 1 / 35)):
            cases.append((weights.expand(3, 2, 35, 35),))
    else:
        for fill in (0.0, 1e-4, 1e4):
            cases.append([torch.full_like(tensor, fill) for tensor in inputs(measure)])
        cases.append([10.0**8 * tensor for tensor in inputs(measure)])
    for tensors in cases:
        values = value(measure, tensors)
        assert values.isfinite().all()
        assert (values >= measure.low - 1e-6).all()
        assert (values <= measure.high + 1e-6).all()


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_narrow_types_are_widened_and_give_nearly_the_same(measure, inputs, dtype):
    tensors = inputs(measure)
    narrow = value(measure, [tensor.to(dtype) for tensor in tensors])
    assert narrow.dtype == torch.float32
    tolerance = 1e-5 if dtype == torch.float32 else 1e-2
    torch.testing.assert_close(
        narrow.double(), value(measure, tensors), atol=tolerance, rtol=tolerance
    )


@EVERY
def test_autocast_does_not_reach_inside(measure, inputs):
    tensors = [tensor.float() for tensor in inputs(measure)]
    expected = value(measure, tensors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(value(measure, tensors), expected)


@EVERY
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_values(measure, inputs):
    tensors = [tensor.float() for tensor in inputs(measure)]
    for function in {measure.function, measure.paper or measure.function}:
        there = value(measure, [tensor.cuda() for tensor in tensors], function)
        assert there.is_cuda
        torch.testing.assert_close(
            there.cpu(), value(measure, tensors, function), atol=1e-5, rtol=1e-5
        )


@EVERY
def test_inputs_are_left_as_they_were(measure, inputs):
    tensors = inputs(measure)
    copies = [tensor.clone() for tensor in tensors]
    value(measure, tensors)
    for tensor, copy in zip(tensors, copies, strict=True):
        assert tensor.equal(copy)


@EVERY
def test_the_declaration_is_complete(measure):
    assert getattr(vitscope.measures, measure.name) is measure.function
    assert measure.title and measure.reading.endswith(".") and measure.source
    assert bool(measure.sums) == bool(measure.combine) == (measure.reads == "attention")
    assert (measure.coordinates is None) == (measure.coordinate_unit is None)
    for section in ("Returns:", "Raises:", "Source:", "Example:"):
        assert section in measure.function.__doc__


@ATTENTION
def test_the_baseline_is_the_value_of_uniform_attention(measure):
    if measure.baseline is not None:
        uniform = torch.full((1, 1, 35, 35), 1 / 35, dtype=torch.float64)
        assert value(measure, [uniform]).item() == pytest.approx(measure.baseline(GRID))


def test_names_are_unique():
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
