"""Images in, predictions out: a stream that reads ahead a little, batches equal sizes, and keeps the order."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from .image_io import ImageError, image_tensor
from .image_processing_dpt import DPTImageProcessor, group_by_shape
from .mirror import mirror_mean
from .multi_scale import MultiScale, segment_image
from .post_processing import DepthPrediction, SegmentationPrediction

# Batches of input that are read ahead to find images of equal size; prepared inputs are kept, not photos.
WINDOW_BATCHES = 4


@dataclass(frozen=True)
class FailedImage:
    """Stands in the stream for an image that could not be read."""

    source: Any
    error: Exception


def predict_depth(
    model: torch.nn.Module,
    processor: DPTImageProcessor,
    images: Any,
    *,
    batch_size: int = 1,
    mode: str = "bicubic",
    flip: bool = False,
    errors: str = "raise",
) -> Iterator[DepthPrediction | FailedImage]:
    """Predict depth for a stream of images of any sizes.

    Args:
        model: DPTForDepthEstimation, ours or stock; runs in its own dtype, on its own device.
        processor: Prepares the images, on that device, too.
        images: One source or an iterable of them (a generator is read a few batches ahead, never as a whole); sources
            as in `image_io.load_image`.
        batch_size: Images of equal input size that run together.
        mode: Resizing to the original size, as in `resize.resize_prediction`; the authors' is "bicubic".
        flip: Average with the prediction of the mirrored image; takes twice the time.
        errors: "raise" stops at the first unreadable image; "yield" puts a `FailedImage` in its place.

    Yields:
        One DepthPrediction per image, in the order of the images, at the image's size (EXIF orientation applied):
        disparity without a unit for relative models, depth in metres for metric ones.

    Raises:
        ValueError: wrong option; with errors="raise" also what `image_io.load_image` raises.
    """
    metric = getattr(model.config, "depth_estimation_type", "relative") == "metric"
    meaning = {"kind": "depth", "unit": "metre"} if metric else {"kind": "disparity", "unit": "relative"}

    def finish(outputs, sizes) -> list[DepthPrediction]:
        results = processor.post_process_depth_estimation(outputs, sizes, mode=mode)
        return [DepthPrediction(result["predicted_depth"], **meaning) for result in results]

    return _predict(model, processor, images, batch_size, flip, errors, finish)


def predict_segmentation(
    model: torch.nn.Module,
    processor: DPTImageProcessor,
    images: Any,
    *,
    batch_size: int = 1,
    mode: str = "bicubic",
    flip: bool = False,
    strategy: MultiScale | None = None,
    errors: str = "raise",
) -> Iterator[SegmentationPrediction | FailedImage]:
    """Predict class ids for a stream of images; arguments and order as in `predict_depth`.

    Args:
        flip: Average the logits with those of the mirrored image; with a strategy, as its own `flip`.
        strategy: Several sizes and sliding windows instead of one input of the processor's size. Images then go one by
            one, `batch_size` is the number of windows that run together, and `mode` has no part in it.

    Yields:
        One SegmentationPrediction per image, at the image's size.
    """
    id2label = getattr(model.config, "id2label", None)
    if strategy is not None:
        strategy = replace(strategy, flip=strategy.flip or flip)

        def segment(image) -> SegmentationPrediction:
            return SegmentationPrediction(
                segment_image(model, processor, image, strategy, batch_size=batch_size), id2label
            )

        _check_options(batch_size, errors)
        return _one_by_one(model, _as_stream(images), errors, segment)

    def finish(outputs, sizes) -> list[SegmentationPrediction]:
        maps = processor.post_process_semantic_segmentation(outputs, sizes, mode=mode)
        return [SegmentationPrediction(labels, id2label) for labels in maps]

    return _predict(model, processor, images, batch_size, flip, errors, finish)


def _one_by_one(model, images: Iterator, errors: str, predict: Callable) -> Iterator:
    was_training = _to_eval(model)
    try:
        for source in images:
            try:
                result = predict(source)
            except (OSError, ImageError, TypeError) as error:  # of the image, not of model or strategy
                if errors == "raise":
                    raise
                result = FailedImage(source, error)
            yield result
    finally:
        if was_training:
            model.train()


def _to_eval(model) -> bool:
    """Switch to eval mode, and tell whether the model was in training mode."""
    was_training = model.training
    # Switching costs as much as decoding a photo, and a stream may hold but one.
    if any(module.training for module in model.modules()):
        model.eval()
    return was_training


def _check_options(batch_size: int, errors: str) -> None:
    if errors not in ("raise", "yield"):
        raise ValueError(f"errors: must be 'raise' or 'yield', got {errors!r}.")
    group_by_shape([], batch_size)  # checks batch_size before the stream starts


def _predict(model, processor, images, batch_size: int, flip: bool, errors: str, finish: Callable) -> Iterator:
    _check_options(batch_size, errors)
    run = partial(mirror_mean, model) if flip else model
    return _stream(model, run, processor, _as_stream(images), batch_size, errors, finish)


def _stream(model, run, processor, images: Iterator, batch_size: int, errors: str, finish: Callable) -> Iterator:
    # With single images there is nothing to group, so each result comes at once.
    window = batch_size * WINDOW_BATCHES if batch_size > 1 else 1
    was_training = _to_eval(model)
    try:
        while sources := list(islice(images, window)):
            device = _device(model)
            results: list = [_prepare(processor, source, device, errors) for source in sources]
            ready = [i for i, item in enumerate(results) if not isinstance(item, FailedImage)]
            for group in group_by_shape([results[i][0] for i in ready], batch_size):
                indices = [ready[i] for i in group]
                inputs = torch.stack([results[i][0] for i in indices])
                with torch.inference_mode():
                    outputs = run(pixel_values=inputs.to(device, _dtype(model)))
                    finished = finish(outputs, [results[i][1] for i in indices])
                for index, result in zip(indices, finished, strict=True):
                    results[index] = result
            yield from results
    finally:
        if was_training:
            model.train()


def _prepare(
    processor, source: Any, device: torch.device, errors: str
) -> tuple[torch.Tensor, tuple[int, int]] | FailedImage:
    """Network input (3, h, w), made on the device from the photo's bytes, and the original (height, width)."""
    try:
        image = image_tensor(source, keep_values=not processor.do_rescale)
        return processor(image, device=device)["pixel_values"][0], tuple(image.shape[-2:])
    except (OSError, ValueError, TypeError) as error:
        if errors == "raise":
            raise
        return FailedImage(source, error)


def _as_stream(images: Any) -> Iterator:
    single = hasattr(images, "read") or not isinstance(images, Iterable) or isinstance(images, (str, bytes, bytearray))
    if isinstance(images, (np.ndarray, torch.Tensor)):
        single = images.ndim < 4
    return iter([images] if single else images)


def _device(model: torch.nn.Module) -> torch.device:
    return next(model.parameters()).device


def _dtype(model: torch.nn.Module) -> torch.dtype:
    return next(parameter.dtype for parameter in model.parameters() if parameter.is_floating_point())
