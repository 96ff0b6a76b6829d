"""Fabric in the precision that a recipe asks for."""

from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn


class Autocast(MixedPrecision):
    """Mixed precision that leaves the inputs alone: autocast decides what runs in half precision.

    Fabric's own rounds every input to bf16 first, and with it the pixels that a masked model has
    to paint and the loss is measured against.
    """

    def convert_input(self, data: Any) -> Any:
        """The inputs as they are."""
        return data


def fabric_for(precision: str, device: str) -> Fabric:
    """One process on one device.

    Args:
        precision: "32-true", "64-true", or "bf16-mixed": weights, optimiser state and losses in
            fp32, and what lies between where torch's autocast puts it (products in bf16).
        device: Fabric's accelerator: "auto", "cpu", "cuda", "mps".

    Raises:
        ValueError: If there is no such device here.
    """
    try:
        kind = Fabric(accelerator=device, devices=1).device.type
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"expected a device that is here: auto, cpu, cuda or mps; got {device!r} ({error})"
        ) from error
    if precision == "bf16-mixed":
        return Fabric(accelerator=device, devices=1, plugins=[Autocast("bf16-mixed", kind)])
    return Fabric(accelerator=device, devices=1, precision=precision)  # pyright: ignore[reportArgumentType]


def explicit_attention(module: nn.Module, fabric: Fabric, precision: str) -> None:
    """On a CPU in mixed precision: attention as two products and a softmax, not one fused call.

    The fused call's backward pass has no fast bf16 path there: it took a third of a training step
    (benchmarks/attention_on_cpu.py). Everywhere else fused attention stays on.
    """
    if fabric.device.type == "cpu" and precision == "bf16-mixed":
        for part in module.modules():
            if hasattr(part, "fused_attn"):
                part.fused_attn = False  # pyright: ignore[reportArgumentType]  # timm's plain flag
