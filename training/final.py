"""The model folder: weights, processor, results; at the end also the card, the recipe, and the way to the hub."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from huggingface_hub import HfApi
from torch import nn

from .checkpoints import whole_folder
from .ema import whole_tensor
from .errors import TrainingError
from .loop import Outcome
from .model_card import write_model_card
from .recipes import effective_recipe, recipe_text

RESULTS, RECIPE = "results.json", "recipe.yaml"

# What evaluation counts beside its scores: no results for a model card.
_COUNTS = {"images", "pixels", "empty_images", "nan_pixels", "unreadable_images"}


class ModelWriter:
    """Writes a model as prepared by accelerate, sharded or not, with its processor.

    Args:
        accelerator: That prepared it.
        processor: Saved beside it.
        dtype: Name of a torch dtype for the weights in the file.
    """

    def __init__(self, accelerator: Accelerator, processor: Any, dtype: str = "float32"):
        self.accelerator, self.processor, self.dtype = accelerator, processor, getattr(torch, dtype)

    def __call__(self, model: nn.Module, folder: Path, step: int, metrics: dict[str, float]) -> None:
        """Replace `folder` by model, processor and results.json; complete or not at all. On every process.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        state = self._state(model)
        if self.accelerator.is_main_process:
            with whole_folder(folder) as partial:
                self.write(model, partial, state, step, metrics)
        self.accelerator.wait_for_everyone()

    def write(self, model: nn.Module, folder: Path, state: dict, step: int, metrics: dict[str, float]) -> None:
        """Write into a folder that is there; on the main process."""
        self.accelerator.unwrap_model(model).save_pretrained(folder, state_dict=state)
        config = folder / "config.json"  # it names the type of the weights in memory; they are read back as it says
        values = json.loads(config.read_text(encoding="utf-8")) | {"dtype": str(self.dtype).removeprefix("torch.")}
        config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        self.processor.save_pretrained(folder)
        (folder / RESULTS).write_text(json.dumps({"step": step} | metrics, indent=1) + "\n", encoding="utf-8")

    def _state(self, model: nn.Module) -> dict:
        state = {name: whole_tensor(tensor) for name, tensor in self.accelerator.get_state_dict(model).items()}
        return {
            name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()
        }


def save_final_model(
    args: argparse.Namespace,
    writer: ModelWriter,
    outcome: Outcome,
    *,
    task: str,
    data: list[dict[str, Any]],
    base_model: str | None,
    **card: Any,
) -> None:
    """Write model, processor, results, recipe and card into --output_dir, and push them if asked to.

    Args:
        args: All flags.
        writer: For this model.
        outcome: Of `fit`.
        task: "depth" or "segmentation".
        data: Training sets, as `write_model_card` takes them.
        base_model: What the training started from.
        card: Further options of `write_model_card`.

    Raises:
        TrainingError: the folder cannot be written; training can be finished again from its last checkpoint.
        OSError: the hub cannot be reached or refuses.
    """
    accelerator, folder = writer.accelerator, Path(args.output_dir)
    state = writer._state(outcome.model)
    if not accelerator.is_main_process:
        return
    try:
        results = outcome.metrics
        writer.write(outcome.model, folder, state, outcome.step, results | {"training": outcome.facts})
        best = folder / "best"
        if args.load_best_model_at_end and best.is_dir():
            results = json.loads((best / RESULTS).read_text(encoding="utf-8"))
            results.pop("step")
            for path in best.iterdir():
                shutil.copy2(path, folder / path.name)
        results = {name: value for name, value in results.items() if name not in _COUNTS}
        recipe = effective_recipe(args)
        (folder / RECIPE).write_text(recipe_text(recipe), encoding="utf-8")
        write_model_card(folder, task=task, recipe=recipe, data=data, metrics=results, base_model=base_model, **card)
    except OSError as error:
        raise TrainingError(
            f"{folder}: the final model was not written ({' '.join(str(error).split())}). Make room and start the "
            "same command again; it continues from the last checkpoint."
        ) from error
    accelerator.print(f"model in {folder}")
    if args.push_to_hub:
        accelerator.print(f"pushed to {push(args)}")


def push(args: argparse.Namespace) -> str:
    """Upload the files of the final model, not the checkpoints, and return the address.

    Raises:
        OSError: the hub cannot be reached or refuses; the message names the repository.
    """
    folder, api = Path(args.output_dir), HfApi(token=args.hub_token)
    name = args.hub_model_id or folder.resolve().name
    try:
        name = api.create_repo(name, private=args.hub_private_repo or None, exist_ok=True).repo_id
        files = [
            path.name
            for path in folder.iterdir()
            if path.is_file() and path.name not in ("log.jsonl", "trackers.json")
        ]
        api.upload_folder(
            repo_id=name, folder_path=folder, allow_patterns=files, commit_message="Trained with open_dpt"
        )
    except Exception as error:
        raise OSError(
            f"{name}: not pushed ({' '.join(str(error).split())}). The model is in {folder}; "
            "check --hub_model_id and --hub_token, and start the same command again."
        ) from error
    return f"{api.endpoint}/{name}"
