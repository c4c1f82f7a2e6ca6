"""Draw what there is to see of a trained relative depth model: its curves, and its predictions beside the truth.

    python examples/draw_report.py --model runs/tiny --log runs/tiny/log.jsonl --output report --data REAL_DATA_FOLDER

Writes curves.png (with --log), held_out.jpg (procedural scenes that were not trained on) and, with --data,
zero_shot.jpg (the photographs of evaluate_zero_shot.py). A row is image, ground truth and prediction; the prediction
is fitted to the truth by scale and shift, so both have one colour range. Missing ground truth is black.
"""

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from evaluate_zero_shot import read_pairs
from PIL import Image

from open_dpt import DPTForDepthEstimation, DPTImageProcessor
from open_dpt.data.procedural import HELD_OUT, HELD_OUT_SEED, render_batch
from open_dpt.evaluation.zero_shot import Predictor, model_predictor
from open_dpt.modeling_dpt.alignment import align_least_squares
from open_dpt.processing.colormaps import apply_colormap

TILE = 192  # height of a picture in a sheet


def draw_curves(log: Path, output: Path) -> None:
    """Loss and held-out delta1 of a log.jsonl."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    losses = [line for line in lines if "loss" in line]
    left.plot([line["step"] for line in losses], [line["loss"] for line in losses])
    left.set(xlabel="step", ylabel="training loss")
    for key in ("new_seeds/delta1", "new_types/delta1"):
        part = [line for line in lines if f"eval/{key}" in line]
        right.plot([line["step"] for line in part], [line[f"eval/{key}"] for line in part], marker="o", label=key)
    right.set(xlabel="step", ylabel="delta1, affine-aligned, held-out scenes")
    right.legend()
    figure.savefig(output, dpi=110)


def draw_sheet(rows: list[tuple[Image.Image, np.ndarray]], predict: Predictor, output: Path, columns: int) -> None:
    """Rows of (image, disparity truth with NaN where unknown), `columns` of them side by side."""
    cells = [_cell(image, truth, predict) for image, truth in rows]
    lines = [np.concatenate(cells[start : start + columns], axis=1) for start in range(0, len(cells), columns)]
    widest = max(line.shape[1] for line in lines)
    padded = [np.pad(line, ((0, 6), (0, widest - line.shape[1]), (0, 0)), constant_values=255) for line in lines]
    Image.fromarray(np.concatenate(padded)).save(output, quality=85)


def _cell(image: Image.Image, truth: np.ndarray, predict: Predictor) -> np.ndarray:
    target = torch.from_numpy(truth)[None]
    valid = torch.isfinite(target)
    prediction = predict(image, truth.shape)[None].to(target.dtype)
    scale, shift = align_least_squares(prediction, torch.nan_to_num(target), valid)
    fitted = (scale * prediction[0] + shift).numpy()
    value_range = tuple(np.quantile(truth[np.isfinite(truth)], [0.02, 0.98]))
    pictures = [np.asarray(image), _paint(truth, value_range), _paint(fitted, value_range)]
    width = max(1, round(TILE * image.width / image.height))
    resized = [np.asarray(Image.fromarray(picture).resize((width, TILE))) for picture in pictures]
    return np.pad(np.concatenate(resized, axis=1), ((0, 0), (0, 6), (0, 0)), constant_values=255)


def _paint(disparity: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    low, high = value_range
    known = np.isfinite(disparity)
    scaled = np.clip((np.where(known, disparity, low) - low) / max(high - low, 1e-9), 0, 1)
    return np.where(known[..., None], apply_colormap(scaled), 0).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="Folder or hub id of a relative depth model.")
    parser.add_argument("--log", type=Path, help="log.jsonl of pretrain_procedural.py.")
    parser.add_argument("--data", type=Path, help="Folder with the pairs of evaluate_zero_shot.py.")
    parser.add_argument(
        "--scenes", type=int, default=16, help="Held-out scenes, half of them of types not trained on."
    )
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    model = DPTForDepthEstimation.from_pretrained(args.model).float().eval()
    predict = model_predictor(model, DPTImageProcessor.from_pretrained(args.model))
    if args.log:
        draw_curves(args.log, args.output / "curves.png")
    first = HELD_OUT_SEED + 10_000  # not the scenes that training reports scores of
    known = render_batch(range(first, first + args.scenes // 2))
    new = render_batch(range(first, first + args.scenes - args.scenes // 2), scene_types=HELD_OUT)
    images = torch.cat([known.image, new.image]).permute(0, 2, 3, 1).numpy()
    truths = torch.cat([known.disparity, new.disparity]).double().numpy()
    rows = [(Image.fromarray(image), truth) for image, truth in zip(images, truths, strict=True)]
    draw_sheet(rows, predict, args.output / "held_out.jpg", columns=2)
    if args.data:
        pairs = read_pairs(args.data)
        rows = [(pair.image, np.where(pair.depth > 0, 1 / np.maximum(pair.depth, 1e-3), np.nan)) for pair in pairs]
        draw_sheet(rows, predict, args.output / "zero_shot.jpg", columns=1)


if __name__ == "__main__":
    main()
