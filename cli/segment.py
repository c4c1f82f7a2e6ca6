"""`open-dpt segment`: class of every pixel of images."""

import argparse
import json
from pathlib import Path
from typing import Any

from .image_run import ImageRun
from .messages import RequestError
from .options import add_image_options, add_model_options
from .sources import find_sources

SUMMARY = "class of every pixel of images"
DESCRIPTION = """Class of every pixel of images, folders of images, or quoted patterns such as 'photos/**/*.jpg'.

No segmentation model is bundled: name one, for example --model Intel/dpt-large-ade. A run that was stopped continues
where it was when the same command is given again."""

# Format: what it is, ending of the file name.
FORMATS = {
    "overlay": ("photo with coloured classes, PNG", "_overlay.png"),
    "labels": ("class ids, PNG", "_labels.png"),
    "classes": ("classes found and their share of the pixels, JSON", "_classes.json"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_options(parser, {name: meaning for name, (meaning, _) in FORMATS.items()}, default=list(FORMATS))
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.model is None:
        raise RequestError("--model: needed, no segmentation model is bundled. Try --model Intel/dpt-large-ade.")
    sources = find_sources(arguments.images, output=arguments.output)

    from ..processing import predict_segmentation
    from .models import load_for

    loaded = load_for(arguments, "segmentation")
    image_run = ImageRun(
        command="segment",
        sources=sources,
        output=arguments.output,
        writers={FORMATS[name][1]: _WRITERS[name] for name in arguments.format},
        settings=loaded.settings(),
        overwrite=arguments.overwrite,
    )
    return image_run.run(
        lambda images: predict_segmentation(
            loaded.model, loaded.processor, images, batch_size=arguments.batch_size, errors="yield"
        )
    )


def _write_classes(prediction: Any, image: Any, path: Path) -> None:
    import numpy as np

    from ..processing.writers import atomic_write

    ids, counts = np.unique(prediction.labels, return_counts=True)
    names = prediction.id2label or {}
    rows = [
        {"id": int(id_), "name": names.get(int(id_), str(id_)), "share": round(float(share), 6)}
        for id_, share in sorted(zip(ids, counts / counts.sum(), strict=True), key=lambda row: -row[1])
    ]
    with atomic_write(path) as file:
        file.write((json.dumps(rows, indent=1) + "\n").encode())


_WRITERS = {
    "overlay": lambda prediction, image, path: prediction.save(path, image=image),
    "labels": lambda prediction, image, path: prediction.save(path),
    "classes": _write_classes,
}
