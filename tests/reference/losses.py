"""Slow NumPy twins of the depth losses: one image and one pixel at a time, straight from the papers."""

import numpy as np


def lower_median(values):
    return sorted(values)[(len(values) - 1) // 2]


def normalised(image, valid):
    values = [float(v) for v, ok in zip(image.ravel(), valid.ravel(), strict=True) if ok]
    centre = lower_median(values)
    deviation = sum(abs(v - centre) for v in values) / len(values)
    return (image - centre) / deviation


def least_squares(image, target, valid):
    design = np.stack([image[valid], np.ones(valid.sum())], 1)
    return np.linalg.lstsq(design, target[valid], rcond=None)[0]


def residual(image, target, valid, kind):
    if kind == "mse":
        scale, shift = least_squares(image, target, valid)
        return scale * image + shift - target
    return normalised(image, valid) - normalised(target, valid)


def over_images(loss, valid):
    used = [index for index in range(len(valid)) if valid[index].any()]
    return sum(loss(index) for index in used) / len(used) if used else 0.0


def scale_shift_invariant(prediction, target, valid, kind, trim):
    def one(index):
        errors = residual(prediction[index], target[index], valid[index], kind)[valid[index]]
        costs = sorted(errors**2 if kind == "mse" else np.abs(errors))
        count = len(costs)
        kept = count - int(trim * count + 1e-9) if kind == "trimmed" else count
        return sum(costs[:kept]) / (2 * count)

    return over_images(one, valid)


def gradient_matching(prediction, target, valid, scales):
    def one(index):
        total = 0.0
        for scale in range(scales):
            step = 2**scale
            error = (prediction[index] - target[index])[::step, ::step]
            usable = valid[index][::step, ::step]
            height, width = error.shape
            at_scale = 0.0
            for y in range(height):
                for x in range(width):
                    if x + 1 < width and usable[y, x] and usable[y, x + 1]:
                        at_scale += abs(error[y, x + 1] - error[y, x])
                    if y + 1 < height and usable[y, x] and usable[y + 1, x]:
                        at_scale += abs(error[y + 1, x] - error[y, x])
            total += at_scale / max(usable.sum(), 1)
        return total

    return over_images(one, valid)


def silog(prediction, target, valid, variance_focus, form):
    def one(index):
        g = np.log(prediction[index][valid[index]]) - np.log(target[index][valid[index]])
        value = np.mean(g**2) - variance_focus * np.mean(g) ** 2
        return value if form == "eigen" else 10 * np.sqrt(value)

    return over_images(one, valid)


def metric_l1(prediction, target, valid):
    def one(index):
        usable = valid[index]
        pairs = zip(prediction[index][usable], target[index][usable], strict=True)
        return sum(abs(p - t) for p, t in pairs) / usable.sum()

    return over_images(one, valid)


def metric_log_l1(prediction, target, valid):
    return metric_l1(np.log(np.where(valid, prediction, 1)), np.log(np.where(valid, target, 1)), valid)


def cross_entropy(logits, labels, ignore_index):
    """Mean over the labelled pixels of the whole batch."""
    costs = []
    for image, classes in zip(logits, labels, strict=True):
        for row, column in np.ndindex(*classes.shape):
            label = classes[row, column]
            if label != ignore_index:
                scores = image[:, row, column]
                costs.append(np.log(np.sum(np.exp(scores))) - scores[label])
    return sum(costs) / len(costs) if costs else 0.0
