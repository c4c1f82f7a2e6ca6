"""What an exported file says about itself: text keys and values, the same in every format."""

import json
import platform
from contextlib import suppress
from importlib import metadata
from typing import Any

from ..._version import __version__


class ExportError(ValueError):
    """A file cannot be had as asked. The message is one line: why, and what to do."""


# Image sides that a graph of any size takes. Below it there is nothing to see, and torch.export treats 1 as special.
SMALLEST_SIDE = 16


def kind_of(model: Any) -> str:
    """ "disparity", "depth" or "labels": what a model's graph returns.

    Raises:
        ExportError: it is none of our models with a head.
    """
    names = [kind.__name__ for kind in type(model).__mro__]
    if "DPTForSemanticSegmentation" in names:
        return "labels"
    if "DPTForDepthEstimation" in names:
        return "depth" if model.config.depth_estimation_type == "metric" else "disparity"
    raise ExportError(
        f"model: must be a DPTForDepthEstimation or a DPTForSemanticSegmentation, got {type(model).__name__}. "
        "An encoder alone predicts nothing."
    )


def describe(
    model: Any,
    processor: Any,
    *,
    name: str,
    weights: str,
    licence: str | None,
    dtype: str,
    input_size: tuple[int, int] | None,
) -> dict[str, str]:
    """Text for the file; values that are no plain words are JSON.

    Args:
        name: What to call the model.
        weights: Fingerprint of model and weights.
        licence: As its publisher states it.
        dtype: Of weights and arithmetic.
        input_size: (height, width) of the images, or None for any.

    Returns:
        kind, unit, output, labels (segmentation), model, weights, licence, input, dtype, opset and versions come from
        here; the writer adds `opset`, the check `checked`.
    """
    kind = kind_of(model)
    unit = {"disparity": "relative", "depth": "metre", "labels": "class id"}[kind]
    sides = [f">= {SMALLEST_SIDE}"] * 2 if input_size is None else list(input_size)
    rule = ("do_resize", "size", "keep_aspect_ratio", "resize_method", "ensure_multiple_of", "resample", "antialias")
    rule += ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std", "do_pad", "size_divisor")
    text = {
        "kind": kind,
        "unit": unit,
        "meaning": _MEANINGS[kind],
        "model": name,
        "weights": weights,
        "licence": licence or "not stated; ask whoever published the weights",
        "input": json.dumps(
            {
                "name": "image",
                "dtype": "uint8",
                "layout": "batch, height, width, channel",
                "channels": "RGB",
                "shape": ["any" if input_size is None else 1, *sides, 3],
                # Where PyTorch's would be one, the graph's answer is another: docs/export.md.
                **({"strides a side inside": ">= 2"} if input_size is None else {}),
                "inside": {key: getattr(processor, key) for key in rule},
            }
        ),
        "dtype": dtype,
        "versions": json.dumps({"open_dpt": __version__, "python": platform.python_version()} | _versions()),
    }
    if kind == "labels":
        text["labels"] = json.dumps({int(index): label for index, label in model.config.id2label.items()})
    return text


_MEANINGS = {
    "disparity": "inverse depth up to scale and shift, larger is nearer; float32 (batch, height, width) of the image",
    "depth": "depth in metres; float32 (batch, height, width) of the image",
    "labels": "class id per pixel; int64 (batch, height, width) of the image",
}


def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "openvino"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
