"""What a backbone is good for: evaluation protocols that write Table rows."""

from vitscope.evaluation.evaluate import evaluate, probe_sources
from vitscope.evaluation.linear_probe import linear_probe, pixel_probe

__all__ = ["evaluate", "linear_probe", "pixel_probe", "probe_sources"]
