"""Slow NumPy twins of the metrics, one pixel at a time."""

import itertools
import math

import numpy as np


def depth_scores(prediction, truth, min_depth, max_depth):
    pairs = []
    for p, g in zip(np.ravel(prediction).tolist(), np.ravel(truth).tolist(), strict=True):
        if min_depth < g < max_depth:
            p = min_depth if math.isnan(p) else min(max(p, min_depth), max_depth)
            pairs.append((p, g))
    count = len(pairs)
    logs = [math.log(p) - math.log(g) for p, g in pairs]
    ratios = [max(p / g, g / p) for p, g in pairs]
    scores = {
        "abs_rel": sum(abs(p - g) / g for p, g in pairs) / count,
        "sq_rel": sum((p - g) ** 2 / g for p, g in pairs) / count,
        "rmse": math.sqrt(sum((p - g) ** 2 for p, g in pairs) / count),
        "rmse_log": math.sqrt(sum(e**2 for e in logs) / count),
        "log_bias": sum(logs) / count,
        "log10": sum(abs(math.log10(p) - math.log10(g)) for p, g in pairs) / count,
        "silog": 100 * math.sqrt(sum(e**2 for e in logs) / count - (sum(logs) / count) ** 2),
        "irmse": math.sqrt(sum((1000 / p - 1000 / g) ** 2 for p, g in pairs) / count),
        "abs_error_rel": 100 * sum(abs(p / g - 1) for p, g in pairs) / count,
        "sq_error_rel": 100 * sum((p / g - 1) ** 2 for p, g in pairs) / count,
    }
    return scores | {f"delta{k}": sum(r < 1.25**k for r in ratios) / count for k in (1, 2, 3)}


def segmentation_scores(predictions, labels, num_labels, ignore_index):
    hits, unions, correct, labelled = [0] * num_labels, [set() for _ in range(num_labels)], 0, 0
    for place, (p, g) in enumerate(zip(np.ravel(predictions).tolist(), np.ravel(labels).tolist(), strict=True)):
        if g == ignore_index:
            continue
        labelled += 1
        correct += p == g
        hits[g] += p == g
        unions[p].add(place)
        unions[g].add(place)
    iou = [hit / len(union) if union else 0.0 for hit, union in zip(hits, unions, strict=True)]
    present = [value for value, union in zip(iou, unions, strict=True) if union]
    return {
        "mean_iou": sum(iou) / num_labels,
        "mean_iou_present": sum(present) / len(present),
        "pixel_accuracy": correct / labelled,
    }


def whdr(disparity, points, ties_wrong):
    """Fraction of pairs whose relation is not the one said."""
    wrong = 0
    for row_a, column_a, row_b, column_b, relation in points:
        a, b = disparity[row_a][column_a], disparity[row_b][column_b]
        said = ">" if b > a else "<"
        wrong += said != {1: ">", -1: "<"}[relation] or (ties_wrong and a == b)
    return wrong / len(points)


def boundary_f1(prediction, truth, valid):
    """Every threshold and direction by itself, one pair of pixels at a time."""
    height, width = truth.shape
    total = weights = 0.0
    for step in range(10):
        threshold = 1.05 + 0.2 * step / 9
        precision = recall = 0.0
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            found = wanted = both = 0
            for y in range(height):
                for x in range(width):
                    v, u = y + down, x + right
                    if not (0 <= v < height and 0 <= u < width and valid[y, x] and valid[v, u]):
                        continue
                    says = max(prediction[v, u], 1e-6) / max(prediction[y, x], 1e-6) > threshold
                    holds = truth[v, u] / truth[y, x] > threshold
                    found, wanted, both = found + says, wanted + holds, both + (says and holds)
            precision += both / max(found, 1) / 4
            recall += both / max(wanted, 1) / 4
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        total, weights = total + threshold * f1, weights + threshold
    return total / weights


def fill_background(depth):
    """Hole by hole; what is missing is NaN."""
    depth = np.array(depth, dtype=float)
    for row in depth:
        known = np.flatnonzero(~np.isnan(row))
        if not known.size:
            continue
        for left, right in itertools.pairwise(known):
            row[left + 1 : right] = min(row[left], row[right])
        row[: known[0]], row[known[-1] + 1 :] = row[known[0]], row[known[-1]]
    for column in depth.T:
        known = np.flatnonzero(~np.isnan(column))
        if known.size:
            column[: known[0]], column[known[-1] + 1 :] = column[known[0]], column[known[-1]]
    return depth
