"""What authors publish of their models and no weight file holds: one entry per source of weights.

Each was read in the authors' code at the commit that its `source` names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vitscope.models.backbone import IMAGENET_MEAN, IMAGENET_STD

INCEPTION = (0.5, 0.5, 0.5)  # timm `IMAGENET_INCEPTION_MEAN` and `IMAGENET_INCEPTION_STD`


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How a model resamples its own position table to another grid.

    Args:
        offset: Added to the new number of rows and columns before they are divided by the old.
        antialias: Whether bicubic interpolation smooths when the table shrinks.
    """

    offset: float
    antialias: bool


@dataclass(frozen=True, kw_only=True)
class Published:
    """Facts about one source of weights.

    Args:
        source: Repository @ commit: files.
        licence: Of the repository; where weights have none of their own, theirs too.
        num_heads: By embed_dim.
        position: The position scheme.
        output: Which tokens the authors' loss or evaluation reads, and the norm before it.
        eps: Of every LayerNorm; torch's default is 1e-5.
        mean: Per-channel mean that normalises pixels in [0, 1].
        std: Per-channel standard deviation, likewise.
        resampling: None: the authors' encoder takes images of one size only.
    """

    source: str
    licence: str
    num_heads: Mapping[int, int]
    position: str
    output: str
    eps: float = 1e-6
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resampling: Resampling | None = None

    @property
    def facts(self) -> dict[str, str]:
        """What a report should say."""
        return {
            "licence": self.licence,
            "position": self.position,
            "output": self.output,
            "source": self.source,
        }


MOCO_V3 = Published(
    source="facebookresearch/moco-v3 @ c349e6e: vits.py, main_moco.py, main_lincls.py, LICENSE",
    licence="CC-BY-NC-4.0",
    num_heads={384: 12, 768: 12},  # 12 heads of 32 channels in the small one: not timm's 6
    position="fixed sine-cosine, row first",
    output="CLS after the final norm",
)

SIMMIM = Published(
    source="microsoft/SimMIM @ d3e29bc: models/simmim.py, models/vision_transformer.py, "
    "data/data_simmim.py, configs/vit_base__800ep, LICENSE",
    licence="MIT",
    num_heads={768: 12},
    position="one table of relative position biases for all blocks; none in the embedding",
    output="patches after the final norm (fine-tuned: their mean, then a norm)",
)

MAE = Published(
    source="facebookresearch/mae @ efb2a80: models_mae.py, models_vit.py, util/pos_embed.py, "
    "main_pretrain.py, LICENSE",
    licence="CC-BY-NC-4.0",
    num_heads={768: 12, 1024: 16, 1280: 16},
    position="fixed sine-cosine, column first",
    output="CLS after the final norm (fine-tuned: the patches' mean, then a norm)",
)

DINO = Published(
    source="facebookresearch/dino @ 7c446df: vision_transformer.py, hubconf.py, eval_linear.py, "
    "LICENSE",
    licence="Apache-2.0",
    num_heads={192: 3, 384: 6, 768: 12},
    position="learned",
    output="CLS after the final norm",
    resampling=Resampling(offset=0.1, antialias=False),
)

IBOT = Published(
    source="bytedance/ibot @ da316d8: models/vision_transformer.py, evaluation/eval_linear.py, "
    "LICENSE",
    licence="Apache-2.0",
    num_heads={192: 3, 384: 6, 768: 12, 1024: 16},
    position="learned",
    output="CLS after the final norm",
    resampling=Resampling(offset=0.1, antialias=False),
)

BEIT = Published(
    source="microsoft/unilm @ 768a3c8: beit/modeling_pretrain.py, beit/modeling_finetune.py, "
    "beit/datasets.py, beit/README.md, LICENSE",
    licence="MIT",
    num_heads={768: 12, 1024: 16},
    position="relative position biases; none in the embedding",
    output="patches after the final norm (fine-tuned: their mean, then a norm)",
    mean=INCEPTION,  # README: "we use (0.5, 0.5, 0.5) ... by default on other pre-training data"
    std=INCEPTION,
)

# beit_base_patch16_224_pt1k_800ep, the one file without relative positions, was trained on
# ImageNet-1k, for which the README passes --imagenet_default_mean_and_std.
BEIT_ABSOLUTE = Published(
    source=BEIT.source,
    licence=BEIT.licence,
    num_heads=BEIT.num_heads,
    position="learned",
    output=BEIT.output,
)

DINOV2 = Published(
    source="facebookresearch/dinov2 @ b8931f7: dinov2/models/vision_transformer.py, "
    "dinov2/hub/backbones.py, dinov2/data/transforms.py, LICENSE",
    licence="Apache-2.0",
    num_heads={384: 6, 768: 12, 1024: 16, 1536: 24},
    position="learned",
    output="CLS after the final norm",
    resampling=Resampling(offset=0.1, antialias=False),
)

DINOV2_REGISTERS = Published(
    source=DINOV2.source,
    licence=DINOV2.licence,
    num_heads=DINOV2.num_heads,
    position="learned; registers have none",
    output=DINOV2.output,
    resampling=Resampling(offset=0.0, antialias=True),  # hub/backbones.py `dinov2_vits14_reg`
)

DEIT = Published(
    source="facebookresearch/deit @ 7e160fe: models.py, models_v2.py, datasets.py, LICENSE",
    licence="Apache-2.0",
    num_heads={192: 3, 384: 6, 512: 8, 768: 12, 1024: 16, 1280: 16},
    position="learned",
    output="CLS after the final norm",
)
