"""Pre-rendered scenes on disk: `python -m open_dpt.data.procedural.cache --output DIR --count N`.

A cache is a folder of shards, `images-00000.npy` (uint8, (n, 3, H, W)) beside `disparity-00000.npy` (float16,
(n, H, W), 1/m), and `cache.json` that says how it was made. A shard is written under a temporary name and renamed when
complete, so an interrupted run resumes with the first shard that is missing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from .catalogue import checked_types
from .render import render_batch

SHARD = 250  # scenes a shard: 46 MB at 192 x 192
_DESCRIPTION = "cache.json"


def _names(folder: Path, shard: int) -> tuple[Path, Path]:
    return folder / f"images-{shard:05d}.npy", folder / f"disparity-{shard:05d}.npy"


def _save(path: Path, array: np.ndarray) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            np.save(file, array)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _render_shard(task: tuple[str, int, int, int, tuple[int, int], str, tuple[str, ...] | None]) -> int:
    folder, shard, first, count, size, device, scene_types = task
    torch.set_num_threads(1)
    batch = render_batch(range(first, first + count), size, device, scene_types)
    images, disparity = _names(Path(folder), shard)
    _save(images, batch.image.cpu().numpy())
    # The disparity file comes last: a shard counts as complete once it is there.
    _save(disparity, batch.disparity.clamp(max=60000).half().cpu().numpy())
    return count


def write_cache(
    folder: str | Path,
    count: int,
    size: int | tuple[int, int] = 192,
    workers: int = 2,
    *,
    seed: int = 0,
    device: str = "cpu",
    scene_types: Sequence[str] | None = None,
    progress: bool = False,
) -> Path:
    """Render seeds seed .. seed + count - 1 into a folder, or finish a run that was interrupted.

    Args:
        folder: created when missing. count: number of scenes. size: side or (height, width), pixels.
        workers: processes of one thread each; 0 or 1 renders in this process. scene_types: as in `render_batch`.
    Returns:
        The folder.
    Raises:
        ValueError: count, workers or scene types make no sense, or the folder holds a cache made with other settings.
        OSError: the folder cannot be written.
    """
    if count < 1:
        raise ValueError(f"count: must be at least 1, got {count}. Ask for one scene or more.")
    if workers < 0:
        raise ValueError(f"workers: must be 0 or more, got {workers}. Use 0 to render in this process.")
    types = checked_types(scene_types)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    size = (size, size) if isinstance(size, int) else tuple(size)
    made = {"seed": seed, "size": list(size), "scene_types": list(types) if types else None, "shard": SHARD}
    description = folder / _DESCRIPTION
    if description.exists():
        found = json.loads(description.read_text())
        if found != made:
            raise ValueError(f"{folder}: holds a cache made with {found}, asked for {made}. Use another folder.")
    else:
        temporary = folder / f".{_DESCRIPTION}.{os.getpid()}"
        temporary.write_text(json.dumps(made))
        os.replace(temporary, description)

    tasks = []
    for shard in range(-(-count // SHARD)):
        n = min(SHARD, count - shard * SHARD)
        if not _names(folder, shard)[1].exists() or _length(folder, shard) < n:
            tasks.append((str(folder), shard, seed + shard * SHARD, n, size, device, types))
    done, start = 0, time.monotonic()
    total = sum(task[3] for task in tasks)

    def report(n: int) -> None:
        nonlocal done
        done += n
        rate = done / (time.monotonic() - start)
        if progress:
            print(f"\r{count - total + done}/{count} scenes, {rate:.1f}/s", end="", file=sys.stderr, flush=True)

    if workers <= 1:
        for task in tasks:
            report(_render_shard(task))
    elif tasks:
        # Spawned, not forked: a forked child inherits torch's thread pool in an unknown state.
        with multiprocessing.get_context("spawn").Pool(min(workers, len(tasks))) as pool:
            for n in pool.imap_unordered(_render_shard, tasks):
                report(n)
    if progress:
        print(file=sys.stderr)
    return folder


def _open(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a complete .npy file ({error}). Delete it and run write_cache again.") from None


def _length(folder: Path, shard: int) -> int:
    images, disparity = _names(folder, shard)
    return min(len(_open(images)), len(_open(disparity))) if images.exists() else 0


class CachedScenes(Dataset):
    """A folder written by `write_cache`, memory-mapped.

    Item i is {"image": uint8 (3, H, W), "disparity": float32 (H, W), 1/m, 0 = sky}.

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: a shard is truncated or its two files differ in length.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir() or not (shards := sorted(self.folder.glob("disparity-*.npy"))):
            raise FileNotFoundError(f"{folder}: holds no cached scenes. Write some with write_cache.")
        self._shards = []
        for disparity in shards:
            images = disparity.with_name(disparity.name.replace("disparity", "images"))
            if not images.exists():
                raise ValueError(
                    f"{images}: missing beside {disparity.name}. Delete the latter and run write_cache again."
                )
            pair = _open(images), _open(disparity)
            if len(pair[0]) != len(pair[1]):
                raise ValueError(
                    f"{disparity}: must hold as many scenes as {images.name} ({len(pair[0])}), got {len(pair[1])}. "
                    "Delete both and run write_cache again."
                )
            self._shards.append(pair)
        self._ends = np.cumsum([len(pair[0]) for pair in self._shards])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index: must be below {len(self)}, got {index}.")
        index %= len(self)
        shard = int(np.searchsorted(self._ends, index, side="right"))
        images, disparity = self._shards[shard]
        local = index - int(self._ends[shard - 1] if shard else 0)
        return {
            "image": torch.from_numpy(np.array(images[local])),
            "disparity": torch.from_numpy(disparity[local].astype(np.float32)),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m open_dpt.data.procedural.cache", description="Pre-render scenes.")
    parser.add_argument("--output", required=True, help="folder of the cache")
    parser.add_argument("--count", type=int, default=1000, help="number of scenes")
    parser.add_argument("--size", type=int, default=192, help="side in pixels")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=0, help="first seed")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; with cuda use --workers 1")
    parser.add_argument(
        "--scene-types", nargs="*", default=None, help="names to draw from; default: the training types"
    )
    parser.add_argument("--sheet", help="also write a contact sheet of the first scenes to this file")
    options = parser.parse_args(arguments)
    try:
        folder = write_cache(
            options.output, options.count, options.size, options.workers, seed=options.seed, device=options.device,
            scene_types=options.scene_types, progress=True,
        )  # fmt: skip
        if options.sheet:
            from .contact_sheet import write_contact_sheet

            write_contact_sheet(CachedScenes(folder), options.sheet)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
