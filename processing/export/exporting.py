"""`export_model`: a model and its processor into one checked file."""

import copy
import errno
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...modeling_dpt.fingerprint import fingerprint
from ..image_io import ImageSource
from ..writers import explained_errors
from .check import CHECKED_SIZES, check, checked_text, example
from .encoders import exportable, resizing_positions
from .formats import Format, find_format
from .graph import ImageToPrediction
from .metadata import SMALLEST_SIDE, ExportError, describe, kind_of
from .quantize import calibration_images


@dataclass(frozen=True)
class Exported:
    """A written file, what it says about itself, and by how much it differs from the model at each checked size.

    `files` are all that it consists of, `path` the last of them: weights may lie beside it, and must go where it goes.
    """

    path: Path
    text: dict[str, str]
    differences: dict[str, float]
    files: tuple[Path, ...]


def export_model(
    model: Any,
    processor: Any,
    path: str | os.PathLike,
    format: str = "onnx",
    *,
    dtype: str = "float32",
    dynamic: bool = False,
    input_size: tuple[int, int] | None = None,
    opset: int | None = None,
    calibrate: Iterable[ImageSource] | None = None,
    name: str = "unnamed",
    licence: str | None = None,
) -> Exported:
    """Write one graph from a uint8 RGB image (batch, height, width, 3) to the prediction (batch, height, width).

    Resizing to the network's input, rescaling, normalising, the model and resizing back to the image are inside. The
    file is opened in the format's own runtime and compared with the model before it takes its name.

    Args:
        model: DPTForDepthEstimation or DPTForSemanticSegmentation; it is not changed.
        processor: Its DPTImageProcessor.
        path: File to write; replaced where it exists. Its folder must exist.
        format: A name of `formats.FORMATS`: "onnx", "torch-export" or "openvino" (.xml, with its .bin beside it).
        dtype: "float32", "float16" or "bfloat16", of weights and arithmetic; "int8", of the products' weights and
            inputs. Pixels stay uint8, depth float32.
        dynamic: Any batch, height and width from `SMALLEST_SIDE` on. Otherwise one image of `input_size`.
        input_size: (height, width) of the images; default: the size that the processor aims at.
        opset: Version of the operators of ONNX; default: the format's.
        calibrate: For int8: photos like those that the file will see, 32 at most are taken; default: the bundled ones.
        name, licence: Of the model, for the file's metadata.

    Raises:
        ExportError: unknown format, dtype, opset or model, a size or an encoder that it cannot be, or a file that
            differs from the model.
        OSError: the file cannot be written, or a photo cannot be read.
        ImageError: a file for `calibrate` is no image.
    """
    path = Path(path)
    given = calibrate is not None
    chosen = check_request(
        path, format, dtype=dtype, dynamic=dynamic, input_size=input_size, opset=opset, calibrate=given
    )
    opset = opset or next(iter(chosen.opsets), None)
    kind_of(model)
    if getattr(model, "is_int8", False):
        raise ExportError(
            "model: has 8-bit weights of quantize_int8 already. Load it again, and choose dtype int8 here."
        )
    size = None if dynamic else tuple(input_size or processor.size.values())
    _check_sizes(model.config.size_divisor, processor, size)
    sizes = list(CHECKED_SIZES) if size is None else [size]
    text = describe(
        model, processor, name=name, weights=fingerprint(model), licence=licence, dtype=dtype, input_size=size
    )
    text["checked"] = checked_text(dtype, kind_of(model), sizes)
    if opset is not None:
        text["opset"] = str(opset)
    computed = chosen.dtypes[dtype]
    photos = list(calibration_images(calibrate, size)) if dtype == "int8" else []
    if photos:
        text["calibrated"] = f"on {len(photos) // 2} {'given' if given else 'bundled'} photos, each mirrored"
    files: list[Path] = []
    with _new_files(path, files) as temporary, _quiet():
        graph = ImageToPrediction(exportable(model, computed), processor).eval()
        program = _program(graph, example(sizes), dynamic=dynamic)
        del graph
        chosen.write(program, temporary, text, opset, dtype, iter(photos))
        del program
        differences = check(chosen.open(temporary), _reference(model, computed), processor, dtype, sizes)
    return Exported(path, text, differences, tuple(files))


def check_request(
    path: Path,
    format: str,
    *,
    dtype: str = "float32",
    dynamic: bool = False,
    input_size: tuple[int, int] | None = None,
    opset: int | None = None,
    calibrate: bool = False,
) -> Format:
    """What is wrong with a request whatever the model is, told before gigabytes are fetched and loaded.

    Args: as of `export_model`; `calibrate`: whether there are photos.

    Raises:
        ExportError, OSError: as `export_model`.
    """
    chosen = find_format(format, dtype)
    if opset is not None and not chosen.opsets:
        raise ExportError(f"opset: {format} has no operator versions, got {opset}. Leave it out.")
    if opset is not None and opset not in chosen.opsets:
        low, high = min(chosen.opsets), max(chosen.opsets)
        raise ExportError(f"opset: must be {low} to {high} for {format}, got {opset}.")
    if calibrate and dtype != "int8":
        raise ExportError(f"calibrate: photos are for dtype int8, got {dtype!r}. Choose int8, or leave them out.")
    if input_size is not None and dynamic:
        given = f"{input_size[0]} x {input_size[1]}"
        raise ExportError(f"input size: a dynamic graph takes any, got {given}. Leave one of the two out.")
    if path.suffix != chosen.suffix:
        raise ExportError(f"{path}: a file of format {format} must end in {chosen.suffix}. Rename it.")
    with explained_errors(path):
        os.stat(os.path.join(path.parent, "."))
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
    return chosen


def _check_sizes(divisor: int, processor: Any, size: tuple[int, int] | None) -> None:
    """Whether every image that the graph takes becomes an input that the network takes."""
    aim = processor.size["height"], processor.size["width"]
    if size is not None and min(size) < SMALLEST_SIDE:
        raise ExportError(f"input size: sides must be {SMALLEST_SIDE} or more, got {size[0]} x {size[1]}.")
    if processor.do_resize and min(aim) < divisor:
        raise ExportError(
            f"image size: sides must be at least {divisor}, the model's stride, got {aim[0]} x {aim[1]}."
        )
    if size is not None:
        network = processor.geometry(*size).output
        if network[0] % divisor or network[1] % divisor:
            raise ExportError(
                f"input size: {size[0]} x {size[1]} would enter the network as {network[0]} x {network[1]}, which is "
                f"no multiple of its stride {divisor}. Let the processor resize to multiples of it."
            )
        return
    if not processor.do_resize:
        raise ExportError("dynamic: needs a processor that resizes, got do_resize=False. Give one input size instead.")
    if processor.keep_aspect_ratio and (processor.ensure_multiple_of or 1) % divisor:
        raise ExportError(
            f"ensure_multiple_of: must be a multiple of the model's stride {divisor} for a dynamic graph, got "
            f"{processor.ensure_multiple_of}."
        )
    if not processor.keep_aspect_ratio and (aim[0] % divisor or aim[1] % divisor):
        raise ExportError(f"image size: sides must be multiples of {divisor}, got {aim[0]} x {aim[1]}.")
    if processor.do_pad and (processor.ensure_multiple_of or 1) % (processor.size_divisor or 1):
        raise ExportError(
            f"do_pad: a dynamic graph cannot pad to multiples of {processor.size_divisor}. Set ensure_multiple_of to "
            "it, or give one input size."
        )


def _program(graph: ImageToPrediction, image: torch.Tensor, *, dynamic: bool) -> torch.export.ExportedProgram:
    any_side = {
        0: torch.export.Dim("batch"),
        1: torch.export.Dim("height", min=SMALLEST_SIDE),
        2: torch.export.Dim("width", min=SMALLEST_SIDE),
    }
    try:
        # Where it fails, torch prints the whole graph.
        with torch.no_grad(), resizing_positions(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return torch.export.export(graph, (image,), dynamic_shapes=(any_side,) if dynamic else None)
    except Exception as error:  # whatever the encoder's code does with sizes
        backbone = getattr(graph.model.config, "backbone_config", None)
        encoder = getattr(backbone, "model_type", "native")
        reason = str(error).strip().partition("\n")[0]
        remedy = "Leave dynamic out, or set keep_aspect_ratio=False in the processor. " if dynamic else ""
        raise ExportError(
            f"encoder {encoder!r}: torch cannot make a graph of it{' for any size' if dynamic else ''}. {remedy}"
            f"torch says: {reason}"
        ) from error


def _reference(model: Any, dtype: torch.dtype) -> Any:
    """The model as it is for comparison, on the CPU and in the dtype of the graph."""
    if model.dtype == dtype and model.device.type == "cpu":
        return model
    return copy.deepcopy(model).to(device="cpu", dtype=dtype)


@contextmanager
def _new_files(path: Path, moved: list[Path]) -> Iterator[Path]:
    """A path of the same name in a folder of its own; what lies there when the block ends well moves beside `path`."""
    with explained_errors(path), tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder, path.name)
        # The file that refers to the others comes last.
        for file in sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name):
            moved.append(path.parent / file.name)
            os.replace(file, moved[-1])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice of the exporters, which is about their own insides, out of the way; errors still come."""
    names = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch._export")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
