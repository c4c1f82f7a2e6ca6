"""The metrics for the Hugging Face `evaluate` library: one folder each, which is also a Space to push."""

from pathlib import Path
from typing import Any

HUB_METRICS = ("dpt_depth", "dpt_segmentation", "dpt_whdr")


def hub_metric(name: str, **options: Any) -> Any:
    """`evaluate.load` on the folder in this package: works without a network.

    Args:
        name: One of HUB_METRICS.
        options: Of `evaluate.load`, say num_process, process_id and experiment_id.

    Returns:
        `evaluate.Metric`: `add_batch(predictions=..., references=...)`, then `compute(...)`.

    Raises:
        ValueError: unknown name.
    """
    import evaluate

    return evaluate.load(str(metric_folder(name)), **options)


def push_hub_metric(name: str, owner: str, *, token: str | None = None, private: bool = False) -> str:
    """Publish a metric as the Space OWNER/NAME, for `evaluate.load("OWNER/NAME")`, and return the Space's id.

    The name stays: `evaluate` looks for the script by the name of the Space. Who loads it needs open_dpt installed.

    Args:
        name: One of HUB_METRICS.
        owner: User or organisation.
        token: Of the hub; default: the one of `hf auth login`.
        private: Only when the Space is new.

    Raises:
        ValueError: unknown name.
    """
    from huggingface_hub import HfApi

    folder, api, space = metric_folder(name), HfApi(token=token), f"{owner}/{name}"
    api.create_repo(space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
    api.upload_folder(repo_id=space, repo_type="space", folder_path=folder, ignore_patterns=["__pycache__/*"])
    return space


def metric_folder(name: str) -> Path:
    """Folder of a metric, for `evaluate.load`.

    Raises:
        ValueError: unknown name.
    """
    if name not in HUB_METRICS:
        raise ValueError(f"metric: must be one of {', '.join(HUB_METRICS)}, got {name!r}.")
    return Path(__file__).parent / name
