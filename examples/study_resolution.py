"""Figure 4 of the paper: how the error changes with the resolution of inference; the training resolution is 0 %.

    python examples/study_resolution.py --output_dir runs/resolution \\
        --models ViT=runs/backbones/ViT-seed0 ResNet=runs/backbones/ResNet-seed0

A label given twice names several seeds of one model; their mean is drawn. Held-out procedural scenes are rendered at
--render_size, with --data also the pairs of evaluate_zero_shot.py are scored. Images are resized to the shorter side
asked for as the model's processor does it, predictions are resized back: every resolution is scored on the same
pixels, AbsRel after affine alignment. Writes resolution.json, resolution.md and resolution.png.
"""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import mean

import torch
from evaluate_zero_shot import read_pairs
from PIL import Image

from open_dpt import DPTForDepthEstimation, DPTImageProcessor
from open_dpt.data.procedural import HELD_OUT, HELD_OUT_SEED, render_batch
from open_dpt.evaluation.zero_shot import DepthPair, evaluate_pairs, mean_score, model_predictor
from open_dpt.training.errors import one_line

CAP = 80.0  # metres, of procedural scenes
SETS = {"scenes": "held-out scenes", "real": "real pairs"}


def held_out_pairs(count: int, side: int) -> list[DepthPair]:
    """`count` scenes of each kind that nothing was trained on, as image and depth pairs, without those of sky alone.

    Types that were trained on, and types that were not.
    """
    pairs = []
    for kind, types in (("known", None), ("new", HELD_OUT)):
        images, disparities = render_batch(range(HELD_OUT_SEED, HELD_OUT_SEED + count), (side, side), "cpu", types)
        depths = torch.where(disparities > 0, 1 / disparities, 0.0).double().numpy()
        for number, (image, depth) in enumerate(zip(images.permute(0, 2, 3, 1).numpy(), depths, strict=True)):
            if ((depth > 0) & (depth < CAP)).any():
                pairs.append(DepthPair(f"{kind} {number}", Image.fromarray(image), depth, CAP))
    return pairs


def errors_by_size(folder: str, sizes: Iterable[int], sets: dict[str, list[DepthPair]]) -> tuple[int, dict]:
    """The training size of a model, and its AbsRel by set and size.

    Args:
        folder: Folder or hub id of a relative depth model.
        sizes: Shorter sides in pixels; the training size, the side its processor aims at, is added.
        sets: Pairs by the name of their set.

    Raises:
        ValueError: a size is not a multiple of the model's stride.
    """
    model = DPTForDepthEstimation.from_pretrained(folder).float().eval()
    processor = DPTImageProcessor.from_pretrained(folder)
    trained = min(processor.size["height"], processor.size["width"])
    divisor = model.config.size_divisor
    for size in sizes:
        if size % divisor:
            raise ValueError(f"sizes: must be multiples of {divisor} for {folder}, got {size}. Leave it out.")
    errors = {name: {} for name in sets}
    for size in sorted({*sizes, trained}):
        processor.size = {"height": size, "width": size}
        predict = model_predictor(model, processor)
        for name, pairs in sets.items():
            errors[name][size] = mean_score(evaluate_pairs(predict, pairs).values()).abs_rel
    return trained, errors


def relative_change(runs: list[dict[int, float]], trained: int) -> dict[int, float]:
    """Percent by which the error, mean over seeds, differs from that at the training size."""
    means = {size: mean(run[size] for run in runs) for size in runs[0]}
    return {size: 100 * (error / means[trained] - 1) for size, error in means.items()}


def markdown(results: dict[str, dict]) -> str:
    """A table a set: a row a size; AbsRel and its change for every model."""
    lines = ["# Inference resolution (figure 4 of the paper)"]
    for key, title in SETS.items():
        shown = {label: result for label, result in results.items() if key in result["errors"]}
        if not shown:
            continue
        sizes = sorted({size for result in shown.values() for size in result["errors"][key][0]})
        lines += ["", f"AbsRel on {title}, and its change against the training resolution.", ""]
        lines += ["| shorter side | " + " | ".join(shown) + " |", "|" + " --- |" * (1 + len(shown))]
        for size in sizes:
            cells = [str(size)]
            for result in shown.values():
                runs, change = result["errors"][key], result["change"][key]
                text = f"{mean(run[size] for run in runs):.3f} ({change[size]:+.0f} %)" if size in change else ""
                cells.append(f"**{text}**" if size == result["trained_at"] else text)
            lines.append("| " + " | ".join(cells) + " |")
    seeds = "; ".join(f"{label}: {len(result['folders'])} run(s)" for label, result in results.items())
    return "\n".join([*lines, "", f"Bold: the training resolution. {seeds}.", ""])


def draw(results: dict[str, dict], path: Path) -> None:
    """One panel a set, one line a model, thin ones for its seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    keys = [key for key in SETS if any(key in result["errors"] for result in results.values())]
    figure, axes = plt.subplots(1, len(keys), figsize=(4.4 * len(keys), 3.4), squeeze=False, layout="constrained")
    for axis, key in zip(axes[0], keys, strict=True):
        for number, (label, result) in enumerate(results.items()):
            runs, trained, colour = result["errors"][key], result["trained_at"], f"C{number}"
            for run in runs if len(runs) > 1 else []:
                axis.plot(*zip(*relative_change([run], trained).items(), strict=True), color=colour, alpha=0.3)
            axis.plot(*zip(*result["change"][key].items(), strict=True), "o-", color=colour, label=label, markersize=4)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set(xlabel="shorter side at inference (pixels)", ylabel="change of AbsRel (%)", title=SETS[key])
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def run(args: argparse.Namespace) -> dict[str, dict]:
    """Score every model at every size.

    Raises:
        ValueError, OSError: a model or the data cannot be used.
    """
    folders: dict[str, list[str]] = {}
    for word in args.models:
        label, equals, folder = word.partition("=")
        if not equals or not label or not folder:
            raise ValueError(f"models: must be LABEL=FOLDER, got {word!r}. For example ViT=runs/backbones/ViT-seed0.")
        folders.setdefault(label, []).append(folder)
    sets = {"scenes": held_out_pairs(args.scenes, args.render_size)} if args.scenes else {}
    sets |= {"real": read_pairs(args.data)} if args.data else {}
    if not sets:
        raise ValueError("data: nothing to score on. Give --data, or more than 0 --scenes.")
    results = {}
    for label, names in folders.items():
        print(label, flush=True)
        scored = [errors_by_size(name, args.sizes, sets) for name in names]
        trained = {size for size, _ in scored}
        if len(trained) > 1:
            raise ValueError(f"models: runs called {label!r} must share one size, got {sorted(trained)}. Rename one.")
        errors = {key: [each[key] for _, each in scored] for key in sets}
        size = trained.pop()
        change = {key: relative_change(runs, size) for key, runs in errors.items()}
        results[label] = {"folders": names, "trained_at": size, "errors": errors, "change": change}
    return results


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="LABEL=FOLDER", help="Folders or hub ids.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 160, 192, 256], help="Shorter sides.")
    parser.add_argument("--scenes", type=int, default=64, help="Held-out scenes of each kind; 0 for none.")
    parser.add_argument("--render_size", type=int, default=256, help="Side of the rendered scenes in pixels.")
    parser.add_argument("--data", type=Path, help="Folder with the pairs of evaluate_zero_shot.py.")
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args(arguments)
    try:
        results = run(args)
        args.output_dir.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        print(f"study_resolution.py: {one_line(error)}", file=sys.stderr)
        return 2
    (args.output_dir / "resolution.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text = markdown(results)
    (args.output_dir / "resolution.md").write_text(text, encoding="utf-8")
    print(text)
    try:
        draw(results, args.output_dir / "resolution.png")
    except ImportError:
        print("no plot: `pip install 'open-dpt[evaluate]'` for matplotlib", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
