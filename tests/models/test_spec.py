import pytest

from vitscope.models.spec import channel_values, parse_spec, positive, sides


def test_a_spec_has_a_kind_a_name_and_options():
    spec = parse_spec("mae:some folder/vit:1.pth?num_heads=8&eps=1e-5")
    assert (spec.kind, spec.name) == ("mae", "some folder/vit:1.pth")
    assert spec.typed_options({"num_heads": int, "eps": float}) == {"num_heads": 8, "eps": 1e-5}


@pytest.mark.parametrize(
    "text", ["vit_tiny", "timm:", ":vit_tiny", "mae:a?b", "mae:a?b=", "mae:a?=1", "mae:a?b=1&b=2"]
)
def test_a_malformed_spec_is_refused_by_what_it_lacks(text):
    with pytest.raises(ValueError, match="expected"):
        parse_spec(text)


def test_unknown_options_are_refused_and_the_known_named():
    with pytest.raises(
        ValueError, match=r"unknown options heads; this source takes eps, num_heads"
    ):
        parse_spec("mae:a?heads=8").typed_options({"eps": float, "num_heads": int})


@pytest.mark.parametrize("text", ["a?n=0", "a?n=-1", "a?n=1.5", "a?n=x"])
def test_an_option_that_cannot_be_read_is_named(text):
    with pytest.raises(ValueError, match="option n="):
        parse_spec(f"mae:{text}").typed_options({"n": positive})


def test_sides_and_channels_are_read():
    assert sides("224") == (224, 224)
    assert sides("24x40") == (24, 40)
    assert channel_values("0.5,1") == (0.5, 1.0)
    for text in ("1x2x3", "0", "x"):
        with pytest.raises(ValueError):
            sides(text)
