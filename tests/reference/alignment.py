"""NumPy twin of the alignments: the authors' normal equations, medians and mean deviations, written out."""

import numpy as np


def least_squares(x, y):
    """Scale and shift that minimise sum (s x + t - y)^2; both 0 where the determinant is not positive."""
    a00, a01, a11 = np.sum(x * x), np.sum(x), float(x.size)
    b0, b1 = np.sum(x * y), np.sum(y)
    determinant = a00 * a11 - a01 * a01
    if determinant <= 0:
        return 0.0, 0.0
    return (a11 * b0 - a01 * b1) / determinant, (a00 * b1 - a01 * b0) / determinant


def robust(x, y):
    """Scale and shift that give x the median and the mean absolute deviation of y."""
    centres = [np.sort(values)[(values.size - 1) // 2] for values in (x, y)]
    deviations = [np.mean(np.abs(values - centre)) for values, centre in zip((x, y), centres, strict=True)]
    scale = deviations[1] / deviations[0]
    return scale, centres[1] - scale * centres[0]


def depth_from_disparity(disparity, truth, usable, cap, fit):
    """Metres: fit to 1 / truth, below 1 / cap to 1 / cap, invert."""
    scale, shift = fit(disparity[usable], 1 / truth[usable])
    aligned = scale * disparity + shift
    aligned[aligned < 1 / cap] = 1 / cap
    return 1 / aligned, scale, shift
