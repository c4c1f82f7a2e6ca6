"""Masks of the COCO family as run lengths: pixels column by column, runs of 0 and 1 in turn, 0 first."""

from collections.abc import Sequence

import numpy as np


def decode_runs(counts: str | Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Mask of run lengths.

    A dependency would be a compiled package for these few lines.

    Args:
        counts: Lengths of the runs, or the text that they are packed into.
        size: (H, W).

    Returns:
        bool (H, W).

    Raises:
        ValueError: the runs do not fill the mask exactly.
    """
    lengths = np.array(_unpack(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    height, width = size
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise ValueError(f"run lengths: must add up to {height} x {width} pixels, got {lengths.sum()}")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def _unpack(text: str) -> list[int]:
    """Numbers of 5-bit digits, lowest first, in the characters from "0" on.

    Bit 5 of a character says that more digits follow, bit 4 of the last is the sign. From the fourth number on, each
    is the difference to the one two before it, since neighbouring columns are alike.
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
        value = shift = 0
    return numbers
