"""Checkpoints that are either whole or not there, what to resume from, and averages of their weights.

A checkpoint is a folder `step_N` with a `manifest.json` that lists its files and their sizes. It is written under a
temporary name, flushed to the disk, and renamed; older ones are dropped after that. One whose files do not agree with
its manifest is not resumed from.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .errors import TrainingError, one_line
from .progress import any_process

MANIFEST = "manifest.json"

_NAME = re.compile(r"step_(\d+)")
# What writing can end in: the operating system, safetensors (written in Rust), torch.save (written in C++).
_WRITE_ERRORS = (OSError, SafetensorError, RuntimeError)


class CheckpointError(TrainingError):
    """A checkpoint could not be written or read; names the last good one."""


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: str | Path,
    step: int,
    keep: int | None = None,
    *,
    facts: dict[str, Any] | None = None,
    extra: Callable[[Path], None] | None = None,
) -> Path:
    """Write everything `accelerator` prepared or registered to `output_dir/step_N`, then drop the oldest ones.

    Args:
        accelerator: Holds model, optimizer and registered objects. Call this on every process.
        output_dir: Folder of the run, on a disk that all nodes share.
        step: Optimizer steps done.
        keep: Number of checkpoints to keep, this one included; all if None.
        facts: Kept in the manifest, see `read_manifest`.
        extra: Writes more files into the folder it is given; called on every process.

    Returns:
        The folder written.

    Raises:
        CheckpointError: the disk is full or cannot be written. On every process; nothing else is damaged.
    """
    final = Path(output_dir) / f"step_{step}"
    partial = final.with_name(f".{final.name}.partial")
    main = accelerator.is_main_process

    def complete() -> None:
        if main:
            _write_manifest(partial, {"step": step} | (facts or {}))
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            _flush(final.parent)

    stages = [
        lambda: _fresh_folder(partial) if main else None,
        lambda: accelerator.save_state(str(partial)),
        lambda: extra(partial) if extra else None,
        complete,
    ]
    for stage in stages:
        error = None
        try:
            stage()
        except _WRITE_ERRORS as caught:
            error = caught
        # Also the barrier between stages: no process goes on before all are here.
        if any_process(error is not None, accelerator.device):
            if main:
                shutil.rmtree(partial, ignore_errors=True)
            why = "another process could not write" if error is None else " ".join(str(error).split())
            raise CheckpointError(f"{final}: not written ({why}). {last_good(output_dir)}") from error
    if main and keep is not None:
        for old in checkpoints(output_dir)[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
    return final


def last_good(output_dir: str | Path) -> str:
    """A sentence that names the checkpoint to continue from."""
    whole = whole_checkpoints(output_dir)
    if not whole:
        return "There is no earlier checkpoint."
    return f"Last good checkpoint: {whole[-1]}; the same command continues from it."


def checkpoints(output_dir: str | Path) -> list[Path]:
    """Checkpoints of a run, oldest first."""
    named = [(_NAME.fullmatch(path.name), path) for path in Path(output_dir).glob("step_*")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def whole_checkpoints(output_dir: str | Path) -> list[Path]:
    """Those of `checkpoints` that nothing is missing from."""
    return [folder for folder in checkpoints(output_dir) if damage(folder) is None]


def damage(folder: str | Path) -> str | None:
    """What is wrong with the files of a checkpoint; None if all are there in their full size."""
    folder = Path(folder)
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{MANIFEST} is missing or unreadable"
    for name, size in files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            return f"{name} is missing" if found is None else f"{name} has {found} of {size} bytes"
    return None


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The facts that were given to `save_checkpoint`; empty if there are none."""
    try:
        return json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def resumable(output_dir: str | Path, choice: str) -> list[Path]:
    """The folders that `--resume_from_checkpoint` means, the one to try first at the front.

    Args:
        output_dir: Folder of the run.
        choice: "latest" (all there are; none, so that one command both starts and resumes), "none", or a folder.

    Raises:
        FileNotFoundError: choice is a folder that does not exist.
    """
    if choice in ("latest", "none"):
        return checkpoints(output_dir)[::-1] if choice == "latest" else []
    if not Path(choice).is_dir():
        raise FileNotFoundError(
            f"resume_from_checkpoint: must be 'latest', 'none' or a checkpoint folder, got {choice}. Check the path."
        )
    return [Path(choice)]


def resume(
    accelerator: Accelerator,
    candidates: list[Path],
    extra: Callable[[Path], None],
    say: Callable[[str], None] = print,
) -> Path | None:
    """Load the first of `candidates` that is whole and readable; call this on every process.

    Args:
        accelerator: Gets the state.
        candidates: As `resumable` returns them.
        extra: Reads what the `extra` of `save_checkpoint` wrote.
        say: Takes one line for people.

    Returns:
        The folder loaded; None if there are no candidates.

    Raises:
        CheckpointError: there are candidates and none can be loaded.
    """
    problems = []
    for folder in candidates:
        problem = damage(folder)
        if problem is None:
            try:
                accelerator.load_state(str(folder))
                extra(folder)
            except Exception as error:  # whatever a library makes of damaged bytes
                problem = one_line(error)[:300]  # torch lists every weight that does not fit
        if not any_process(problem is not None, accelerator.device):
            return folder
        problems.append(problem or "another process could not read it")
        say(f"{folder}: skipped, {problems[-1]}")
    if candidates:
        raise CheckpointError(
            f"{candidates[0]}: cannot be resumed from ({problems[0]}), nor can {len(candidates) - 1} older ones. "
            "Start again with --resume_from_checkpoint none or in another --output_dir."
        )
    return None


def set_aside_after(output_dir: str | Path, step: int) -> list[Path]:
    """Rename the checkpoints beyond `step` to NAME.set_aside, and return their old names; for the main process.

    They are damaged, or belong to a run that is not continued. Under their own name a later resume would take them.
    """
    found = [folder for folder in checkpoints(output_dir) if int(_NAME.fullmatch(folder.name)[1]) > step]
    for folder in found:
        aside = folder.with_name(f"{folder.name}.set_aside")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
    return found


def average_weights(folders: Iterable[str | Path]) -> dict[str, Tensor]:
    """Mean of the model weights of several checkpoints, summed in float64; integer tensors come from the last one.

    Raises:
        FileNotFoundError: there is no checkpoint, or one has no model.safetensors (it is sharded).
    """
    folders = [Path(folder) for folder in folders]
    if not folders:
        raise FileNotFoundError("checkpoints to average: need at least one, got none. Train first.")
    mean: dict[str, Tensor] = {}
    for folder in folders:
        if not (folder / "model.safetensors").is_file():
            raise FileNotFoundError(
                f"{folder}: has no model.safetensors to average; checkpoints of FSDP and DeepSpeed are sharded. "
                "Use --ema_decay instead of --average_last."
            )
        weights = load_file(folder / "model.safetensors")
        for name, tensor in weights.items():
            if tensor.is_floating_point():
                mean[name] = mean.get(name, 0.0) + tensor.to(torch.float64) / len(folders)
            else:
                mean[name] = tensor
    return {name: mean[name].to(weights[name].dtype) for name in weights}


@contextmanager
def whole_folder(target: str | Path) -> Iterator[Path]:
    """Give a temporary folder that takes the place of `target` when the block ends without an error.

    A crash between the two renames leaves the old folder under `.NAME.old`; `recover_folder` brings it back.
    """
    target = Path(target)
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    _fresh_folder(partial)
    try:
        yield partial
        for path in partial.rglob("*"):
            _flush(path)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def recover_folder(target: str | Path) -> None:
    """Undo what a crash inside `whole_folder` left."""
    target = Path(target)
    old = target.with_name(f".{target.name}.old")
    if old.is_dir() and not target.exists():
        old.rename(target)


def _write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        _flush(path)
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    (folder / MANIFEST).write_text(json.dumps(facts | {"files": sizes}, indent=1), encoding="utf-8")
    _flush(folder / MANIFEST)


def _flush(path: Path) -> None:
    """Make sure that a file, or the names in a folder, are on the disk: a machine may lose its power."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fresh_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
