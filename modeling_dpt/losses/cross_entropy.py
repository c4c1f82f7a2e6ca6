"""Segmentation loss: cross-entropy of the head plus a weighted one of the auxiliary head.

Source: Ranftl et al., arXiv:2103.13413, section 4.2 (auxiliary weight 0.2).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .reduction import in_full_precision


@in_full_precision
def segmentation_loss(
    logits: Tensor,
    labels: Tensor,
    auxiliary_logits: Tensor | None = None,
    *,
    auxiliary_weight: float = 0.2,
    ignore_index: int = 255,
) -> Tensor:
    """Mean cross-entropy over all labelled pixels of the batch.

    Args:
        logits: One score per class and pixel. Shape (B, K, H, W).
        labels: Class ids 0 to K-1, or ignore_index. Shape (B, H, W), integer.
        auxiliary_logits: Scores of the auxiliary head, at the size of labels. Shape (B, K, H, W), or None.
        auxiliary_weight: Weight of the auxiliary term.
        ignore_index: Label of pixels that do not count.

    Returns:
        Scalar, in nats. 0 with zero gradients if every pixel is ignored.

    Raises:
        ValueError: sizes of logits and labels differ, labels are not integers, or a label is no class.
    """
    _check(logits, labels, ignore_index)
    loss = _mean_cross_entropy(logits, labels, ignore_index)
    if auxiliary_logits is not None and auxiliary_weight:
        _check(auxiliary_logits, labels, ignore_index)
        loss = loss + auxiliary_weight * _mean_cross_entropy(auxiliary_logits, labels, ignore_index)
    return loss


def _mean_cross_entropy(logits: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    total = F.cross_entropy(logits, labels.long(), ignore_index=ignore_index, reduction="sum")
    return total / (labels != ignore_index).sum().clamp(min=1)


def _check(logits: Tensor, labels: Tensor, ignore_index: int) -> None:
    if logits.ndim != 4 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(
            "labels: must have the batch, height and width of the logits (batch, classes, height, width), got "
            f"{tuple(labels.shape)} for logits {tuple(logits.shape)}. Resize labels with nearest neighbour."
        )
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels: must be integers, got {labels.dtype}. Convert them with `.long()`.")
    if torch.compiler.is_compiling():  # looking at values would break the graph
        return
    stray = labels[(labels != ignore_index) & ((labels < 0) | (labels >= logits.shape[1]))]
    if stray.numel():
        raise ValueError(
            f"labels: must be below {logits.shape[1]} (num_labels) or {ignore_index} (ignored), "
            f"got {stray[0].item()}. Check num_labels and do_reduce_labels."
        )
