"""Train a family of small models that differ in one thing, score them, draw the table and the plot.

    python examples/study.py examples/studies/readout.yaml --output_dir runs/readout --seeds 0 1

Trains every member on procedural scenes with pretrain_procedural.py. Start the same command again after an
interruption: what is finished is skipped, what was interrupted continues from its checkpoint. A member that fails is
named in the end and does not stop the others. Writes study.json, study.md and study.png into the output folder.
"""

import argparse
import contextlib
import difflib
import io
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pretrain_procedural
import torch
from evaluate_zero_shot import read_pairs
from study_report import write_report
from torch import nn
from transformers.utils import logging

from open_dpt import DPTForDepthEstimation, DPTImageProcessor
from open_dpt.data.procedural import write_cache
from open_dpt.evaluation.held_out import HeldOutScenes
from open_dpt.evaluation.zero_shot import (
    constant_predictor,
    evaluate_pairs,
    mean_score,
    model_predictor,
    row_predictor,
)
from open_dpt.training.errors import one_line
from open_dpt.training.recipes import RecipeError, read_recipe, recipe_text

SETTINGS = "member.yaml"  # what a folder was trained with
RECIPE, RESULTS = "recipe.yaml", "results.json"  # written by the training; the recipe when the model is complete
BASELINES = {"a constant": constant_predictor, "row coordinate": row_predictor}


@dataclass(frozen=True)
class Study:
    """A family of models.

    Args:
        title: For people. table: The table of the paper that asks the same question.
        members: Keys of `DPTConfig` by the member's name, on top of `config`.
        config: Keys of `DPTConfig` of every member.
        training: Flags of pretrain_procedural.py.
        scenes: count and size (pixels) of the scenes to train on.
        held_out_scenes: To score on, of each kind.
    """

    title: str
    members: dict[str, dict[str, Any]]
    table: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    scenes: dict[str, int] = field(default_factory=lambda: {"count": 8000, "size": 144})
    held_out_scenes: int = 64

    def settings(self, member: str, seed: int) -> dict[str, Any]:
        """The recipe of a member: two with the same settings are the same model."""
        overrides = self.config | self.members[member]
        return {**self.training, "eval_scenes": 0, "seed": seed, "config_overrides": overrides}


class MemberError(RuntimeError):
    """A member cannot be trained; the message says why."""


def read_study(path: Path) -> Study:
    """A study from its YAML file.

    Raises:
        RecipeError: the file cannot be read, or a key is unknown, missing or of the wrong kind.
    """
    values = read_recipe(path)
    known = Study.__dataclass_fields__
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1) or [", ".join(known)]
            raise RecipeError(f"{path}: {key!r} is not a key of a study. Did you mean {close[0]}?")
        if key in ("members", "config", "training", "scenes") and not isinstance(value, dict):
            raise RecipeError(f"{path}: {key} must be a mapping, got {value!r}.")
    if not values.get("members") or "title" not in values:
        raise RecipeError(f"{path}: a study needs a title and members, got {', '.join(values)}.")
    members = {str(name): overrides or {} for name, overrides in values["members"].items()}
    for name, overrides in members.items():
        if not isinstance(overrides, dict):
            raise RecipeError(f"{path}: member {name!r} must be a mapping of DPTConfig keys, got {overrides!r}.")
    return Study(**values | {"members": members})


def member_folder(output: Path, member: str, seed: int) -> Path:
    """Where a member lives."""
    return output / f"{'_'.join(member.split())}-seed{seed}"


def train_member(settings: dict[str, Any], folder: Path, scenes: Path, debug: bool = False) -> bool:
    """Train a member, or continue to; nothing happens if it is finished.

    Returns:
        False if it was asked to stop before its end.

    Raises:
        MemberError: it cannot be trained.
    """
    file = folder / SETTINGS
    if file.is_file() and read_recipe(file) != settings:
        raise MemberError(f"{folder}: holds a run with other settings. Use another --output_dir, or remove it.")
    if is_finished(folder):
        return True
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(recipe_text(settings), encoding="utf-8")
    words = ["--recipe", str(file), "--cache_dir", str(scenes), "--output_dir", str(folder)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args = pretrain_procedural.parse_args(words)
    except SystemExit:
        raise MemberError(" ".join(said.getvalue().split())) from None
    try:
        pretrain_procedural.train(args)
    except Exception as error:
        if debug:
            raise
        raise MemberError(one_line(error)) from error
    return is_finished(folder)


def is_finished(folder: Path) -> bool:
    """The folder holds a model that was trained to its end."""
    return (folder / RECIPE).is_file() and (folder / RESULTS).is_file()


def trained_elsewhere(settings: dict[str, Any], others: list[Path]) -> Path | None:
    """A finished member with the same settings in the output folder of another study."""
    files = (file for other in others for file in sorted(other.glob(f"*/{SETTINGS}")))
    same = (file.parent for file in files if read_recipe(file) == settings)
    return next((folder for folder in same if is_finished(folder)), None)


class Fixed(nn.Module):
    """A baseline of `evaluation.zero_shot` in the place of a model."""

    def __init__(self, predict):
        super().__init__()
        self.predict = predict

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        disparity = self.predict(None, tuple(pixel_values.shape[-2:]))
        return SimpleNamespace(predicted_depth=disparity.expand(len(pixel_values), -1, -1))


def score_all(model: nn.Module, predict, held_out: HeldOutScenes, pairs: list) -> dict[str, float]:
    """abs_rel and delta1 after affine alignment: of both kinds of scenes, their mean, and of the real pairs."""
    scores = held_out.score(model)
    for metric in ("abs_rel", "delta1"):
        kinds = [value for key, value in scores.items() if key.endswith(f"/{metric}")]
        scores[f"mean/{metric}"] = round(sum(kinds) / len(kinds), 4)
    if pairs:
        real = mean_score(evaluate_pairs(predict, pairs).values())
        scores |= {"real/abs_rel": round(real.abs_rel, 4), "real/delta1": round(real.delta1, 4)}
    return scores


def member_row(member: str, seed: int, folder: Path, held_out: HeldOutScenes, pairs: list) -> dict[str, Any]:
    """What a finished member is: scores, parameters in millions, what its training took."""
    model = DPTForDepthEstimation.from_pretrained(folder).float().eval()
    scores = score_all(model, model_predictor(model, DPTImageProcessor.from_pretrained(folder)), held_out, pairs)
    facts = json.loads((folder / RESULTS).read_text(encoding="utf-8")).get("training", {})
    parameters = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return {"member": member, "seed": seed, "parameters": round(parameters, 2), "training": facts, **scores}


def run_study(study: Study, args: argparse.Namespace) -> tuple[list[dict], dict[str, str], list[str]]:
    """Train and score everything.

    Returns:
        Rows, reasons of failures by name, and the names of what is not trained yet.
    """
    rows, failed, missing, start = [], {}, [], time.monotonic()
    size, output = study.training.get("image_size", 192), args.output_dir
    scenes = args.scenes or output / "scenes"
    write_cache(scenes, study.scenes["count"], study.scenes["size"], args.workers, progress=True)
    held_out = HeldOutScenes(study.held_out_scenes, size if isinstance(size, int) else size[0])
    pairs = read_pairs(args.data) if args.data else []
    for name, predict in BASELINES.items():
        rows.append({"member": name, "baseline": True, **score_all(Fixed(predict), predict, held_out, pairs)})
    for seed in args.seeds:  # a whole family of one seed before the next: what there is can be compared at any time
        for member in study.members:
            name, settings = f"{member}, seed {seed}", study.settings(member, seed)
            folder = trained_elsewhere(settings, args.reuse) or member_folder(output, member, seed)
            late = args.max_minutes is not None and time.monotonic() - start > 60 * args.max_minutes
            if (late or missing) and not is_finished(folder):
                missing.append(name)
                continue
            try:
                print(f"{name}: {'finished before' if is_finished(folder) else 'training'}", flush=True)
                if train_member(settings, folder, scenes, args.debug):
                    rows.append(member_row(member, seed, folder, held_out, pairs))
                    write_report(output, study, rows, failed, missing)
                else:
                    missing.append(name)
            except MemberError as error:
                failed[name] = str(error)
                print(f"{name}: failed: {error}", file=sys.stderr, flush=True)
    return rows, failed, missing


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="A file of examples/studies.")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="Every member is trained once with each.")
    parser.add_argument("--max_minutes", type=float, help="No further member is started after so many.")
    parser.add_argument("--scenes", type=Path, help="Folder of rendered scenes, made if absent; OUTPUT_DIR/scenes.")
    parser.add_argument("--workers", type=int, default=2, help="Processes that render scenes.")
    parser.add_argument("--data", type=Path, help="Folder with the pairs of evaluate_zero_shot.py, to score on too.")
    parser.add_argument(
        "--reuse", type=Path, nargs="*", default=[], help="Output folders of studies that may share members."
    )
    parser.add_argument("--debug", action="store_true", help="Stop at the first error and show where it comes from.")
    args = parser.parse_args(arguments)
    logging.disable_progress_bar()  # of reading and writing weights; training has its own
    try:
        study = read_study(args.study)
        rows, failed, missing = run_study(study, args)
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        if args.debug:
            raise
        print(f"study.py: {one_line(error)}", file=sys.stderr)
        return 2
    print(write_report(args.output_dir, study, rows, failed, missing))
    if missing:
        print(f"not trained yet: {'; '.join(missing)}. The same command continues.", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
