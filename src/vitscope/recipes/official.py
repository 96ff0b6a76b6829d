"""The published recipes for ImageNet-1k, to the letter as far as one optimiser setting says it.

Command:   vitscope pretrain moco_v3_vit_s16 --data folder:IMAGENET/train
Hardware:  the authors used 16 to 128 GPUs; batch sizes are global
Expected:  linear top-1 73.2 (MoCo v3 ViT-S), 76.7 (ViT-B); SimMIM ViT-B fine-tunes to 83.8.
           Numbers of the official repositories; not run here.
"""

from vitscope.recipe import Architecture, Objective, Optimisation, Recipe

IMAGENET_TRAIN = 1_281_167  # images


def moco_v3_vit_s16() -> Recipe:
    """MoCo v3, ViT-S/16 with its 12 heads, 300 epochs."""
    return _moco_v3("moco_v3_vit_s16", embed_dim=384)


def moco_v3_vit_b16() -> Recipe:
    """MoCo v3, ViT-B/16, 300 epochs."""
    return _moco_v3("moco_v3_vit_b16", embed_dim=768)


def simmim_vit_b16() -> Recipe:
    """SimMIM, ViT-B/16 with a shared relative position bias and LayerScale, 800 epochs."""
    return Recipe(
        name="simmim_vit_b16",
        data="folder:imagenet/train",
        architecture=Architecture(
            image_size=224,
            patch_size=16,
            embed_dim=768,
            depth=12,
            num_heads=12,
            position="relative",
            init_values=0.1,
            initialisation="simmim",
            drop_path=0.1,
        ),
        objective=Objective(cl_weight=0.0, mask_ratio=0.6, mask_unit=2, mim_crop_min=0.67),
        optimisation=Optimisation(
            batch_size=2048,
            num_images=800 * IMAGENET_TRAIN,
            base_lr=1e-4,
            lr_batch=512,
            warmup=10 / 800,
            warmup_lr=5e-7,
            schedule="step",
            milestone=700 / 800,
            weight_decay=0.05,
            decay_all=False,
            clip_norm=5.0,
        ),
        precision="bf16-mixed",
        num_workers=16,
    )


def _moco_v3(name: str, embed_dim: int) -> Recipe:
    return Recipe(
        name=name,
        data="folder:imagenet/train",
        architecture=Architecture(
            image_size=224, patch_size=16, embed_dim=embed_dim, depth=12, num_heads=12
        ),
        objective=Objective(
            cl_weight=1.0, temperature=0.2, momentum=0.99, freeze_patch_projection=True
        ),
        optimisation=Optimisation(
            batch_size=4096,
            num_images=300 * IMAGENET_TRAIN,
            base_lr=1.5e-4,
            warmup=40 / 300,
            weight_decay=0.1,
        ),
        precision="bf16-mixed",
        num_workers=16,
    )
