"""`open-dpt predict`: depth or disparity of images."""

import argparse
from pathlib import Path
from typing import Any

from .image_run import ImageRun
from .options import add_image_options, add_model_options
from .sources import find_sources

SUMMARY = "depth or disparity of images"
DESCRIPTION = """Depth or disparity of images, folders of images, or quoted patterns such as 'photos/**/*.jpg'.

Relative models give disparity (larger is nearer, no unit), metric ones metres; file names say which. A run that was
stopped continues where it was when the same command is given again. Images that cannot be read are named at the end,
and the exit status is 1."""

# Format: what it is, ending of the file name. {kind} becomes disparity or depth.
FORMATS = {
    "png16": ("16-bit PNG", "_{kind}.png"),
    "color": ("colour picture, PNG", "_color.png"),
    "side-by-side": ("photo beside colour picture, PNG", "_side_by_side.png"),
    "npy": ("float32 array", "_{kind}.npy"),
    "npz": ("float32 array with kind and unit", "_{kind}.npz"),
    "pfm": ("portable float map", "_{kind}.pfm"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_options(parser, {name: meaning for name, (meaning, _) in FORMATS.items()}, default=["png16", "color"])
    add_model_options(parser, inference=True)


def run(arguments: argparse.Namespace) -> int:
    sources = find_sources(arguments.images, output=arguments.output)

    from ..processing import predict_depth
    from .models import compile_for, load_for

    loaded = load_for(arguments, "depth")
    kind = "disparity" if loaded.model.config.depth_estimation_type == "relative" else "depth"
    image_run = ImageRun(
        command="predict",
        sources=sources,
        output=arguments.output,
        writers={FORMATS[name][1].format(kind=kind): _writer(name) for name in arguments.format},
        settings=loaded.settings(),  # of the weights as they are stored
        overwrite=arguments.overwrite,
    )
    compile_for(arguments, loaded.model.optimize_for_inference())
    return image_run.run(
        lambda images: predict_depth(
            loaded.model, loaded.processor, images, batch_size=arguments.batch_size, errors="yield"
        ),
        device=loaded.model.device,
        batch_size=arguments.batch_size,
    )


def _writer(format: str):
    if format == "side-by-side":
        return _write_side_by_side
    return lambda prediction, image, path: prediction.save(path, format)


def _write_side_by_side(prediction: Any, image: Any, path: Path) -> None:
    import numpy as np

    from ..processing.writers import write_image

    write_image(path, np.concatenate([image, prediction.colorize()], axis=1))
