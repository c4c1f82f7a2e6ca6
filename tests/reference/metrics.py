"""Slow NumPy twins of the metrics, one pixel at a time."""

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
