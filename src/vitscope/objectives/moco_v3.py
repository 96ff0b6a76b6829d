"""MoCo v3: two views of an image must find each other among the batch (contrastive, CL)."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitscope.axes import Images
from vitscope.models.vit import Encoder
from vitscope.objectives.heads import mlp_head
from vitscope.objectives.momentum import frozen_copy, update_momentum

Features = Float[Tensor, "image feature"]


class MoCoV3(nn.Module):
    """Encoder, projector and predictor, with a momentum copy of the first two.

    Args:
        encoder: A timm ViT; `forward_features` gives normalised tokens, CLS first.
        projector_hidden_dim: Hidden width of projector and predictor; 4096 in the paper.
        projector_dim: Output width; 256 in the paper.
        temperature: Softmax temperature; 0.2 for ViTs.

    Source:
        moco-v3 `moco/builder.py` (`MoCo_ViT`). Differs in nothing that changes numbers.
    """

    def __init__(
        self,
        encoder: Encoder,
        projector_hidden_dim: int = 4096,
        projector_dim: int = 256,
        temperature: float = 0.2,
    ) -> None:
        super().__init__()
        hidden = projector_hidden_dim
        self.encoder = encoder
        self.projector = mlp_head([encoder.num_features, hidden, hidden, projector_dim])
        self.predictor = mlp_head([projector_dim, hidden, projector_dim])
        self.momentum_encoder = frozen_copy(encoder)
        self.momentum_projector = frozen_copy(self.projector)
        self.temperature = temperature

    def forward(self, view1: Images, view2: Images, momentum: float) -> dict[str, Tensor]:
        """The symmetrised loss of one batch.

        The momentum copies move after the queries and before the keys are computed, as in the
        original. Views go through the network one by one: batch norm sees one view at a time.

        Args:
            view1: First augmented copies (image, channel, height, width).
            view2: Second augmented copies, in the same order.
            momentum: Of the momentum copies in this step, in [0, 1].

        Returns:
            ``loss`` (scalar; at chance 4 * temperature * ln(number of keys)), and for monitoring
            ``feature_std``: `relative_std` of the momentum encoder's CLS features.
        """
        query1, query2 = self.queries(view1), self.queries(view2)
        with torch.no_grad():
            update_momentum(self.momentum_encoder, self.encoder, momentum)
            update_momentum(self.momentum_projector, self.projector, momentum)
            features = cls_features(self.momentum_encoder, view1)
            key1 = self.momentum_projector(features)
            key2 = self.momentum_projector(cls_features(self.momentum_encoder, view2))
        loss = contrastive_loss(query1, key2, self.temperature)
        loss = loss + contrastive_loss(query2, key1, self.temperature)
        return {"loss": loss, "feature_std": relative_std(features)}

    def queries(self, view: Images) -> Features:
        """Predictions from one view (image, channel), not normalised."""
        return self.predictor(self.projector(cls_features(self.encoder, view)))


def cls_features(encoder: Encoder, images: Images) -> Features:
    """CLS token after the final norm, (image, channel)."""
    return encoder.forward_features(images)[:, 0]


def relative_std(features: Features) -> Float[Tensor, ""]:
    """How far features have spread over the sphere: a sign of collapse while training.

    Args:
        features: (image, feature), at least two images; need not be normalised.

    Returns:
        Mean standard deviation of the L2-normalised features times sqrt(number of features): 1 if
        they point everywhere alike, 0 if they all point the same way.

    Source:
        SimSiam (arXiv:2011.10566) section 4.1. Taken before the projector, whose batch norm would
        make it 1 by itself.
    """
    features = F.normalize(_at_least_fp32(features), dim=1)
    return features.std(dim=0).mean() * features.shape[1] ** 0.5


def contrastive_loss(query: Features, key: Features, temperature: float) -> Float[Tensor, ""]:
    """InfoNCE of one direction, scaled by twice the temperature.

    Args:
        query: Predictions (image, channel); need not be normalised.
        key: Targets of the same images, in the same order; no gradient flows into them.
        temperature: Above 0.

    Returns:
        Nats times 2 * temperature. With equal keys: 2 * temperature * ln(number of keys). Under
        torch.distributed the keys of all processes are negatives.

    Source:
        moco-v3 `builder.py`, `contrastive_loss`.

    Example:
        >>> features = torch.eye(4)
        >>> same = torch.ones(4, 4)
        >>> round(contrastive_loss(features, same, 0.2).item(), 4)  # 0.4 ln 4
        0.5545
    """
    with torch.autocast(query.device.type, enabled=False):  # it would round the logits
        query = F.normalize(_at_least_fp32(query), dim=1)
        keys, first = _gathered(F.normalize(_at_least_fp32(key), dim=1))
        logits = query @ keys.T / temperature
        labels = torch.arange(len(query), device=query.device) + first
        return F.cross_entropy(logits, labels) * (2 * temperature)


def _at_least_fp32(features: Features) -> Features:
    # Softmax and norms lose too much in half precision.
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


def _gathered(key: Features) -> tuple[Features, int]:
    """Keys of all processes, without gradient, and where this process's own begin."""
    if not (dist.is_available() and dist.is_initialized()):
        return key, 0
    keys = [torch.empty_like(key) for _ in range(dist.get_world_size())]
    dist.all_gather(keys, key.contiguous())
    return torch.cat(keys), len(key) * dist.get_rank()
