"""The README.md of a trained model: what it does, what it was trained on, and how well it did."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from .recipes import recipe_text

TASKS = {"depth": "depth-estimation", "segmentation": "image-segmentation"}

# Settings that say where things lie on the machine of the training or whose account it was.
_PRIVATE = ("output_dir", "data_dir", "resume_from_checkpoint", "hub_model_id", "hub_token")

_USE = {
    "depth": """```python
from transformers import pipeline
import open_dpt  # registers the model

depth = pipeline("depth-estimation", model="{name}")("photo.jpg")["predicted_depth"]
```""",
    "segmentation": """```python
from transformers import pipeline
import open_dpt  # registers the model

masks = pipeline("image-segmentation", model="{name}")("photo.jpg")
```""",
}


def write_model_card(
    folder: str | Path,
    *,
    task: str,
    recipe: dict[str, Any],
    data: Iterable[str | dict[str, Any]],
    metrics: dict[str, float],
    base_model: str | None = None,
    license: str | None = None,
    evaluated_on: str | None = None,
    output: str | None = None,
    pictures: Iterable[str] = (),
) -> Path:
    """Write README.md with the metadata that the hub reads.

    Args:
        folder: of the model; its name is the model's name.
        task: "depth" or "segmentation".
        recipe: `effective_recipe(args)`; paths and accounts are left out of the card.
        data: training sets, names or dicts with "name" and any of "split", "images", "license", "source".
        metrics: final values, e.g. {"val/abs_rel": 0.1}.
        base_model: what training started from: hub id, folder, or None for random weights.
        license: SPDX name in lower case as the hub writes it; "unknown" if None.
        evaluated_on: data set and split of `metrics`; the first training set if None.
        output: what the numbers that the model returns mean, in one sentence.
        pictures: files in `folder` to show.

    Returns:
        Path of README.md.

    Raises:
        ValueError: unknown task.
    """
    if task not in TASKS:
        raise ValueError(f"task: must be one of {', '.join(TASKS)}, got {task!r}.")
    folder = Path(folder)
    name = folder.resolve().name
    sets = [{"name": item} if isinstance(item, str) else dict(item) for item in data]
    names = list(dict.fromkeys(item["name"] for item in sets))
    tested = evaluated_on or (f"{names[0]}, validation" if names else "unknown")
    finite = {key: float(value) for key, value in metrics.items() if _is_number(value)}
    start = _public(base_model)
    metadata = ModelCardData(
        library_name="open_dpt",
        pipeline_tag=TASKS[task],
        license=license or "unknown",
        base_model=start if start and "/" in start else None,
        datasets=names or None,
        metrics=sorted({key.rsplit("/", 1)[-1] for key in finite}) or None,
        tags=[TASKS[task], "dpt"],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=TASKS[task],
                dataset_type=tested.split(",")[0],
                dataset_name=tested,
                metric_type=key.rsplit("/", 1)[-1],
                metric_name=key,
                metric_value=value,
            )
            for key, value in finite.items()
        ],
    )
    sections = [
        f"# {name}",
        " ".join(filter(None, [f"A DPT model for {TASKS[task]}, trained with open_dpt.", output])),
        *(f"![{Path(picture).stem}]({picture})" for picture in pictures),
        "## Use",
        _USE[task].format(name=name),
        "## Training data",
        "\n".join(map(_data_line, sets)) or "Not recorded.",
        f"Started from {start}." if start else "Started from random weights.",
        "## Results",
        _results(tested, finite),
        "## Recipe",
        "Settings of `examples/train_" + task + ".py`; saved as a file, `--recipe` takes them.",
        f"```yaml\n{recipe_text(_public_recipe(recipe))}```",
        "## Licence",
        _licence(license, sets),
    ]
    path = folder / "README.md"
    path.write_text(f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n", encoding="utf-8")
    return path


def _data_line(item: dict[str, Any]) -> str:
    parts = [item.get("split"), f"{item['images']:,} images" if item.get("images") else None]
    parts += [f"licence: {item['license']}" if item.get("license") else None, item.get("source")]
    known = ", ".join(filter(None, parts))
    return f"- {item['name']}" + (f": {known}" if known else "")


def _results(tested: str, metrics: dict[str, float]) -> str:
    if not metrics:
        return "Not evaluated."
    rows = [f"| {key} | {value:.4g} |" for key, value in metrics.items()]
    return "\n".join([f"On {tested}:", "", "| metric | value |", "| --- | --- |", *rows])


def _licence(license: str | None, sets: list[dict[str, Any]]) -> str:
    if license:
        return f"{license}. The licences of the training data may add conditions."
    limits = ", ".join(f"{item['name']}: {item['license']}" for item in sets if item.get("license"))
    return "Not stated by whoever trained it. The training data and the base model decide what is allowed" + (
        f" ({limits})." if limits else "."
    )


def _public_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in recipe.items() if key not in _PRIVATE and value not in (None, [], {})}
    return {key: _public(value) for key, value in kept.items()}


def _public(value: Any) -> Any:
    """Without folders of the machine: of an absolute path only the name is kept."""
    if isinstance(value, (list, tuple)):
        return [_public(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
