"""Colours: perceptual maps for depth, palettes for classes. All generated in OKLCh, except ADE20K's fixed 150."""

from functools import lru_cache

import numpy as np

# Name -> (lightness, hue in degrees, chroma) at both ends. Lightness rises evenly, so equal steps in depth look equal
# and the map survives printing in grey; chroma swells in between.
COLORMAPS = {
    "ember": ((0.16, 0.97), (285.0, 460.0), 0.18),  # black-violet, red, orange, pale yellow
    "lagoon": ((0.16, 0.97), (300.0, 130.0), 0.11),  # black-violet, blue, teal, pale green
    "grey": ((0.0, 1.0), (0.0, 0.0), 0.0),
}

# The 150 classes of SceneParse150 in class order, 6 hex digits each.
_ADE20K = (
    "787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33ff06528fff8cccff04"
    "ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd607ffe0ffb8060aff47ff290a07ffff"
    "e0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa0961400a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe000"
    "99ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff00"
    "0052ff00ff2900ffad0a00ffadff0000ff99ff5c00ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc2"
    "00ff52000aff0070ff3300ff00c2ff007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ff"
    "ff001f00b8ff00d6ffff00705cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ff"
    "ff007afff5000abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8005cff"
    "b8ff000085ffffd60019c2c266ff005c00ff"
)


def apply_colormap(values: np.ndarray, name: str = "ember") -> np.ndarray:
    """Colour values within 0..1.

    Args:
        values: floating, any shape.
        name: Key of COLORMAPS.

    Returns:
        uint8 RGB, shape (..., 3). Brightness grows with the value.

    Raises:
        ValueError: unknown name.
    """
    if name not in COLORMAPS:
        raise ValueError(f"colormap: must be one of {', '.join(COLORMAPS)}, got {name!r}.")
    return _table(name)[np.rint(values * 255).astype(np.uint8)]


def diverging(values: np.ndarray) -> np.ndarray:
    """Colour signed values: blue at -1, nearly white at 0, red at 1; what lies beyond saturates.

    Args:
        values: floating, any shape, no NaN.

    Returns:
        uint8 RGB, shape (..., 3). Equally strong for both signs.
    """
    strength = np.minimum(np.abs(values), 1.0)
    hue = np.where(values < 0, 255.0, 27.0)
    return _oklch_to_rgb(0.97 - 0.45 * strength, hue, 0.19 * strength)


def palette(count: int) -> np.ndarray:
    """Colours of `count` classes, uint8 (count, 3): ADE20K's own for 150, otherwise generated."""
    if count == 150:
        return np.frombuffer(bytes.fromhex(_ADE20K), np.uint8).reshape(-1, 3).copy()
    index = np.arange(count)
    # The golden angle keeps neighbouring ids far apart in hue; three lightness levels part those that come close.
    lightness = np.array([0.62, 0.80, 0.46])[index % 3]
    return _oklch_to_rgb(lightness, 20 + index * 137.508, np.full(count, 0.12))


@lru_cache
def _table(name: str) -> np.ndarray:
    lightness, hue, chroma = COLORMAPS[name]
    t = np.linspace(0, 1, 256)
    swell = np.sin(np.pi * (0.12 + 0.80 * t)) ** 0.8
    return _oklch_to_rgb(np.interp(t, (0, 1), lightness), np.interp(t, (0, 1), hue), chroma * swell)


def _oklch_to_rgb(lightness: np.ndarray, hue: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """OKLCh (hue in degrees) to 8-bit sRGB, by the published matrices of the OKLab colour space (Ottosson, 2020)."""
    angle = np.deg2rad(hue)
    lab = np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1)
    to_lms = [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    to_linear = [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
    linear = np.clip((lab @ np.transpose(to_lms)) ** 3 @ np.transpose(to_linear), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)
