import pytest
import torch

from open_dpt.data.batches import augmentation_draws
from open_dpt.data.procedural.augmentation import DRAWS, random_views

HEIGHT, WIDTH = 24, 32


@pytest.fixture
def scenes():
    """Images whose red and green say where a pixel lies, and disparities that say the same: column + 100 * row."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    images = torch.stack([x * 8, y * 8, x * 0]).to(torch.uint8).expand(8, -1, -1, -1)
    return images, (x + 100 * y).float().expand(8, -1, -1)


def views(scenes, seed=0, **options):
    return random_views(*scenes, 16, augmentation_draws(seed, range(len(scenes[0])), DRAWS), **options)


def test_image_and_disparity_stay_on_the_same_pixels(scenes):
    images, disparities = views(scenes, colour=0)
    column, row = images[:, 0] * 255 / 8, images[:, 1] * 255 / 8
    # The image is interpolated and the disparity is not, so they differ by half a pixel at most.
    assert (column - disparities % 100).abs().max() < 0.51
    assert (row - torch.div(disparities, 100, rounding_mode="floor")).abs().max() < 0.51


def test_disparity_is_never_a_mixture(scenes):
    assert set(views(scenes)[1].unique().tolist()) <= set(scenes[1].float().unique().tolist())


def test_the_whole_image_unchanged_when_everything_is_switched_off():
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    disparities = torch.rand(2, 16, 16)
    options = {"smallest_area": 1, "largest_stretch": 1, "flip": False, "colour": 0}
    views, targets = random_views(images, disparities, 16, torch.rand(2, DRAWS), **options)
    torch.testing.assert_close(views, images / 255, atol=1e-5, rtol=0)
    torch.testing.assert_close(targets, disparities)


def test_half_of_the_views_are_mirrored(scenes):
    large = tuple(tensor[:1].expand(200, *tensor.shape[1:]) for tensor in scenes)
    targets = views(large, colour=0)[1]
    mirrored = (targets[:, 0, 0] > targets[:, 0, -1]).float().mean()
    assert 0.4 < mirrored < 0.6


def test_colour_changes_pixels_but_not_the_range(scenes):
    plain, jittered = (views(scenes, colour=colour)[0] for colour in (0, 1))
    assert (plain - jittered).abs().max() > 0.05
    assert jittered.min() >= 0 and jittered.max() <= 1


def test_each_image_depends_on_its_own_draws_only(scenes):
    draws = augmentation_draws(3, range(8), DRAWS)
    whole = random_views(*scenes, 16, draws)[0]
    parts = [random_views(scenes[0][rows], scenes[1][rows], 16, draws[rows])[0] for rows in (slice(0, 3), slice(3, 8))]
    torch.testing.assert_close(torch.cat(parts), whole)
    assert not torch.equal(whole[0], whole[1])
