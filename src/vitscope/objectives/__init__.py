"""What is minimised while pre-training: MoCo v3, SimMIM and their combination."""

from vitscope.objectives.build import build_objective
from vitscope.objectives.hybrid import Hybrid
from vitscope.objectives.moco_v3 import MoCoV3, contrastive_loss
from vitscope.objectives.simmim import SimMIM, masked_l1_loss

__all__ = ["Hybrid", "MoCoV3", "SimMIM", "build_objective", "contrastive_loss", "masked_l1_loss"]
