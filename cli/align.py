"""`open-dpt align`: let a relative model answer in metres."""

import argparse
import shutil
from pathlib import Path

from .messages import RequestError
from .options import add_data_options, add_model_options, positive, size

SUMMARY = "a relative model that answers in metres, fitted to a data set"
DESCRIPTION = """Fit the disparity of a relative model to the depth of a data set; write one that answers in metres.

Of every image the scale and shift are taken that give its disparity the median and the spread of 1 / depth; their
means become the model's. This is the step before metric fine-tuning: the model as it is written knows one scale for
all images. A run that was stopped continues when the same command is given again.

  open-dpt align --dataset nyuv2-bts --data nyu/ --max-depth 10 --output nyu_start/
  accelerate launch -m open_dpt.cli.main align ...   shares the images among processes"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_options(parser, split="train")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="where the model is written")
    parser.add_argument("--min-depth", type=float, default=1e-3, metavar="M", help="ground truth from here on counts")
    parser.add_argument(
        "--max-depth",
        type=float,
        metavar="M",
        help="ground truth up to here counts, and the model's answers end here (default: no end)",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="use so many images, spread over the data set")
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images of one shape at a time")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="processes that read ahead")
    parser.add_argument("--skip-unreadable", action="store_true", help="count unreadable images instead of stopping")
    parser.add_argument("--image-size", type=size, metavar="N|HxW", help="size that images are resized to")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that FOLDER holds")
    add_model_options(parser)


def run(arguments: argparse.Namespace) -> int:
    output = arguments.output
    if output.is_file():
        raise RequestError(f"{output}: is a file, FOLDER must be a folder.")
    if output.is_dir() and any(output.iterdir()) and not arguments.overwrite:
        raise RequestError(f"{output}: exists and is not empty. Choose another folder, or replace with --overwrite.")

    from accelerate import Accelerator
    from tqdm import tqdm

    from ..data import load_data
    from ..modeling_dpt.conversion.folders import complete_folder
    from ..training.ending import end_training
    from ..training.metric_alignment import align_to_metric, make_metric
    from .models import load_for

    rows = load_data(arguments.dataset, arguments.data, arguments.split, **dict(arguments.option))
    accelerator = Accelerator(cpu=arguments.device == "cpu")
    if accelerator.num_processes > 1 and arguments.device == "auto":
        arguments.device = "cpu"  # where it is loaded; accelerate spreads the processes over the devices
    loaded = load_for(arguments, "depth")
    # Beside the output, which is written completely or not at all.
    journal = output.with_name(f".{output.name}.align")
    total = min(arguments.limit or len(rows), len(rows)) // accelerator.num_processes
    with tqdm(total=total, unit="image", disable=None if accelerator.is_main_process else True) as progress:
        found = align_to_metric(
            loaded.model,
            loaded.processor,
            rows,
            accelerator if accelerator.num_processes > 1 else None,
            min_depth=arguments.min_depth,
            max_depth=arguments.max_depth,
            journal=journal,
            settings={
                "dataset": arguments.dataset,
                "data": str(Path(arguments.data).resolve()),
                "split": arguments.split,
                "options": dict(arguments.option),
                "dtype": str(loaded.model.dtype).removeprefix("torch."),
            },
            on_sample=lambda index: progress.update(),
            limit=arguments.limit,
            batch_size=arguments.batch_size,
            num_workers=arguments.workers,
            on_unreadable="skip" if arguments.skip_unreadable else "stop",
        )
    if accelerator.is_main_process:
        make_metric(loaded.model, found.scale, found.shift, arguments.max_depth)
        with complete_folder(output) as folder:
            loaded.model.to("cpu").save_pretrained(folder)
            loaded.processor.save_pretrained(folder)
        shutil.rmtree(journal, ignore_errors=True)
        print(_summary(output, found, loaded.model.config))
    end_training(accelerator)
    return 0


def _summary(output: Path, found, config) -> str:
    left_out = {
        "without ground truth": found.empty,
        "constant": found.constant,
        "unreadable": found.unreadable,
    }
    lines = [
        f"{output}: metres = 1 / ({config.depth_scale:.6g} * network + {config.depth_shift:.6g})",
        f"images: {found.images} used{''.join(f', {count} {why}' for why, count in left_out.items() if count)}",
        f"correlation of predicted and true 1 / depth: {found.correlation:.3f} (mean over images)",
    ]
    if config.head_activation == "relu" and config.depth_shift > 0:
        lines.append(f"the farthest answer before fine-tuning is {1 / config.depth_shift:.4g} m: the network is >= 0")
    return "\n".join(lines)
