"""Score what knowing nothing about an image scores: the mean depth of the training set, everywhere.

    python examples/mean_depth.py --dataset_name folder --data_dir mine --dataset_config depth_scale=1000 \\
        --validation_split val --max_depth 10

Prints the scores of the mean and of the median; a trained model has to beat both.
"""

import argparse

import torch
from tqdm.auto import tqdm

from open_dpt.data import load_data, read_sample
from open_dpt.evaluation.depth_metrics import DepthMetrics
from open_dpt.training.arguments import json_items


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_name", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--dataset_config", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--train_split", default="train")
    parser.add_argument("--validation_split", default="val")
    parser.add_argument("--min_depth", type=float, default=1e-3, help="Metres.")
    parser.add_argument("--max_depth", type=float, default=80.0, help="Metres.")
    args = parser.parse_args(arguments)
    options = json_items(args.dataset_config, "dataset_config")
    train, val = (
        load_data(args.dataset_name, args.data_dir, split, **options)
        for split in (args.train_split, args.validation_split)
    )
    depths = torch.cat([_known(row, args)[::16] for row in tqdm(train, desc="training set")])
    for name, constant in (("mean", depths.mean()), ("median", depths.median())):
        metrics = DepthMetrics(args.min_depth, args.max_depth)
        for row in tqdm(val, desc=f"{name} {constant:.3f} m"):
            truth = read_sample(row)["depth"]
            metrics.update(constant.expand_as(truth), truth)
        scores = metrics.compute()
        print(f"{name} {constant:.3f} m: " + ", ".join(f"{key} {value:.4g}" for key, value in scores.items()))


def _known(row: dict, args: argparse.Namespace) -> torch.Tensor:
    depth = read_sample(row)["depth"]
    return depth[(depth > args.min_depth) & (depth < args.max_depth)]


if __name__ == "__main__":
    main()
