"""Table.summary against a loop over groups, images and bootstrap replicates."""

import numpy as np
import pandas as pd

from vitscope.bootstrap import bootstrap_weights
from vitscope.table import Table


def slow_summary(frame, by):
    """The definition, group by group."""
    found = []
    for key, group in frame.groupby(by, dropna=False, sort=False):
        drawn = group["value"][group["replicate"].notna()]
        rows = group[group["replicate"].isna()]
        images = sorted(set(rows["image"].dropna()))
        if len(drawn):
            interval = (rows["value"].mean(), *np.quantile(drawn, [0.025, 0.975]), 0)
        elif not images:
            interval = (rows["value"].mean(),) * 3 + (0,)
        else:
            means = [rows["value"][rows["image"] == image].mean() for image in images]
            weights = bootstrap_weights(np.array(images, dtype=np.int64))
            draws = [(w * means).sum() / w.sum() for w in weights if w.sum()]
            interval = (np.mean(means), *np.quantile(draws, [0.025, 0.975]), len(images))
        found.append((*key, *interval))
    return found


def test_summary_is_the_loop_over_groups():
    rng = np.random.default_rng(0)
    layer, head, image = np.meshgrid(range(3), range(5), range(7), indexing="ij")
    heads = {"layer": layer.ravel(), "head": head.ravel(), "image": image.ravel()}
    scalars = pd.DataFrame({"model": "a", "measure": "m", **heads})
    fewer = scalars[scalars["image"] < 4].assign(model="b")  # another set of images
    plain = pd.DataFrame({"model": ["null", "null"], "measure": "m", "layer": [None, 1]})
    layer, draw = np.meshgrid(range(2), range(-1, 20), indexing="ij")
    draws = pd.Series(draw.ravel()).where(draw.ravel() >= 0)
    curve = pd.DataFrame({"model": "c", "layer": layer.ravel(), "replicate": draws})
    frame = pd.concat([scalars, fewer, plain, curve.assign(measure="curve")])
    table = Table(frame.assign(value=rng.normal(size=len(frame))))
    by = ["model", "measure", "layer"]
    found = table.summary(by=by)
    slow = slow_summary(table.frame.astype({"value": float, "layer": float}), by)
    assert list(found.columns) == [*by, "mean", "low", "high", "num_images"]
    assert len(found) == len(slow) == 3 + 3 + 2 + 2
    for row, expected in zip(found.itertuples(index=False), slow, strict=True):
        assert row[:2] == expected[:2]
        np.testing.assert_allclose(row[2:], expected[2:], rtol=1e-6)
