"""The data sets that the flags name, for training and for validation."""

import argparse
from typing import Any

from datasets import Dataset

from ..data import DATASETS, class_names, load_data
from .arguments import json_items


def training_sets(args: argparse.Namespace) -> tuple[list[Dataset], list[dict[str, Any]]]:
    """Rows of each --dataset_name, and their description for the model card.

    Raises:
        ValueError: there is no data set, names and folders do not pair up, or one is unknown or empty.
        OSError: the data are not there in the expected layout.
    """
    names, folders = args.dataset_name or [], args.data_dir or []
    if not names or len(names) != len(folders):
        raise ValueError(
            f"data: --dataset_name and --data_dir must pair up, got {len(names)} and {len(folders)}. Give one folder "
            f"for each name. Names: {', '.join(DATASETS)}."
        )
    options = json_items(args.dataset_config, "dataset_config")
    rows, described = [], []
    for name, folder in zip(names, folders, strict=True):
        found = load_data(name, folder, args.train_split, **_known(name, options, len(names)))
        if args.max_train_samples:
            found = found.select(range(min(args.max_train_samples, len(found))))
        rows.append(found)
        described.append({"name": name, "split": args.train_split, "images": len(found)})
    return rows, described


def validation_set(args: argparse.Namespace) -> tuple[Dataset | None, str | None]:
    """Rows to evaluate on and what to call them; (None, None) where there are none.

    Raises:
        ValueError, OSError: as `training_sets`.
    """
    name = args.validation_dataset_name or args.dataset_name[0]
    split = args.validation_split or (DATASETS[name].validation if name in DATASETS else None)
    if split in (None, "none"):
        return None, None
    words = args.dataset_config if args.validation_dataset_config is None else args.validation_dataset_config
    options = json_items(words, "validation_dataset_config")
    folder = args.validation_data_dir or args.data_dir[0]
    rows = load_data(name, folder, split, **_known(name, options, 2))
    return rows, f"{name}, {split}"


def label_names(args: argparse.Namespace) -> list[str]:
    """Class names of the training set in the order of its ids; empty where it does not say."""
    name, options = args.dataset_name[0], json_items(args.dataset_config, "dataset_config")
    return class_names(name, args.data_dir[0], **_known(name, options, 1))


def _known(name: str, options: dict[str, Any], sets: int) -> dict[str, Any]:
    """Options shared by several sets: those this one has. A single set gets all, and says what is wrong."""
    if sets == 1 or name not in DATASETS:
        return options
    known = DATASETS[name].options
    return {key: value for key, value in options.items() if key in known}
