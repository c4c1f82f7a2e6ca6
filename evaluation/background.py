"""Filling the holes of a predicted depth map as the KITTI depth benchmark does before it scores it.

Source: the benchmark's public development kit (Uhrig et al., 3DV 2017), class of depth images.
"""

import torch
from torch import Tensor


def fill_background(depth: Tensor) -> Tensor:
    """Fill missing pixels row by row, then what is left above and below column by column.

    Inside a row a hole takes the smaller of the depths to its left and right (the kit's rule for disparity, where the
    smaller value is the background, which it applies to depth unchanged), and the one there is at the ends. A row with
    no value at all takes that of the nearest row above or below the first or last one with values; between rows with
    values it stays missing.

    Args:
        depth: Metres; NaN, infinite, 0 or negative where missing. Shape (..., H, W), floating point.

    Returns:
        The same shape; NaN where it is still missing.
    """
    known = depth.isfinite() & (depth > 0)
    depth = torch.where(known, depth, torch.nan)
    # fmin and not minimum: at the ends of a row, where there is one neighbour only, the other one is NaN.
    depth = torch.where(known, depth, torch.fmin(_last_known(depth), _last_known(depth.flip(-1)).flip(-1)))
    columns = depth.transpose(-1, -2)
    above, below = _last_known(columns), _last_known(columns.flip(-1)).flip(-1)
    # Holes between two known pixels of a column have both neighbours: those the kit leaves.
    filled = torch.where(above.isnan(), below, torch.where(below.isnan(), above, columns))
    return filled.transpose(-1, -2)


def _last_known(values: Tensor) -> Tensor:
    """Along the last axis, at each place the last value up to there that is not NaN; NaN before the first."""
    positions = torch.arange(values.shape[-1], device=values.device).expand(values.shape)
    return values.gather(-1, torch.where(values.isnan(), 0, positions).cummax(-1).values)
