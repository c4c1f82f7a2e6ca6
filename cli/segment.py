"""`open-dpt segment`: class of every pixel of images."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .image_run import ImageRun
from .messages import RequestError
from .options import add_image_options, add_model_options
from .sources import find_sources

SUMMARY = "class of every pixel of images"
DESCRIPTION = """Class of every pixel of images, folders of images, or quoted patterns such as 'photos/**/*.jpg'.

No segmentation model is bundled: name one, for example --model Intel/dpt-large-ade. A run that was stopped continues
where it was when the same command is given again.

By default a photo is resized to the model's size and seen once; --multi-scale, --sliding-window and --flip see it more
often and take longer. With windows, --batch-size counts windows."""

# Format: what it is, ending of the file name.
FORMATS = {
    "overlay": ("photo with coloured classes, PNG", "_overlay.png"),
    "labels": ("class ids, PNG", "_labels.png"),
    "classes": ("classes found and their share of the pixels, JSON", "_classes.json"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_image_options(parser, {name: meaning for name, (meaning, _) in FORMATS.items()}, default=list(FORMATS))
    add_model_options(parser, inference=True)
    looks = parser.add_mutually_exclusive_group()
    looks.add_argument(
        "--multi-scale",
        action="store_true",
        help="look at six sizes of each photo through windows of the model's size, and add up (Zhang et al.)",
    )
    looks.add_argument(
        "--sliding-window",
        action="store_true",
        help="look at each photo in its own size, through windows of the model's size",
    )
    parser.add_argument("--flip", action="store_true", help="look at everything mirrored, too; takes twice the time")


def run(arguments: argparse.Namespace) -> int:
    if arguments.model is None:
        raise RequestError("--model: needed, no segmentation model is bundled. Try --model Intel/dpt-large-ade.")
    sources = find_sources(arguments.images, output=arguments.output)

    from ..processing import predict_segmentation
    from .models import compile_for, load_for

    loaded = load_for(arguments, "segmentation")
    strategy = _strategy(arguments, loaded)
    image_run = ImageRun(
        command="segment",
        sources=sources,
        output=arguments.output,
        writers={FORMATS[name][1]: _WRITERS[name] for name in arguments.format},
        settings=loaded.settings() | _look(arguments, strategy),  # of the weights as they are stored
        overwrite=arguments.overwrite,
    )
    compile_for(arguments, loaded.model.optimize_for_inference())
    return image_run.run(
        lambda images: predict_segmentation(
            loaded.model,
            loaded.processor,
            images,
            batch_size=arguments.batch_size,
            flip=arguments.flip,
            strategy=strategy,
            errors="yield",
        ),
        device=loaded.model.device,
        batch_size=arguments.batch_size,
    )


def _strategy(arguments: argparse.Namespace, loaded: Any) -> Any:
    """The MultiScale that the options ask for, or None."""
    from ..processing import MultiScale

    divisor = loaded.model.config.size_divisor
    window = max(min(loaded.processor.size.values()) // divisor, 1) * divisor
    if arguments.multi_scale:
        return MultiScale.of_window(window)
    return MultiScale.of_window(window, scales=(1.0,), base_size=None) if arguments.sliding_window else None


def _look(arguments: argparse.Namespace, strategy: Any) -> dict:
    """What the options add to the settings of a run; nothing where none is given."""
    look = {} if strategy is None else {"strategy": json.loads(json.dumps(asdict(strategy)))}
    return look | ({"flip": True} if arguments.flip else {})


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
