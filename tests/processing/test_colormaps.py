"""Colour maps are perceptual by measurement; palettes are fixed and distinct."""

import numpy as np
import pytest

from open_dpt.processing import palette
from open_dpt.processing.colormaps import COLORMAPS, apply_colormap


def lightness(rgb):
    """OKLab lightness of 8-bit sRGB."""
    c = rgb / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    lms = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(lms) @ np.array([0.2104542553, 0.7936177850, -0.0040720468])


@pytest.mark.parametrize("name", COLORMAPS)
def test_lightness_rises_evenly(name):
    steps = np.diff(lightness(apply_colormap(np.linspace(0, 1, 18), name)))
    assert steps.min() > 0.6 * steps.mean() and steps.max() < 1.4 * steps.mean()


def test_shape_and_unknown_name():
    colors = apply_colormap(np.zeros((4, 5)))
    assert colors.shape == (4, 5, 3) and colors.dtype == np.uint8
    with pytest.raises(ValueError, match="colormap: must be one of ember, lagoon, grey, got 'jet'"):
        apply_colormap(np.zeros(3), "jet")


def test_ade20k_colours():
    colors = palette(150)
    assert colors.shape == (150, 3)
    assert colors[0].tolist() == [120, 120, 120] and colors[2].tolist() == [6, 230, 230]
    assert colors[149].tolist() == [92, 0, 255]


@pytest.mark.parametrize("count", [1, 21, 60, 171])
def test_generated_colours_are_distinct(count):
    colors = palette(count)
    assert colors.shape == (count, 3) and len(np.unique(colors, axis=0)) == count
    np.testing.assert_array_equal(palette(count), colors)
