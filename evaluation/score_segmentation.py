"""Class ids of one image against its labels: a sparse row of the data set's confusion matrix.

Rows add up to totals in `aggregate`; the image's own scores rank images and are no part of the total.

Source: the protocol of Zhang et al. (PyTorch-Encoding), which the paper's tables 4 and 5 follow.
"""

from typing import Any

import torch
from torch import Tensor

from ..processing.geometry import IGNORE_LABEL
from .protocol import Protocol, ProtocolError, load_protocol, protocol_names
from .scored import Scored


def score(prediction: Tensor, kind: str, sample: dict[str, Any], protocol: Protocol) -> Scored:
    """Score one image.

    Args:
        prediction: Class ids, integer. Shape (H, W), the image as the model saw it (cropped as the protocol says).
        kind: "labels".
        sample: With name, label int64 (H, W) of the uncropped image, 255 = no label; and crop (`crops.Box`) or None.
        protocol: Of task "segmentation".

    Returns:
        Row: status "scored" or "empty" (no pixel has a label), pixels (those with a label), correct, confusion
        ([[true class, predicted class, pixels], ...]), pixel_accuracy, and mean_iou over the classes that are labelled
        or predicted in this image. Maps: class ids.

    Raises:
        ValueError: prediction and labels do not belong together: another size or kind, or an id beyond the classes.
    """
    name = sample.get("name") or "image"
    labels = _labels(sample, name)
    _check_prediction(prediction, kind, labels, name, protocol.name)
    labels, prediction = labels.to(prediction.device), prediction.long()
    used = labels != IGNORE_LABEL
    true, predicted = labels[used], prediction[used]
    _check_ids(true, predicted, protocol, name)
    cells, pixels = torch.stack([true, predicted], 1).unique(dim=0, return_counts=True)
    row = {
        "status": "scored" if len(cells) else "empty",
        "reason": None if len(cells) else "no pixel has a label",
        "pixels": len(true),
        "correct": int((true == predicted).sum()),
        "confusion": torch.cat([cells, pixels[:, None]], 1).tolist(),
        "pixel_accuracy": None,
        "mean_iou": None,
    }
    if len(cells):
        row |= {"pixel_accuracy": row["correct"] / row["pixels"], "mean_iou": _mean_iou(true, predicted)}
    return Scored(row, prediction, labels, used)


def check_classes(classes: int, protocol: Protocol, name: str) -> None:
    """Find out before the first image whether a model's classes are those of a protocol.

    Args:
        classes: Number of classes the model gives.
        protocol: Of task "segmentation".
        name: What messages call the model.

    Raises:
        ProtocolError: the numbers differ; the message names the protocol whose number it is, if there is one.
    """
    wanted = protocol.score.classes
    if wanted is None or wanted == classes:
        return
    fitting = _protocols_of(classes, protocol)
    remedy = f"Use --protocol {fitting[0]}." if fitting else "Fine-tune it on this data set, or name another model."
    raise ProtocolError(f"{name}: must have {wanted} classes for {protocol.name}, got {classes}. {remedy}")


def _protocols_of(classes: int, protocol: Protocol) -> list[str]:
    """Protocols of as many classes, those that run models in the same way first."""
    others = [load_protocol(name) for name in protocol_names()]
    alike = [one for one in others if one.task == protocol.task and one.score.classes == classes]
    alike.sort(key=lambda one: one.inference != protocol.inference)
    return [one.name for one in alike]


def _labels(sample: dict[str, Any], name: str) -> Tensor:
    labels = sample.get("label")
    if labels is None:
        raise ValueError(f"{name}: must have a label map to be scored, got none. Name a data set with labels.")
    if crop := sample.get("crop"):
        top, bottom, left, right = crop
        labels = labels[top:bottom, left:right]
    return labels


def _check_prediction(prediction: Tensor, kind: str, labels: Tensor, name: str, protocol: str) -> None:
    if kind != "labels" or prediction.is_floating_point():
        got = f"{kind} ({prediction.dtype})".replace("torch.", "")
        raise ValueError(f"{name}: {protocol} scores class ids (whole numbers), got {got}. Name a segmentation model.")
    if prediction.shape != labels.shape:
        wanted, got = (" x ".join(map(str, maps.shape)) for maps in (labels, prediction))
        raise ValueError(
            f"{name}: the prediction must have the size of its labels, {wanted}, got {got}. "
            "Resize the logits, not the class ids, and take the largest then."
        )


def _check_ids(true: Tensor, predicted: Tensor, protocol: Protocol, name: str) -> None:
    classes = protocol.score.classes or IGNORE_LABEL
    for what, ids in (("labels", true), ("prediction", predicted)):
        stray = ids[(ids < 0) | (ids >= classes)]
        if stray.numel():
            raise ValueError(
                f"{name}: ids of the {what} must be 0 to {classes - 1} for {protocol.name}, got {stray[0].item()}. "
                f"{_REMEDIES[what]}"
            )


_REMEDIES = {
    "labels": "Check the data set's options, such as label_rule and num_classes.",
    "prediction": "Subtract 1 if they count from 1; otherwise name a model, or files, of this protocol's classes.",
}


def _mean_iou(true: Tensor, predicted: Tensor) -> float:
    size = int(max(true.max(), predicted.max())) + 1
    right, labelled, answered = (
        ids.bincount(minlength=size).double() for ids in (true[true == predicted], true, predicted)
    )
    union = labelled + answered - right
    return (right[union > 0] / union[union > 0]).mean().item()
