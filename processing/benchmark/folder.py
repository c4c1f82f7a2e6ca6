"""A folder of photos of mixed sizes to files: decoding, processing, network, resizing back, writing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...assets import bundled_photo_paths
from ..dtypes import choose_dtype
from ..image_io import load_pixels
from ..image_processing_dpt import DPTImageProcessor
from ..overlap import predict_files
from ..predictor import predict_depth
from .checkpoints import load_own, load_stock
from .measure import Reference, Work, compare_and_time, reference_for
from .suites import OWN, PEERS, Options, Size, candidates_of

# (height, width) of the photos, in turns: cameras and phones, small and large, upright and not, and a car's camera.
PHOTO_SIZES = ((480, 640), (1200, 1800), (640, 480), (375, 1242), (1800, 1200), (600, 800))

AUTO = f"{OWN}, dtype auto"

# So many photos before the next candidate takes its turn.
CHUNK = 8


def write_photos(folder: Path, count: int) -> list[Path]:
    """JPEG files cut from the bundled photos in sizes of `PHOTO_SIZES`."""
    originals = [Image.open(path).convert("RGB") for path in bundled_photo_paths()]
    paths = []
    for index, (height, width) in enumerate(islice(cycle(PHOTO_SIZES), count)):
        random = np.random.default_rng(index)
        photo = originals[index % len(originals)]
        part = random.uniform(0.7, 1.0) * min(photo.width / width, photo.height / height)
        left = random.uniform(0, photo.width - part * width)
        top = random.uniform(0, photo.height - part * height)
        paths.append(folder / f"{index:04d}.jpg")
        box = (left, top, left + part * width, top + part * height)
        photo.resize((width, height), Image.Resampling.BICUBIC, box=box).save(paths[-1], quality=90)
    return paths


def measure(case: dict[str, Any], folder: Path, options: Options) -> dict[str, Any]:
    """Photos in files through the checkpoint in `folder`; the batch size is ours, peers go one by one.

    Where `--dtype auto` would take another dtype, that is timed beside; its answers are compared in that dtype's case.
    """
    names = candidates_of(case["suite"], options)
    if case["dtype"] == "float32" != choose_dtype(options.device)[0]:
        names.append(AUTO)
    dtype, batch = getattr(torch, case["dtype"]), case["batch"]
    (folder / "photos").mkdir(exist_ok=True)
    photos = write_photos(folder / "photos", options.photos)
    _write_processor(folder, (case["height"], case["width"]))
    chunk = min(CHUNK, len(photos))
    chunks = [photos[start : start + chunk] for start in range(0, len(photos) - chunk + 1, chunk)]
    reference = _reference(folder, photos[0], dtype, options.device)
    low, high = reference.values.min(), reference.values.max()

    def candidate(name: str) -> Work:
        own = partial(_own, batch_size=batch)
        make = {OWN: own, AUTO: own, "pipeline": _pipeline, "loop": _loop}[name]
        chosen = getattr(torch, choose_dtype(options.device)[0]) if name == AUTO else dtype
        predict_and_write = make(folder, chosen, options.device)
        output = folder / name
        output.mkdir(exist_ok=True)

        def answer() -> Tensor:
            values = predict_and_write(photos[:1], output).cpu()
            # Peers overshoot the network's range at edges, ours keeps within it.
            return values.clamp(low, high) if name in PEERS else values

        return Work(
            lambda number: predict_and_write(chunks[number % len(chunks)], output), None if name == AUTO else answer
        )

    candidates = {name: partial(candidate, name) for name in names}
    measured = compare_and_time(candidates, reference, options, dtype=dtype, images=chunk, warm_up=1)
    return {"photos": len(photos), **measured}


Predict = Callable[[list[Path], Path], Tensor]
"""From photos and the folder for results to the prediction of the last one, (1, H, W) as large as the photo."""


def _own(folder: Path, dtype: torch.dtype, device: str, batch_size: int) -> Predict:
    model = load_own(folder, dtype, device).optimize_for_inference()
    processor = DPTImageProcessor.from_pretrained(folder)

    def predict(photos: list[Path], output: Path) -> Tensor:
        values = {}

        def write(path: Path, image: Any, prediction: Any) -> None:
            prediction.save(output / f"{path.stem}.png")
            values[path] = prediction.values

        stages = {"read": load_pixels, "predict": partial(predict_depth, model, processor, batch_size=batch_size)}
        for _ in predict_files(photos, **stages, write=write, device=device, batch_size=batch_size):
            pass
        return torch.as_tensor(values[photos[-1]])[None]

    return predict


def _pipeline(folder: Path, dtype: torch.dtype, device: str) -> Predict:
    from transformers import pipeline

    model = load_stock(folder, dtype, device)
    pipe = pipeline("depth-estimation", model=model, image_processor=_stock_processor(folder), device=device)

    def predict(photos: list[Path], output: Path) -> Tensor:
        for path, result in zip(photos, pipe([str(path) for path in photos]), strict=True):
            result["depth"].save(output / f"{path.stem}.png")
        return result["predicted_depth"].reshape(1, *result["predicted_depth"].shape[-2:])

    return predict


def _loop(folder: Path, dtype: torch.dtype, device: str) -> Predict:
    model, processor = load_stock(folder, dtype, device), _stock_processor(folder)

    def predict(photos: list[Path], output: Path) -> Tensor:
        for path in photos:
            with Image.open(path) as file:
                image = file.convert("RGB")
            inputs = processor(images=image, return_tensors="pt").to(device, dtype)
            with torch.inference_mode():
                outputs = model(**inputs)
            outputs.predicted_depth = outputs.predicted_depth.float()
            sizes = [(image.height, image.width)]
            depth = processor.post_process_depth_estimation(outputs, target_sizes=sizes)[0]["predicted_depth"]
            spread = (depth - depth.min()) / (depth.max() - depth.min()) * 65535
            Image.fromarray(spread.cpu().numpy().astype(np.uint16)).save(output / f"{path.stem}.png")
        return depth[None]

    return predict


def _write_processor(folder: Path, size: Size) -> None:
    """Settings that both read: the stock class's, which resize to one shape as the stock model needs it."""
    from transformers import DPTImageProcessor as StockProcessor

    StockProcessor(size={"height": size[0], "width": size[1]}).save_pretrained(folder)


def _stock_processor(folder: Path) -> Any:
    from transformers import DPTImageProcessor as StockProcessor

    return StockProcessor.from_pretrained(folder)


def _reference(folder: Path, photo: Path, dtype: torch.dtype, device: str) -> Reference:
    def answer(dtype: torch.dtype) -> Tensor:
        model = load_own(folder, dtype, device)
        (prediction,) = predict_depth(model, DPTImageProcessor.from_pretrained(folder), [photo])
        return torch.as_tensor(prediction.values)[None]

    plain = answer(torch.float32)
    return reference_for(plain, None if dtype == torch.float32 else answer(dtype))
