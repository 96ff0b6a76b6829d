import pytest
import torch

from vitscope.models.vit import build_vit
from vitscope.objectives.masking import block_mask
from vitscope.objectives.simmim import SimMIM, masked_l1_loss, pixel_mask
from vitscope.recipe import Architecture


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_official_setting_hides_120_of_196_patches_in_every_image():
    mask = block_mask(13, (14, 14), 2, 0.6, generator())
    assert mask.sum(dim=1).tolist() == [120] * 13


def test_whole_squares_are_hidden_and_images_differ():
    mask = block_mask(13, (6, 10), 2, 0.5, generator()).reshape(13, 3, 2, 5, 2)
    corners = mask[:, :, :1, :, :1]
    assert (mask == corners).all()
    assert len({tuple(image.flatten().tolist()) for image in mask}) > 1


def test_every_square_is_hidden_equally_often():
    mask = block_mask(4000, (4, 4), 2, 0.5, generator()).float().mean(dim=0)
    assert (mask - 0.5).abs().max() < 0.04  # 5 standard errors


@pytest.mark.parametrize(
    ("grid", "unit", "ratio"), [((7, 8), 2, 0.6), ((8, 8), 2, 0.0), ((8, 8), 2, 1.1)]
)
def test_masks_that_cannot_be_are_refused(grid, unit, ratio):
    with pytest.raises(ValueError, match="expected"):
        block_mask(1, grid, unit, ratio, generator())


def test_only_hidden_pixels_count():
    images, painted = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    hidden = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    hidden[0, 0, :2] = True
    painted[0, :, :2] = 0.5  # hidden, off by one half
    painted[1] = 9.0  # visible
    assert masked_l1_loss(painted, images, hidden).item() == pytest.approx(0.5, rel=1e-5)


def test_pixel_mask_covers_the_patch_and_nothing_else():
    mask = torch.zeros(1, 6, dtype=torch.bool)
    mask[0, 4] = True  # row 1, column 1 of 2 x 3
    pixels = pixel_mask(mask, (2, 3), 5)[0, 0]
    assert pixels.shape == (10, 15)
    assert pixels[5:, 5:10].all()
    assert pixels.sum() == 25


@pytest.mark.parametrize("position", ["sincos", "relative"])
def test_hidden_pixels_do_not_reach_the_reconstruction(position):
    """A leak would let the model copy what it should paint."""
    architecture = Architecture(
        image_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3, position=position
    )
    simmim = SimMIM(build_vit(architecture)).eval()
    mask = block_mask(2, (4, 4), 2, 0.5, generator())
    images = torch.randn(2, 3, 16, 16)
    changed = torch.where(pixel_mask(mask, (4, 4), 4), torch.randn(2, 3, 16, 16), images)
    with torch.no_grad():
        assert torch.equal(
            simmim.reconstruction(images, mask), simmim.reconstruction(changed, mask)
        )
        visible = torch.where(pixel_mask(mask, (4, 4), 4), images, torch.randn(2, 3, 16, 16))
        assert not torch.equal(
            simmim.reconstruction(images, mask), simmim.reconstruction(visible, mask)
        )


def test_a_few_images_can_be_learnt_by_heart():
    architecture = Architecture(image_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=3)
    simmim = SimMIM(build_vit(architecture, seed=0))
    images, mask = torch.randn(3, 3, 16, 16), block_mask(3, (4, 4), 2, 0.5, generator())
    optimizer = torch.optim.AdamW(simmim.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = simmim(images, mask)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
