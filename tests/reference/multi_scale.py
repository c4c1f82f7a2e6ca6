"""Multi-scale segmentation in NumPy, step by step as the reference protocol words it. Nothing of open_dpt in here.

Zhang et al., PyTorch-Encoding: long side ceil(base * scale), the other side rounded half up; pad to the window with
black; windows at multiples of the stride, each cut at the border and padded again; exp of the logits, of image plus
mirror; mean of overlaps; back to the size of the image; sum over scales. Resizing is bilinear with aligned corners.
"""

import numpy as np


def resize(maps, height, width):
    """Bilinear, corners aligned. Shape (C, H, W)."""
    result = np.asarray(maps, np.float64)
    for axis, new in ((1, height), (2, width)):
        old = result.shape[axis]
        position = np.arange(new) * ((old - 1) / (new - 1)) if new > 1 else np.zeros(1)
        below = np.minimum(np.floor(position).astype(int), old - 1)
        above = np.minimum(below + 1, old - 1)
        share = (position - below).reshape((-1, 1) if axis == 1 else (1, -1))
        result = result.take(below, axis) * (1 - share) + result.take(above, axis) * share
    return result


def pad(image, black, window):
    """Black below and to the right, up to the window."""
    channels, height, width = image.shape
    padded = np.empty((channels, max(height, window), max(width, window)))
    padded[:] = np.reshape(black, (-1, 1, 1))
    padded[:, :height, :width] = image
    return padded


def softmax(logits):
    shifted = np.exp(logits - logits.max(0))
    return shifted / shifted.sum(0)


def score_window(network, window, flip, combine):
    """`network`: one window (3, w, w) to logits (K, w, w)."""
    logits = network(window)
    mirrored = network(window[:, :, ::-1].copy())[:, :, ::-1] if flip else None
    if combine == "exp-of-sum":
        return np.exp(logits + mirrored) if flip else np.exp(logits)
    return (softmax(logits) + softmax(mirrored)) / 2 if flip else softmax(logits)


def multi_scale_scores(network, image, black, *, scales, flip, base, window, stride, combine):
    """`image` normalised (3, H, W); returns (K, H, W): the sum over scales, for probabilities their mean."""
    _, original_height, original_width = image.shape
    total = 0
    for scale in scales:
        long = int(np.ceil(base * scale))
        if original_height > original_width:
            height, width = long, int(original_width * long / original_height + 0.5)
        else:
            height, width = int(original_height * long / original_width + 0.5), long
        current = resize(image, height, width)
        if long <= window:
            outputs = score_window(network, pad(current, black, window), flip, combine)[:, :height, :width]
        else:
            padded = pad(current, black, window)
            padded_height, padded_width = padded.shape[1:]
            rows = int(np.ceil((padded_height - window) / stride)) + 1
            columns = int(np.ceil((padded_width - window) / stride)) + 1
            outputs, count = 0, np.zeros((padded_height, padded_width))
            for row in range(rows):
                for column in range(columns):
                    top, left = row * stride, column * stride
                    bottom, right = min(top + window, padded_height), min(left + window, padded_width)
                    answer = score_window(
                        network, pad(padded[:, top:bottom, left:right], black, window), flip, combine
                    )
                    placed = np.zeros((len(answer), padded_height, padded_width))
                    placed[:, top:bottom, left:right] = answer[:, : bottom - top, : right - left]
                    outputs = outputs + placed
                    count[top:bottom, left:right] += 1
            assert count.min() > 0
            outputs = (outputs / count)[:, :height, :width]
        total = total + resize(outputs, original_height, original_width)
    return total if combine == "exp-of-sum" else total / len(scales)
