"""Checkpoints that are either whole or not there, and averages of their weights."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor

_NAME = re.compile(r"step_(\d+)")


def save_checkpoint(accelerator: Accelerator, output_dir: str | Path, step: int, keep: int | None = None) -> Path:
    """Write everything `accelerator` prepared or registered to `output_dir/step_N`, then drop the oldest ones.

    The folder is written under a temporary name and renamed when complete, so a crash leaves no half checkpoint.

    Args:
        accelerator: Holds model, optimizer and registered objects. Call this on every process.
        output_dir: Folder of the run.
        step: Optimizer steps done.
        keep: Number of checkpoints to keep, this one included; all if None.

    Returns:
        The folder written.
    """
    final = Path(output_dir) / f"step_{step}"
    partial = final.with_name(f".{final.name}.partial")
    if accelerator.is_main_process:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        if keep is not None:
            for old in checkpoints(output_dir)[:-keep]:
                shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return final


def checkpoints(output_dir: str | Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    named = [(_NAME.fullmatch(path.name), path) for path in Path(output_dir).glob("step_*")]
    return [path for _, path in sorted((int(match[1]), path) for match, path in named if match)]


def find_checkpoint(output_dir: str | Path, choice: str) -> Path | None:
    """The folder that `--resume_from_checkpoint` means.

    Args:
        output_dir: Folder of the run.
        choice: "latest" (None if there is none yet, so that one command both starts and resumes), or a folder.

    Raises:
        FileNotFoundError: choice is a folder that does not exist.
    """
    if choice == "latest":
        return (checkpoints(output_dir) or [None])[-1]
    if not Path(choice).is_dir():
        raise FileNotFoundError(
            f"resume_from_checkpoint: must be 'latest' or a checkpoint folder, got {choice}. Check the path."
        )
    return Path(choice)


def average_weights(folders: Iterable[str | Path]) -> dict[str, Tensor]:
    """Mean of the model weights of several checkpoints, summed in float64; integer tensors come from the last one.

    Raises:
        FileNotFoundError: there is no checkpoint, or one has no model.safetensors.
    """
    folders = [Path(folder) for folder in folders]
    if not folders:
        raise FileNotFoundError("checkpoints to average: need at least one, got none. Train first.")
    mean: dict[str, Tensor] = {}
    for folder in folders:
        weights = load_file(folder / "model.safetensors")
        for name, tensor in weights.items():
            if tensor.is_floating_point():
                mean[name] = mean.get(name, 0.0) + tensor.to(torch.float64) / len(folders)
            else:
                mean[name] = tensor
    return {name: mean[name].to(weights[name].dtype) for name in weights}
