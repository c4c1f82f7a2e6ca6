"""Draw what the logs of several runs hold, one line a run.

python examples/draw_curves.py --runs pretrained=runs/a scratch=runs/b --metrics loss eval/abs_rel --output a.png
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", required=True, metavar="LABEL=FOLDER", help="Output folders of scripts.")
    parser.add_argument("--metrics", nargs="+", default=["loss"], help="Keys of log.jsonl; one picture each.")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(arguments)
    runs = dict(run.split("=", 1) for run in args.runs)
    logs = {label: read_log(Path(folder)) for label, folder in runs.items()}
    figure, axes = plt.subplots(1, len(args.metrics), figsize=(4.2 * len(args.metrics), 3.2), squeeze=False)
    for axis, metric in zip(axes[0], args.metrics, strict=True):
        for label, lines in logs.items():
            points = [(line["step"], line[metric]) for line in lines if metric in line]
            axis.plot(*zip(*points, strict=True), label=label, linewidth=1.4) if points else None
        axis.set(xlabel="step", title=metric)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    figure.tight_layout()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=110)


def read_log(folder: Path) -> list[dict]:
    """The lines of a run's log.

    Raises:
        FileNotFoundError: the folder has none.
    """
    path = folder / "log.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not found. Give the --output_dir of a training.")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
