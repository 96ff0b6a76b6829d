"""evaluate: one verb for all protocols."""

from collections.abc import Sequence

from torch import nn
from torch.utils.data import Dataset

from vitscope.axes import Images
from vitscope.data.source import Source
from vitscope.data.sources import as_source
from vitscope.evaluation.linear_probe import linear_probe, require_same_classes
from vitscope.models.backbone import Backbone
from vitscope.models.load import load
from vitscope.runs import environment
from vitscope.table import Table

PROTOCOLS = ("linear_probe",)


def evaluate(
    backbone: Backbone | nn.Module | str,
    data: Source | str | Images | Dataset,
    test: Source | str | Images | Dataset | None = None,
    protocol: str = "linear_probe",
    layers: Sequence[int] | str | None = "all",
    batch_size: int = 256,
    device: str | None = None,
) -> Table:
    """Score a backbone on labelled images.

    Args:
        backbone: A Backbone, a spec for `vitscope.load`, or a module.
        data: Training images: data spec, data set or source, labelled.
        test: Images to score, of the same classes. None: what `test_spec(data)` gives.
        protocol: "linear_probe": ridge on every depth and pooling.
        layers: "all", or depths from 0 to depth.
        batch_size: Images per forward pass.
        device: Where to run; None: where the module is.

    Returns:
        One row per test image, depth and pooling; the protocol's settings in the notes.

    Raises:
        ValueError: If the protocol is unknown, labels are missing or do not match, or there is no
            rule for the test images.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"expected protocol from {', '.join(PROTOCOLS)}, got {protocol!r}")
    train, scored = probe_sources(data, test)
    backbone = backbone if isinstance(backbone, Backbone) else load(backbone)
    if device is not None:
        backbone.to(device)
    table = linear_probe(backbone, train, scored, layers, batch_size)
    table.notes |= {"models": {backbone.name: backbone.notes()}, "versions": environment()}
    return table


def probe_sources(
    data: Source | str | Images | Dataset, test: Source | str | Images | Dataset | None = None
) -> tuple[Source, Source]:
    """Images to fit a probe on and to score it on, both with labels of the same classes.

    Args:
        data: Training images, as for `evaluate`.
        test: Test images; None: what `test_spec(data)` gives.

    Raises:
        ValueError: If there is no rule for the test images, they are the training images, or
            labels are missing or do not match.
    """
    if test is None:
        if not isinstance(data, str):
            raise ValueError("give test images: only for data specs is there a rule for them")
        as_source(data)  # first of all: is the spec right?
        test = test_spec(data)
    train, scored = as_source(data), as_source(test)
    require_same_classes(train, scored)
    if (train.origin or train.name) == (scored.origin or scored.name) and (
        (train.spec and scored.spec) or train.fingerprint() == scored.fingerprint()
    ):
        raise ValueError(
            f"expected other images to score a probe on than it was fitted on, got {train.name} "
            "twice; name other test images (of the world: another seed)"
        )
    return train, scored


def test_spec(train: str) -> str:
    """The test images that belong to a training spec.

    Args:
        train: A data spec.

    Returns:
        For cifar10 the test split; for the world the same scenes' next seed, 2,000 of them.

    Raises:
        ValueError: For other kinds, where only the caller knows.

    Example:
        >>> test_spec("world:independent?size=64&seed=0&num_images=8000")
        'world:independent?size=64&seed=1&num_images=2000'
    """
    kind, _, rest = train.partition(":")
    place, _, query = rest.partition("?")
    options = dict(pair.split("=", 1) for pair in query.split("&") if "=" in pair)
    if kind == "cifar10":
        options = {"split": "test"}
    elif kind == "world":
        options["seed"] = str(int(options.get("seed", "0")) + 1)
        options["num_images"] = "2000"
        options.pop("limit", None)
    else:
        raise ValueError(
            f"there is no rule for the test images of {train!r}; name them: --test SPEC, or "
            "--probe TRAIN,TEST, or the argument test"
        )
    return f"{kind}:{place}?" + "&".join(f"{name}={value}" for name, value in options.items())


test_spec.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]  # not a pytest test
