"""Any recipe in miniature: two CPU steps, to see that it runs."""

from dataclasses import replace

from vitscope.recipe import Recipe


def smoke(recipe: Recipe) -> Recipe:
    """The same recipe with a tiny encoder, 16 small images of the bundled world and two steps."""
    return replace(
        recipe,
        name=f"{recipe.name}-smoke",
        data="world:independent?size=32&num_images=16",
        architecture=replace(
            recipe.architecture, image_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=4
        ),
        objective=replace(recipe.objective, projector_hidden_dim=32, projector_dim=16, mask_unit=2),
        optimisation=replace(recipe.optimisation, batch_size=4, num_images=8),
        precision="32-true",
        num_workers=0,
    )
