"""The combination `L = (1 - cl_weight) * L_MIM + cl_weight * L_CL` on one encoder."""

from torch import Tensor, nn

from vitscope.axes import Images
from vitscope.models.vit import Encoder
from vitscope.objectives.moco_v3 import MoCoV3
from vitscope.objectives.simmim import SimMIM


class Hybrid(nn.Module):
    """MoCo v3 and SimMIM trained together; the two ends are the pure objectives.

    Each loss sees its own inputs: two contrastive views, and a third, weakly augmented and masked
    view. A branch whose weight is 0 is not built, not run and draws no random numbers.

    Args:
        encoder: The ViT that both objectives train.
        cl_weight: The paper's lambda in [0, 1]; 0 is SimMIM, 1 is MoCo v3.
        contrastive: MoCo v3 on `encoder`; None exactly when `cl_weight` is 0.
        masked: SimMIM on `encoder`; None exactly when `cl_weight` is 1.

    Raises:
        ValueError: If the weight is outside [0, 1], or the branches do not fit it or the encoder.

    Source:
        arXiv:2305.00729, section on combining the two; the paper's code was not released. Which
        views and position scheme it used is not known: these are fields of the recipe here.
    """

    def __init__(
        self,
        encoder: Encoder,
        cl_weight: float,
        contrastive: MoCoV3 | None,
        masked: SimMIM | None,
    ) -> None:
        super().__init__()
        if not 0 <= cl_weight <= 1:
            raise ValueError(f"expected cl_weight in [0, 1], got {cl_weight}")
        if (contrastive is None) != (cl_weight == 0) or (masked is None) != (cl_weight == 1):
            raise ValueError(
                f"cl_weight {cl_weight} needs the contrastive branch unless 0 and the masked "
                f"branch unless 1; got contrastive={contrastive is not None}, "
                f"masked={masked is not None}"
            )
        for branch in (contrastive, masked):
            if branch is not None and branch.encoder is not encoder:
                raise ValueError("expected both branches to train the same encoder object")
        self.encoder = encoder
        self.cl_weight = cl_weight
        self.contrastive = contrastive
        self.masked = masked

    def forward(
        self,
        view1: Images | None,
        view2: Images | None,
        masked_view: Images | None,
        mask: Tensor | None,
        momentum: float,
    ) -> dict[str, Tensor]:
        """The weighted loss of one batch, with both terms unweighted beside it.

        Args:
            view1: Contrastive view; may be None if `cl_weight` is 0, as the next.
            view2: The other contrastive view.
            masked_view: Weakly augmented view; may be None if `cl_weight` is 1, as the next.
            mask: (image, patch), true where `masked_view` is hidden.
            momentum: Of the contrastive branch's momentum encoder.

        Returns:
            ``loss`` and, for the branches that ran, ``contrastive_loss``, ``feature_std`` and
            ``masked_loss``.
        """
        terms: dict[str, Tensor] = {}
        losses: list[Tensor] = []
        if self.masked is not None:
            terms["masked_loss"] = self.masked(masked_view, mask)["loss"]
            losses.append((1 - self.cl_weight) * terms["masked_loss"])
        if self.contrastive is not None:
            contrastive = self.contrastive(view1, view2, momentum)
            terms["contrastive_loss"] = contrastive["loss"]
            terms["feature_std"] = contrastive["feature_std"]
            losses.append(self.cl_weight * contrastive["loss"])
        return {"loss": sum(losses[1:], losses[0]), **terms}
