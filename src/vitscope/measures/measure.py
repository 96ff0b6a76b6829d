"""What the analysis, the tests and the report need to know about a measure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vitscope.axes import PatchGrid


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A measure's declaration; the numbers come from its functions alone.

    What `function` is given depends on `reads`:

    - ``attention``: `function(attention, grid)` with softmax weights among patches
      (image, head, query, key), rows summing to 1; it returns (image, head). So that the whole
      matrix need never exist, it is also declared as `sums` over blocks of query rows, each
      `(attention, grid, rows) -> Tensor`, and `combine(*sums, num_queries)`. A sum that several
      measures name is computed once. In paper mode the sums are of weights that were `smoothed`
      after dropping prefix tokens and before renormalising.
    - ``tokens``: `function(tokens, grid)` with patch tokens (image, patch, channel) of one layer.
    - ``token_pairs``: `function(before, after)`, the same patch tokens at two places.

    The last two return (image,), or (image, coordinate) where `coordinates(grid)` gives the places.
    """

    function: Callable[..., Tensor]
    reads: Literal["attention", "tokens", "token_pairs"]
    title: str  # as a reader knows it: "Attention distance"
    reading: str  # one sentence: what low and high values mean
    unit: str
    source: str
    low: float = float("-inf")
    high: float = float("inf")
    paper: Callable[..., Tensor] | None = None  # the published recipe; None: same as `function`
    sums: tuple[Callable[..., Tensor], ...] = ()
    combine: Callable[..., Tensor] | None = None
    smoothing: float = 0.0  # of the published recipe; see `attention_sums.smoothed`
    coordinates: Callable[[PatchGrid], Tensor] | None = None
    coordinate_unit: str | None = None
    baseline: Callable[[PatchGrid], float] | None = None  # value of uniform attention

    @property
    def name(self) -> str:
        """The name used in tables, figures and on the command line."""
        return self.function.__name__

    @property
    def display(self) -> Literal["curve", "spectrum"]:
        """Drawn against depth, or against the coordinate with one line per depth."""
        return "curve" if self.coordinates is None else "spectrum"

    def variants(self, modes: Sequence[str]) -> tuple[str, ...]:
        """Of the wanted modes those that differ here; "canonical" where the paper's is the same."""
        has_paper = self.paper is not None or self.smoothing > 0
        return tuple(modes) if has_paper else ("canonical",)
