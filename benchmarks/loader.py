"""How fast `TrainingLoader` makes training batches: images a second for each worker, on files made for the purpose.

    python benchmarks/loader.py --workers 0 1 2 --output loader.json

Layouts are those of the public data sets, with pieces of the bundled photos as pictures, so that decoding costs what
it costs there. The files are read before they are timed: this is about processors, not about disks. The first three
columns are processor time in one process, which other users of the machine do not change; images a second are by the
clock. `--device cuda` lets workers decode only and transforms on the GPU.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image

from open_dpt.assets import bundled_photo_paths
from open_dpt.data import make_rows, raw_rows, read_sample
from open_dpt.data.batches import generator_at
from open_dpt.data.loading import TrainingLoader
from open_dpt.data.transforms import TrainTransform
from open_dpt.processing.benchmark import describe_machine
from open_dpt.processing.benchmark.report import machine_line


@dataclass(frozen=True)
class Layout:
    """Pictures as a data set has them, and a transform that trains on it.

    Args:
        size: (height, width) of the pictures.
        suffix: Of the pictures; maps are PNG.
        known: Part of the depth map's pixels that are not holes; None for class ids.
        transform: What `TrainTransform` is given.
    """

    size: tuple[int, int]
    suffix: str
    known: float | None
    transform: dict[str, Any]


_NYU = {"size": (416, 544), "crop_first": "nyu-border", "rotation": 2.5, "colour": "bts-nyu"}
_KITTI = {"size": (352, 704), "crop_first": "kb", "rotation": 1.0, "colour": "bts-kitti"}
_LABEL = {"size": (480, 480), "targets": "label", "rescale_to": 520, "rescale": (0.5, 2.0)}

LAYOUTS = {
    "NYUv2, JPEG + 16-bit PNG": Layout((480, 640), ".jpg", 0.9, _NYU),
    "NYUv2, without rotation": Layout((480, 640), ".jpg", 0.9, _NYU | {"rotation": 0.0}),
    "KITTI, PNG + 16-bit PNG": Layout((375, 1242), ".png", 0.2, _KITTI),
    "KITTI as JPEG + 16-bit PNG": Layout((375, 1242), ".jpg", 0.2, _KITTI),
    "ADE20K size, JPEG + labels": Layout((375, 500), ".jpg", None, _LABEL),
    "the same, with colours of SSD": Layout((375, 500), ".jpg", None, _LABEL | {"colour": "ssd"}),
}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=5.0, help="Of measuring, for each line.")
    parser.add_argument("--images", type=int, default=48, help="Different files of each layout.")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--device", help="Transform here instead of in the workers, e.g. cuda.")
    parser.add_argument("--output", help="JSON file for the figures.")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as in a worker; more would show the machine's cores, not a worker's speed
    machine = describe_machine()
    print(machine_line(machine))
    heads = f"{'layout':<31} {'read ms':>8} {'warp ms':>8} {'a core/s':>9}"
    print(f"{heads} {'workers':>8} {'images/s':>9} {'per worker':>11}")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, layout in LAYOUTS.items():
            rows = write_files(Path(folder) / str(len(results)), layout, args.images)
            transform = TrainTransform(**layout.transform)
            read, warp = stages(rows, transform)
            core = 1000 / (read + warp)
            for workers in args.workers:
                loader = TrainingLoader(
                    rows, transform, batch_size=args.batch_size, num_workers=workers, device=args.device
                )
                rate = images_per_second(loader, args.batch_size, workers, args.seconds)
                line = {"layout": name, "read_ms": read, "warp_ms": warp, "images_per_core_second": core}
                line |= {"workers": workers, "images_per_second": rate}
                results.append(line | {"images_per_second_and_worker": rate / max(1, workers)})
                print(
                    f"{name:<31} {read:>8.1f} {warp:>8.1f} {core:>9.1f} {workers:>8} {rate:>9.1f} "
                    f"{rate / max(1, workers):>11.1f}",
                    flush=True,
                )
    if args.output:
        figures = {"machine": machine, "settings": vars(args), "results": results}
        Path(args.output).write_text(json.dumps(figures, indent=2) + "\n")
    return results


def write_files(folder: Path, layout: Layout, count: int) -> Dataset:
    """Pictures cut at random from the bundled photos, with maps as smooth and as holey as real ones."""
    folder.mkdir()
    height, width = layout.size
    photos = [Image.open(path).convert("RGB") for path in bundled_photo_paths()]
    column = "label" if layout.known is None else "depth"
    columns: dict[str, Any] = {"image": [], column: [], "depth_scale": 1000.0}
    for index in range(count):
        random = np.random.default_rng(index)
        photo = photos[index % len(photos)]
        part = random.uniform(0.6, 1.0) * min(photo.width / width, photo.height / height)
        left = random.uniform(0, photo.width - part * width)
        top = random.uniform(0, photo.height - part * height)
        part_of_photo = photo.resize((width, height), box=(left, top, left + part * width, top + part * height))
        noise = random.normal(0, 2, (height, width, 1))  # enlarged photos lack it, and files would be too small
        image = Image.fromarray((part_of_photo + noise).clip(0, 255).astype(np.uint8))
        smooth = np.asarray(part_of_photo.convert("L").resize((width // 8, height // 8)).resize((width, height)))
        if layout.known is None:
            values = smooth // 16
        else:
            values = np.where(random.random((height, width)) < layout.known, smooth.astype(np.uint16) * 30 + 500, 0)
        files = folder / f"{index}{layout.suffix}", folder / f"{index}_map.png"
        image.save(files[0], **({"quality": 85} if layout.suffix == ".jpg" else {}))
        Image.fromarray(values.astype(np.uint8 if layout.known is None else np.uint16)).save(files[1])
        for key, file in zip(("image", column), files, strict=True):
            columns[key].append(str(file))
    return make_rows(columns)


def stages(rows: Dataset, transform: TrainTransform) -> tuple[float, float]:
    """Milliseconds of processor time to read a sample and to transform it, in this process; medians."""
    rows, times = raw_rows(rows), []
    for index in [0, 0, *range(len(rows))]:
        start = time.process_time()  # unlike the clock, it does not count what others do on the machine
        sample = read_sample(rows[index])
        between = time.process_time()
        transform(sample, generator_at(0, index))
        times.append((between - start, time.process_time() - between))
    read, warp = 1e3 * np.median(times[2:], axis=0)
    return float(read), float(warp)


def images_per_second(loader: TrainingLoader, batch_size: int, workers: int, seconds: float) -> float:
    """Rate of batches that nobody waits over, once workers have started and filled their queues."""
    batches = loader.batches()
    for _ in islice(batches, 2 + 5 * workers):
        pass
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        count += batch_size
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
