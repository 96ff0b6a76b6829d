"""The best probe of each model, chosen on other test images than those that score it."""

from vitscope.table import Table

PROBE = "linear_probe_accuracy"
CHOICE = (
    "Depth and pooling were chosen on the test images with even numbers, and scored on those with "
    "odd numbers."
)
PLACE = ("model", "dataset", "variant", "layer")


def best_probe_rows(table: Table) -> Table:
    """The rows of each model's best depth and pooling, on images that did not choose it.

    The highest of many depths and poolings is partly luck; scored on the images that made it the
    highest, it would be too high. So test images with even ids choose, and odd ones score.

    Args:
        table: Rows of a linear probe: one per test image, depth and pooling; others are ignored.

    Returns:
        Per model and data set the rows of the odd images (0 or 1 each) at one depth and pooling;
        of equals the first. Values without an image, such as chance, stay. A model without even or
        without odd images is left out: nothing could choose, or nothing could score.

    Example:
        >>> import pandas as pd
        >>> hits = {"image": [0, 1, 0, 1], "layer": [1, 1, 2, 2], "value": [0.0, 1.0, 1.0, 0.0]}
        >>> rows = pd.DataFrame({"model": "A", "measure": "linear_probe_accuracy"} | hits)
        >>> best_probe_rows(Table(rows)).frame[["layer", "image", "value"]].values.tolist()
        [[2, 1, 0.0]]
    """
    frame = table.frame[table.frame["measure"] == PROBE]
    parity = frame["image"] % 2
    even, odd = ((parity == number).fillna(False).astype(bool) for number in (0, 1))
    places = frame.groupby(list(PLACE), dropna=False, observed=True, sort=False).ngroup()
    owners = frame.groupby(list(PLACE[:2]), dropna=False, observed=True, sort=False).ngroup()
    accuracy = frame["value"].astype("float64")[even].groupby(places[even]).mean().dropna()
    owner = owners.groupby(places).first()
    best = accuracy.groupby(owner.loc[accuracy.index]).idxmax()
    return Table(frame[odd & places.isin(best) | frame["image"].isna()], table.notes)
