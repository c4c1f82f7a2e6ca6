"""Score a relative depth model on real images it has never seen, beside two baselines.

    python examples/evaluate_zero_shot.py --data REAL_DATA_FOLDER --model assets/dpt-tiny

The folder holds image and depth pairs as named in PAIRS below.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from open_dpt import DPTForDepthEstimation, DPTImageProcessor
from open_dpt.evaluation.zero_shot import (
    DepthPair,
    constant_predictor,
    evaluate_pairs,
    mean_score,
    model_predictor,
    row_predictor,
)

_NYU = "nyu/official_splits/test/basement"
_KITTI_IMAGE = "kitti/2011_09_26/2011_09_26_drive_0000_sync/image_02/data"
_KITTI_DEPTH = "kitti/2011_09_26_drive_0000_sync/proj_depth/groundtruth/image_02"

# image, depth, 16-bit units per metre, cap in metres. A folder stands for its first file in name order.
PAIRS = [
    *((f"{_NYU}/rgb_{n}.jpg", f"{_NYU}/sync_depth_{n}.png", 1000, 10) for n in ("00000", "00050", "00100")),
    *(
        (f"{_KITTI_IMAGE}/{n}.png", f"{_KITTI_DEPTH}/{n}.png", 256, 80)
        for n in ("0000000005", "0000000050", "0000000100")
    ),
    ("rgbd/val/cubicle_1/images", "rgbd/val/cubicle_1/depths", 1000, 10),
    ("rgbd/val/cubicle_2/images", "rgbd/val/cubicle_2/depths", 1000, 10),
    ("rgbd/train_lidar/street/images", "rgbd/train_lidar/street/depths", 256, 80),
    ("rgbd/val/tum_desk/images", "rgbd/val/tum_desk/depths", 5000, 10),
]


def read_pairs(data: Path) -> list[DepthPair]:
    """Load PAIRS from a folder."""
    pairs = []
    for image, depth, units, cap in PAIRS:
        image, depth = first_file(data / image), first_file(data / depth)
        metres = np.asarray(Image.open(depth), dtype=np.float64) / units
        pairs.append(DepthPair(image.relative_to(data).as_posix(), Image.open(image).convert("RGB"), metres, cap))
    return pairs


def first_file(path: Path) -> Path:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"zero-shot pair: expected a file at {path}, found none. Check --data.")
    return files[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder with the pairs.")
    parser.add_argument("--model", help="Hub id or folder of a relative depth model; baselines only without it.")
    args = parser.parse_args()

    predictors = {"constant": constant_predictor, "row coordinate": row_predictor}
    if args.model:
        model = DPTForDepthEstimation.from_pretrained(args.model).eval()
        predictors[args.model] = model_predictor(model, DPTImageProcessor.from_pretrained(args.model))

    pairs = read_pairs(args.data)
    for name, predictor in predictors.items():
        scores = evaluate_pairs(predictor, pairs)
        print(f"\n{name}\n{'AbsRel':>8} {'delta1':>8} {'pixels':>8}")
        for pair, score in [*scores.items(), ("mean", mean_score(scores.values()))]:
            print(f"{score.abs_rel:8.3f} {score.delta1:8.3f} {score.pixels:8d}  {pair}")


if __name__ == "__main__":
    main()
