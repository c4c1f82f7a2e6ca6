"""8-bit weights and activations for an ONNX file, by ONNX Runtime's static quantization.

Rounded are the products that cost most: linear layers of the encoder and 3x3 convolutions of the decoder. Everything
else stays as it is: sums, norms, attention scores, resizing, and the convolutions of `_EXACT`.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...assets import bundled_photo_paths
from ..image_io import ImageSource, load_image
from .metadata import ExportError

# Photos that ranges are measured on: more cost minutes and change little.
MOST_IMAGES = 32
# Longest side of a photo where any size is taken. The network's input is of its own size in any case.
_LONGEST_SIDE = 640

# Parts of module names: convolutions that cost little, or lose most. The stem sees every pixel, the head writes the
# result, the coarsest fusion level and all 1x1 convolutions there carry the largest values.
_EXACT = (".embeddings'", ".head'", ".projection'", ".fusion_stage.layers.0'")


def calibration_images(sources: Iterable[ImageSource] | None, size: tuple[int, int] | None) -> Iterator[np.ndarray]:
    """Photos as uint8 (1, height, width, 3): at most `MOST_IMAGES`, spread evenly, and each mirrored.

    Args:
        sources: What `load_image` reads; None: the bundled photos.
        size: (height, width) that they are resized to; None: as they are, large ones smaller.

    Raises:
        OSError, ImageError: one cannot be read.
        ExportError: there is none.
    """
    sources = bundled_photo_paths() if sources is None else list(sources)
    if not sources:
        raise ExportError("calibrate: needs at least one photo, got none.")
    for source in sources[:: -(-len(sources) // MOST_IMAGES)]:
        photo = load_image(source)
        if size is None:
            photo.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        else:
            photo = photo.resize(size[::-1], Image.Resampling.BICUBIC)
        pixels = np.asarray(photo)[None]
        yield pixels
        yield np.ascontiguousarray(pixels[:, :, ::-1])


def quantize(source: Path, path: Path, images: Iterator[np.ndarray]) -> None:
    """Write a float32 ONNX file again with 8-bit products.

    Args:
        source: File to read, its weights inside or beside it.
        path: File to write, in another folder. Weights are inside: a quarter of what they were.
        images: What the graph takes, to measure the ranges of activations on.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Photos(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(images, None)
            return None if image is None else {"image": image}

    exact = onnx.load(source, load_external_data=False)
    weights = {tensor.name for tensor in exact.graph.initializer}
    with _quiet():
        quantize_static(
            source,
            path,
            Photos(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "MatMul"],
            nodes_to_quantize=[node.name for node in exact.graph.node if _is_product(node, weights)],
            use_external_data_format=source.with_name(source.name + ".data").exists(),
        )
    quantized = onnx.load(path)
    path.with_name(path.name + ".data").unlink(missing_ok=True)
    quantized.producer_name = exact.producer_name
    quantized.metadata_props.clear()
    quantized.metadata_props.extend(exact.metadata_props)
    onnx.save(quantized, path)


def _is_product(node: Any, weights: set[str]) -> bool:
    if node.op_type not in ("Conv", "MatMul") or node.input[1] not in weights:
        return False
    scopes = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes", "")
    return "'model'" in scopes and not any(part in scopes for part in _EXACT)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's advice to simplify the graph first, which the exporter has done, out of the way."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)
