"""The bundled reference encoders: three objectives on the world of shapes and textures.

Command:   vitscope pretrain shape_texture_moco_v3   (likewise _simmim, _hybrid)
Hardware:  one core of an AVX-512 server CPU with bf16
Time:      MoCo v3 55, SimMIM 17, hybrid 72 minutes beside other work
Result:    best linear probe of shape / texture, %: MoCo v3 45.5 / 72.0, SimMIM 50.5 / 36.5,
           hybrid 41.9 / 70.9, random initialisation 36.5 / 39.8 (benchmarks/bundle_encoders.py)
"""

from vitscope.recipe import Architecture, Objective, Optimisation, Recipe

ARCHITECTURE = Architecture(image_size=64, patch_size=8, embed_dim=128, depth=6, num_heads=4)
OPTIMISATION = Optimisation(
    batch_size=64,  # small: at one number of images, more steps won in every trial
    num_images=200_000,
    base_lr=3e-3,  # 7.5e-4 at batch 64; the official 1.5e-4 barely moves in so few steps
    warmup=0.1,
    weight_decay=0.05,
)


def shape_texture_moco_v3() -> Recipe:
    """Contrastive arm."""
    return _arm("moco_v3", cl_weight=1.0)


def shape_texture_simmim() -> Recipe:
    """Masked arm."""
    return _arm("simmim", cl_weight=0.0)


def shape_texture_hybrid() -> Recipe:
    """Half and half."""
    return _arm("hybrid", cl_weight=0.5)


def _arm(name: str, cl_weight: float) -> Recipe:
    return Recipe(
        name=f"shape_texture_{name}",
        data="world:independent?size=64&num_images=20000&seed=0",
        architecture=ARCHITECTURE,
        objective=Objective(
            cl_weight=cl_weight,
            projector_hidden_dim=512,
            projector_dim=128,
            mask_unit=1,  # 8 of 64 px; SimMIM hides 32 of 192. With 16 px shape stayed at random's
            crop_min=0.4,  # from smaller crops the texture can be told, but not the shape
            blur_scale=64 / 224,
        ),
        optimisation=OPTIMISATION,
        precision="bf16-mixed",
    )
