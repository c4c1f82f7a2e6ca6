"""Scores of a model on the rows of a data set: streaming, each image once over all processes.

`transformers.Trainer` users take `depth_compute_metrics` or `segmentation_compute_metrics` with
`preprocess_logits_for_metrics` instead.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.predictions import UnreadableRow, predict_rows
from .aligning import affine_disparity
from .boundary_metrics import BoundaryMetrics
from .crops import crop_mask
from .depth_metrics import METRICS, DepthMetrics
from .segmentation_metrics import SegmentationMetrics

logger = logging.getLogger(__name__)

# What a Trainer fills up maps of different sizes with.
TRAINER_PADDING = -100

# (index of the row, image uint8 (3, H, W), prediction (H, W), ground truth (H, W)): depth in metres or class ids.
OnSample = Callable[[int, Tensor, Tensor, Tensor], Any]


def validate_depth(
    model: torch.nn.Module,
    processor: Any,
    rows: Any,
    accelerator: Any = None,
    *,
    min_depth: float = 1e-3,
    max_depth: float = 10.0,
    crop: str | None = None,
    on_sample: OnSample | None = None,
    **reading,
) -> dict[str, float]:
    """Depth scores, mean over the images that have ground truth.

    Metric models answer in metres and are compared as they are. Relative ones are aligned to each image's 1 / depth by
    least squares, inverted and cut off at max_depth (the zero-shot protocol of arXiv:1907.01341); their scores are
    named "aligned/...". Where the ground truth is disparity without a unit, too, its largest value counts as 1 / m.

    Args:
        model, processor, rows, accelerator: As in `data.predictions.predict_rows`, rows with depth or disparity.
        min_depth, max_depth: Metres; ground truth strictly between them counts, predictions are clamped to them.
        crop: "eigen", "garg" or None; see `crops.crop_mask`.
        on_sample: Called with each image of this process, for pictures. Ground truth is 0 where it is unknown.
        reading: batch_size, limit, num_workers, on_unreadable, read of `predict_rows`.

    Returns:
        Scores of `DepthMetrics.compute`, the same in every process; with on_unreadable="skip" also unreadable_images.

    Raises:
        ValueError: no image has ground truth, a row cannot be read or has no depth, or the crop does not fit.
    """
    config = _config_of(model, accelerator)
    relative = getattr(config, "depth_estimation_type", "relative") == "relative"
    metrics, unreadable = DepthMetrics(min_depth, max_depth), 0
    for entry in predict_rows(model, processor, rows, accelerator, **reading):
        if isinstance(entry, UnreadableRow):
            unreadable += _noted(entry)
            continue
        truth = _truth_in_metres(entry.sample, relative)
        usable = (truth > min_depth) & (truth < max_depth)
        prediction = align_depth(entry.values, truth, usable, max_depth) if relative else entry.values
        metrics.update(prediction, truth, crop_mask(crop, *truth.shape))
        if on_sample:
            on_sample(entry.index, entry.sample["image"], prediction, truth)
    scores = _merged(metrics, unreadable, accelerator, reading.get("on_unreadable"))
    return {f"aligned/{name}" if relative and name in METRICS else name: value for name, value in scores.items()}


def validate_segmentation(
    model: torch.nn.Module,
    processor: Any,
    rows: Any,
    accelerator: Any = None,
    *,
    per_class: bool = False,
    on_sample: OnSample | None = None,
    **reading,
) -> dict[str, float]:
    """Segmentation scores over all labelled pixels of all images.

    Args:
        model, processor, rows, accelerator: As in `data.predictions.predict_rows`, rows with labels.
        per_class: Also iou/NAME of each class that occurs.
        on_sample: Called with each image of this process, for pictures.
        reading: As in `validate_depth`.

    Returns:
        Scores of `SegmentationMetrics.compute`, the same in every process.

    Raises:
        ValueError: nothing is labelled, a row cannot be read or has no labels, or a label is no class.
    """
    config = _config_of(model, accelerator)
    metrics, unreadable = SegmentationMetrics(config.num_labels, config.semantic_loss_ignore_index), 0
    for entry in predict_rows(model, processor, rows, accelerator, **reading):
        if isinstance(entry, UnreadableRow):
            unreadable += _noted(entry)
            continue
        if entry.sample.get("label") is None:
            raise ValueError(f"{entry.sample['name']}: needs labels to be scored, got none. Check the data set.")
        metrics.update(entry.values, entry.sample["label"])
        if on_sample:
            on_sample(entry.index, entry.sample["image"], entry.values, entry.sample["label"])
    scores = _merged(metrics, unreadable, accelerator, reading.get("on_unreadable"))
    if per_class:
        iou = metrics.iou_per_class().tolist()
        scores |= {f"iou/{config.id2label[index]}": value for index, value in enumerate(iou) if value == value}
    return scores


def align_depth(disparity: Tensor, truth: Tensor, usable: Tensor, max_depth: float) -> Tensor:
    """Depth in metres from disparity without a unit, by the best fit to one image's ground truth.

    Args:
        disparity: Prediction. Shape (H, W).
        truth: Metres. Shape (H, W).
        usable: Pixels to fit. Shape (H, W), bool.
        max_depth: Metres; aligned disparity below 1 / max_depth (negative too) becomes that.

    Returns:
        float64 (H, W). A constant disparity gets its best fit, the mean of 1 / truth.
    """
    return affine_disparity(disparity.double(), truth.double(), usable, max_depth, mean=True)[0]


def depth_compute_metrics(
    depth_estimation_type: str = "metric",
    *,
    min_depth: float = 1e-3,
    max_depth: float = 10.0,
    averaging: str = "image",
    boundaries: bool = False,
) -> Callable[..., dict[str, float]]:
    """`compute_metrics` for a `transformers.Trainer` that trains depth.

    With TrainingArguments(batch_eval_metrics=True) it takes batch by batch, on the device, and memory stays bounded
    however large the evaluation set is; make a new one after an evaluation that was broken off.

    Args:
        depth_estimation_type: The model's (`config.depth_estimation_type`). "relative": labels are disparity, and the
            scores are those after alignment, named "aligned_...".
        min_depth, max_depth: As in `validate_depth`.
        averaging: As in `DepthMetrics`.
        boundaries: Also boundary_f1, for dense ground truth with sharp edges.

    Returns:
        Function from EvalPrediction, predictions and labels (N, H, W) with labels <= 0 where unknown, to METRICS and
        COUNTS; {} while the Trainer says that batches are to come.
    """
    relative = depth_estimation_type == "relative"

    def aligned(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        truth = _truth_in_metres({"disparity": truth, "name": "labels"}, relative)
        return align_depth(prediction, truth, (truth > min_depth) & (truth < max_depth), max_depth), truth

    def update(metrics: list, predictions: Tensor, truths: Tensor) -> None:
        if relative and len(truths):
            pairs = [aligned(*pair) for pair in zip(predictions, truths, strict=True)]
            predictions, truths = (torch.stack(maps) for maps in zip(*pairs, strict=True))
        for metric in metrics:
            metric.update(predictions, truths)

    def compute(metrics: list) -> dict[str, float]:
        scores = metrics[0].compute()
        if boundaries:
            scores["boundary_f1"] = metrics[1].compute()["boundary_f1"]
        scored = (*METRICS, "boundary_f1") if relative else ()
        return {f"aligned_{name}" if name in scored else name: value for name, value in scores.items()}

    def start() -> list:
        return [DepthMetrics(min_depth, max_depth, averaging), *([BoundaryMetrics()] if boundaries else [])]

    return _ComputeMetrics(start, update, compute)


def segmentation_compute_metrics(
    num_labels: int, ignore_index: int = 255, id2label: dict[int, str] | None = None
) -> Callable[..., dict[str, float]]:
    """`compute_metrics` for a `transformers.Trainer` that trains segmentation.

    Pass `preprocess_logits_for_metrics` to the Trainer, too: class ids take 150 times less memory than the logits of
    ADE20K. With TrainingArguments(batch_eval_metrics=True) not even those are kept, see `depth_compute_metrics`.

    Args:
        num_labels: Number of classes.
        ignore_index: Label of pixels that do not count. -100, with which the Trainer pads, does not either.
        id2label: Names; also iou_NAME of each class that occurs.

    Returns:
        Function from EvalPrediction, class ids or logits and labels (N, H, W), to the scores of `SegmentationMetrics`.
    """

    def update(metrics: SegmentationMetrics, predictions: Tensor, labels: Tensor) -> None:
        predictions = predictions.argmax(1) if predictions.ndim == 4 else predictions
        metrics.update(predictions, torch.where(labels == TRAINER_PADDING, ignore_index, labels))

    def compute(metrics: SegmentationMetrics) -> dict[str, float]:
        scores = metrics.compute()
        if id2label:
            iou = enumerate(metrics.iou_per_class().tolist())
            scores |= {f"iou_{id2label[index]}": value for index, value in iou if value == value}
        return scores

    return _ComputeMetrics(lambda: SegmentationMetrics(num_labels, ignore_index), update, compute)


class _ComputeMetrics:
    """Scores what a Trainer hands over: everything at once, in a list of batches, or batch by batch."""

    def __init__(self, start: Callable[[], Any], update: Callable, compute: Callable[[Any], dict[str, float]]):
        self._start, self._update, self._compute = start, update, compute
        self._metrics: Any = None

    def __call__(self, results: Any, compute_result: bool = True) -> dict[str, float]:
        if self._metrics is None:
            self._metrics = self._start()
        # A list holds batches (eval_do_concat_batches=False), a tuple the outputs of one.
        batches = [(results.predictions, results.label_ids)]
        if isinstance(results.label_ids, list):
            batches = zip(results.predictions, results.label_ids, strict=True)
        for predictions, labels in batches:
            self._update(self._metrics, torch.as_tensor(_first(predictions)), torch.as_tensor(_first(labels)))
        if not compute_result:
            return {}
        metrics, self._metrics = self._metrics, None
        return self._compute(metrics)


def preprocess_logits_for_metrics(logits: Any, labels: Any) -> Tensor:
    """For a Trainer: keep of the model's outputs only what its scores need, class ids instead of logits."""
    first = _first(logits)
    return first.argmax(1) if first.ndim == 4 else first


def _truth_in_metres(sample: dict, relative: bool) -> Tensor:
    """(H, W), 0 where unknown."""
    depth, disparity = sample.get("depth"), sample.get("disparity")
    if depth is None and not relative and disparity is not None:
        raise ValueError(f"{sample['name']}: a metric model is scored in metres, got disparity. Check depth_kind.")
    if depth is None and disparity is None:
        raise ValueError(f"{sample['name']}: needs depth or disparity to be scored, got neither. Check the data set.")
    if depth is not None:
        return depth
    positive = disparity.isfinite() & (disparity > 0)
    if "valid" in sample:
        positive &= sample["valid"]
    nearest = torch.where(positive, disparity, 0.0).max()
    return torch.where(positive, nearest / disparity, 0.0)


def _merged(metrics: Any, unreadable: int, accelerator: Any, on_unreadable: str | None) -> dict[str, float]:
    counted = torch.tensor([float(unreadable)], dtype=torch.float64)
    if accelerator is not None and accelerator.num_processes > 1:
        counted = accelerator.reduce(counted.to(accelerator.device), "sum").cpu()
    scores = metrics.gather(accelerator).compute()
    return scores | ({"unreadable_images": counted.item()} if on_unreadable == "skip" else {})


def _noted(entry: UnreadableRow) -> int:
    logger.warning("left out: %s", entry.error)
    return 1


def _config_of(model: torch.nn.Module, accelerator: Any) -> Any:
    return (model if accelerator is None else accelerator.unwrap_model(model)).config


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, (tuple, list)) and not isinstance(values, np.ndarray) else values
