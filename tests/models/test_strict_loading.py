import pytest
import torch
from torch import nn

from vitscope.models.strict_loading import load_strictly


def tensors():
    return {"weight": torch.randn(3, 5), "bias": torch.randn(3)}


def test_the_report_says_what_became_of_each_key():
    module = nn.Linear(5, 3)
    weights = {key: value.half() for key, value in tensors().items()}
    report = load_strictly(
        module,
        weights | {"decoder_a": torch.ones(2), "head.b": torch.ones(2)},
        dropped=("decoder_*", "head.*"),
        source="a test",
    )
    assert (report.used, report.dropped) == (("weight", "bias"), ("decoder_a", "head.b"))
    assert report.complete and str(report) == "2 keys used, 2 dropped"
    assert module.weight.dtype == torch.float32 and module.weight.equal(weights["weight"].float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bias": None}, "1 missing: bias"),
        ({"extra": torch.ones(1)}, "1 unexpected: extra"),
        ({"bias": torch.ones(4)}, r"bias \(expected shape \(3,\), got \(4,\)\)"),
        ({"bias": torch.ones(3, dtype=torch.long)}, r"bias \(expected floating-point"),
        ({"bias": torch.full((3,), torch.nan)}, r"bias \(has values that are not finite"),
    ],
)
def test_whatever_does_not_fit_is_named_and_nothing_is_loaded(change, message):
    module = nn.Linear(5, 3)
    before = module.weight.clone()
    weights = {key: value for key, value in (tensors() | change).items() if value is not None}
    with pytest.raises(ValueError, match=f"a test does not fit.*{message}"):
        load_strictly(module, weights, dropped=(), source="a test")
    assert module.weight.equal(before)


def test_a_long_list_of_keys_is_shortened():
    weights = {f"key{index:02d}": torch.ones(1) for index in range(20)}
    with pytest.raises(ValueError, match=r"20 unexpected: key00, .*, key07 and 12 more"):
        load_strictly(nn.Identity(), weights, dropped=(), source="a test")
