"""`open-dpt export`: one checked file from image to prediction, for other runtimes."""

import argparse
from pathlib import Path

from ..processing.dtype_names import DTYPES, full_dtype_name
from .messages import RequestError
from .options import positive, size

SUMMARY = "one ONNX, OpenVINO or torch.export file from image to prediction"
DESCRIPTION = """Write MODEL as one graph: uint8 RGB images (batch, height, width, 3) to maps (batch, height, width).

Resizing, normalising, the model and resizing back are inside. The file is opened in its own runtime and compared with
the model on a photo before it takes its name. Its metadata say what it takes and returns, and in which unit.

  open-dpt export Intel/dpt-hybrid-midas --dynamic --image-size 384
  open-dpt export my_model/ --format openvino --input-size 720x1280 --image-size 384x672
  open-dpt export --format torch-export --dtype bfloat16 --output dpt.pt2
  open-dpt export my_model/ --format openvino --dtype int8 --calibrate my_photos/"""

# How the files of a format end, the named one first. Known before torch is imported; a test compares them with
# processing.export.FORMATS.
SUFFIXES = {"onnx": (".onnx", ".onnx.data"), "torch-export": (".pt2",), "openvino": (".xml", ".bin")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="hub id, folder or authors' .pt file (default: the bundled model)"
    )
    parser.add_argument("--format", choices=SUFFIXES, default="onnx", help="default: %(default)s")
    parser.add_argument(
        "--dtype",
        type=full_dtype_name,
        choices=(*DTYPES, "int8"),
        default="float32",
        help="of weights and arithmetic (default: float32)",
    )
    parser.add_argument(
        "--calibrate", metavar="FOLDER", help="photos that int8 is adjusted to (default: the three bundled ones)"
    )
    parser.add_argument(
        "--dynamic", action="store_true", help="any batch, height and width; else one image of one size"
    )
    parser.add_argument(
        "--image-size",
        type=size,
        metavar="N|HxW",
        help="size that images are resized to for the model, inside (default: what its processor says)",
    )
    parser.add_argument(
        "--input-size",
        type=size,
        metavar="N|HxW",
        help="size of the images themselves, without --dynamic (default: the size they would be resized to)",
    )
    parser.add_argument("--opset", type=positive, metavar="N", help="version of ONNX's operators (default: 20)")
    parser.add_argument("--task", choices=("depth", "segmentation"), help="where the checkpoint does not say")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: the model's name in this folder")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")


def run(arguments: argparse.Namespace) -> int:
    suffix = SUFFIXES[arguments.format][0]
    output = arguments.output or Path((Path(arguments.model or "dpt-tiny").stem or "model") + suffix)
    if output.is_dir():
        raise RequestError(f"{output}: is a folder. Name a file in it that ends in {suffix}.")
    for file in (output, *(output.with_suffix(each) for each in SUFFIXES[arguments.format])):
        if file.exists() and not arguments.overwrite:
            raise RequestError(f"{file}: exists. Choose another --output, or replace it with --overwrite.")

    from ..processing.export import export_model
    from ..processing.export.exporting import check_request
    from .info import licence_of
    from .models import load
    from .sources import find_sources

    form = {name: getattr(arguments, name) for name in ("format", "dtype", "dynamic", "input_size", "opset")}
    check_request(output, **form, calibrate=arguments.calibrate is not None)
    photos = None
    if arguments.calibrate is not None:
        photos = [source.location for source in find_sources([arguments.calibrate], output=output)]
    task = arguments.task or _stated_task(arguments.model, arguments.revision)
    loaded = load(arguments.model, task, revision=arguments.revision, image_size=arguments.image_size)
    exported = export_model(
        loaded.model,
        loaded.processor,
        output,
        **form,
        calibrate=photos,
        name=loaded.name,
        licence=licence_of(arguments.model, arguments.revision),
    )
    text = exported.text
    megabytes = sum(file.stat().st_size for file in exported.files) / 1e6
    beside = "".join(f" with {file.name} beside it" for file in exported.files if file != output)
    print(f"{output}: {text['kind']} ({text['unit']}), {megabytes:.1f} MB{beside}, opset {text.get('opset', 'none')}")
    for where, difference in exported.differences.items():
        print(f"  {where}: differs from PyTorch by {difference:.1e}")
    return 0


def _stated_task(name: str | None, revision: str | None) -> str | None:
    """The task that a folder or hub model states; None for an authors' file, whose weights tell.

    Raises:
        RequestError: it states none.
    """
    from ..configuration import DPTConfig
    from ..processing.loading import locate, task_of

    location = locate(name)
    if Path(location).is_file():
        return None
    task = task_of(DPTConfig.from_pretrained(location, revision=revision))
    if task is None:
        raise RequestError(
            f"{name}: its config.json does not say what it predicts. Name it with --task depth or --task segmentation."
        )
    return task
