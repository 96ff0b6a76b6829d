"""One batch through one Backbone, as named tensors; and the checks that they are what they say."""

from vitscope.tracing.block_check import SelfCheck, require_self_check, self_check
from vitscope.tracing.captured_attention import CapturedAttention
from vitscope.tracing.sites import SITES, Site, Trace, trace

__all__ = [
    "SITES",
    "CapturedAttention",
    "SelfCheck",
    "Site",
    "Trace",
    "require_self_check",
    "self_check",
    "trace",
]
