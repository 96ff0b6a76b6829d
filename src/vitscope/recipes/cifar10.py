"""CIFAR-10 at 32 px with a small ViT on a CPU: CL, MIM and their combination, all else equal.

Command:   vitscope pretrain cifar10_moco_v3   (likewise _simmim, _hybrid)
Data:      cifar10:PATH, by default the folder cifar10 in $VITSCOPE_DATA
Hardware:  one core of an AVX-512 server CPU with bf16
Time:      MoCo v3 30, SimMIM 12, hybrid 40 minutes beside other work
Result:    docs/cifar10.md
"""

from vitscope.recipe import Architecture, Objective, Optimisation, Recipe

ARCHITECTURE = Architecture(image_size=32, patch_size=4, embed_dim=128, depth=6, num_heads=4)
OPTIMISATION = Optimisation(
    batch_size=64,
    num_images=100_000,
    base_lr=3e-3,  # 7.5e-4 at batch 64; the official 1.5e-4 barely moves in so few steps
    warmup=0.1,
    weight_decay=0.05,
)


def cifar10_moco_v3() -> Recipe:
    """Contrastive arm."""
    return _arm("moco_v3", cl_weight=1.0)


def cifar10_simmim() -> Recipe:
    """Masked arm."""
    return _arm("simmim", cl_weight=0.0)


def cifar10_hybrid() -> Recipe:
    """Half and half."""
    return _arm("hybrid", cl_weight=0.5)


def _arm(name: str, cl_weight: float) -> Recipe:
    return Recipe(
        name=f"cifar10_{name}",
        data="cifar10:?split=train",
        architecture=ARCHITECTURE,
        objective=Objective(
            cl_weight=cl_weight,
            projector_hidden_dim=512,
            projector_dim=128,
            mask_unit=1,  # 4 of 32 px; SimMIM hides 32 of 192
            crop_min=0.2,  # 8 % of 32 px would be a crop of 9 px
            blur_scale=32 / 224,
        ),
        optimisation=OPTIMISATION,
        precision="bf16-mixed",
    )
