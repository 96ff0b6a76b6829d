"""Rows gathered batch by batch while measuring, and the Table they become."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from vitscope.bootstrap import NUM_REPLICATES, bootstrap_weights
from vitscope.data.source import Source
from vitscope.measures import MEASURES, Measure
from vitscope.models.backbone import Backbone
from vitscope.table import Table

SPECTRA = {declared.name for declared in MEASURES if declared.coordinates is not None}

Place = tuple[str, str, str, int, int | None]
"""Measure, variant, site, layer and other_layer of a value."""


@dataclass
class Rows:
    """Rows gathered batch by batch; curves are summed, scalars kept as float32."""

    backbone: Backbone
    source: Source
    scalars: dict[Place, list[tuple[np.ndarray, np.ndarray]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    curves: dict[Place, np.ndarray] = field(default_factory=dict)

    def add(self, place: Place, value: np.ndarray, images: np.ndarray) -> None:
        """One batch of values (image,), (image, head) or, for spectra, (image, coordinate)."""
        if place[0] in SPECTRA:
            ones = np.ones((1, len(images)))
            weights = np.concatenate([ones, bootstrap_weights(images)])
            sums = weights @ np.column_stack([value, np.ones(len(images))])
            self.curves[place] = self.curves.get(place, 0) + sums
        else:
            self.scalars[place].append((value.astype(np.float32), images))

    def table(self, chosen: Sequence[Measure]) -> Table:
        """All rows, with units, baselines and names filled in."""
        declared = {entry.name: entry for entry in chosen}
        frames = [self._scalar_rows(place, parts) for place, parts in self.scalars.items()]
        frames += [self._curve_rows(place, declared[place[0]]) for place in self.curves]
        frames += [self._baseline_rows(entry) for entry in chosen if entry.baseline is not None]
        rows = pd.concat(frames, ignore_index=True)
        rows["unit"] = rows["measure"].map({name: entry.unit for name, entry in declared.items()})
        rows["dataset"] = self.source.name
        return Table(rows)

    def _scalar_rows(
        self, place: Place, parts: list[tuple[np.ndarray, np.ndarray]]
    ) -> pd.DataFrame:
        values = np.concatenate([value for value, _ in parts])
        images = np.concatenate([indices for _, indices in parts])
        columns = _columns(self.backbone.name, place)
        if values.ndim == 1:
            return pd.DataFrame({**columns, "image": images, "value": values})
        num_heads = values.shape[1]
        return pd.DataFrame(
            {
                **columns,
                "image": np.repeat(images, num_heads),
                "head": np.tile(np.arange(num_heads), len(images)),
                "value": values.ravel(),
            }
        )

    def _curve_rows(self, place: Place, declared: Measure) -> pd.DataFrame:
        sums = self.curves[place]
        drawn = sums[:, -1] > 0  # a resample may miss every image of a tiny data set
        curves = sums[drawn, :-1] / sums[drawn, -1:]
        coordinates = declared.coordinates(self.backbone.grid).numpy()
        replicate = np.array([None, *range(NUM_REPLICATES)])[drawn]
        return pd.DataFrame(
            {
                **_columns(self.backbone.name, place),
                "replicate": np.repeat(replicate, len(coordinates)),
                "coordinate": np.tile(coordinates, len(curves)),
                "coordinate_unit": declared.coordinate_unit,
                "value": curves.ravel(),
            }
        )

    def _baseline_rows(self, declared: Measure) -> pd.DataFrame:
        value = declared.baseline(self.backbone.grid)
        row = {"model": "uniform attention", "measure": declared.name, "site": "attention"}
        row["other_model"] = self.backbone.name  # whose grid it is: another grid, another value
        return pd.DataFrame({**row, "value": [value]})


def _columns(model: str, place: Place) -> dict[str, object]:
    measure_name, variant, site, layer, other_layer = place
    return {
        "model": model,
        "measure": measure_name,
        "variant": variant,
        "site": site,
        "layer": layer,
        "other_layer": other_layer,
    }
