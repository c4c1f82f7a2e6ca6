"""What the authors chose for an encoder of a given depth and width, as a rule where they chose nothing."""

from math import ceil

# All encoders of the paper and of MiDaS 3.1 have heads of this width.
HEAD_WIDTH = 64

# Blocks (0-based) whose outputs feed the neck. Other depths: the end of every quarter.
_TAPS = {12: (2, 5, 8, 11), 24: (5, 11, 17, 23)}

# Channels of the four levels for a plain encoder's width. Other widths: an eighth, a quarter, a half, the whole.
_NECK_SIZES = {
    192: (24, 48, 96, 192),
    384: (48, 96, 192, 384),
    768: (96, 192, 384, 768),
    1024: (256, 512, 1024, 1024),
    1536: (1536, 1536, 1536, 1536),
}


def default_taps(depth: int, *, hybrid: bool = False) -> tuple[int, ...]:
    """The four taps of an encoder with `depth` blocks; of a hybrid the first two are stages of its stem."""
    taps = _TAPS.get(depth) or tuple(ceil(depth * quarter / 4) - 1 for quarter in (1, 2, 3, 4))
    return (0, 1, *taps[2:]) if hybrid else taps


def default_neck_sizes(width: int) -> tuple[int, ...]:
    """Channels of the four levels of the neck for a plain encoder of this width."""
    return _NECK_SIZES.get(width) or tuple(max(1, width // part) for part in (8, 4, 2, 1))
