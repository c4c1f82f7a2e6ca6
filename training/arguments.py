"""The flags that the training scripts share. Names are those of transformers' `*_no_trainer.py` where they exist.

A script takes the groups it needs, adds its own flags and its defaults, and parses with `parse_with_recipe`.
"""

import argparse
import json
from typing import Any

from .optimizers import OPTIMIZERS, SCHEDULES
from .recipes import add_recipe_argument


def steps_or_epoch(text: str) -> int | str:
    """A number of steps, or "epoch"."""
    if text == "epoch":
        return text
    if not text.isdigit():
        raise argparse.ArgumentTypeError("must be a number of steps, or 'epoch'")
    return int(text)


def strength_or_name(text: str) -> float | str:
    """A number, or a name of `data.photometric.COLOUR_JITTERS`."""
    try:
        return float(text)
    except ValueError:
        return text


def script_parser(description: str) -> argparse.ArgumentParser:
    """A parser that shows its description as it is written, and takes no flag by its first letters."""
    shown_as_written = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(description=description, formatter_class=shown_as_written, allow_abbrev=False)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the model comes from, and how it computes."""
    group = parser.add_argument_group("model: --model_name_or_path, --encoder_name_or_path or --preset")
    group.add_argument(
        "--model_name_or_path", help="Hub id, folder, an authors' .pt file, or 'bundled'. Another task's head is new."
    )
    group.add_argument("--encoder_name_or_path", help="Image classifier or self-supervised encoder; decoder is new.")
    group.add_argument("--preset", help="Name in open_dpt.configuration.presets; all weights are new.")
    group.add_argument("--config_overrides", nargs="*", default=[], metavar="KEY=JSON", help="normalize_taps=true ...")
    group.add_argument("--attn_implementation", help="eager (the fastest on a CPU), sdpa, flash_attention_2, ...")
    group.add_argument("--channels_last", action="store_true", help="Memory layout that convolutions on GPUs like.")
    group.add_argument("--gradient_checkpointing", action="store_true", help="Less memory, a third more time.")
    group.add_argument("--sync_batch_norm", action="store_true", help="Statistics over all processes; GPUs only.")


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Which data, and how a sample is augmented."""
    group = parser.add_argument_group("data (names and layouts: open_dpt.data.DATASETS)")
    group.add_argument("--dataset_name", nargs="+", metavar="NAME", help="Several: each sample draws one of them.")
    group.add_argument("--data_dir", nargs="+", metavar="DIR", help="One for each data set.")
    group.add_argument("--dataset_config", nargs="*", default=[], metavar="KEY=VALUE", help="Its options.")
    group.add_argument("--train_split", default="train")
    group.add_argument("--validation_dataset_name", metavar="NAME", help="The first --dataset_name if absent.")
    group.add_argument("--validation_data_dir", metavar="DIR", help="The first --data_dir if absent.")
    group.add_argument("--validation_dataset_config", nargs="*", metavar="KEY=VALUE")
    group.add_argument("--validation_split", help="The data set's own if absent; 'none' for no validation.")
    group.add_argument("--max_train_samples", type=int, help="Use the first so many only.")
    group.add_argument("--max_eval_samples", type=int, help="Use so many only, evenly spread.")
    group.add_argument("--dataloader_num_workers", type=int, default=0)
    group.add_argument("--on_unreadable", default="skip", choices=["skip", "stop"], help="What to do with bad files.")
    group.add_argument("--max_unreadable", type=int, default=100, help="Stop after so many skipped ones.")
    group.add_argument(
        "--eval_image_size",
        type=int,
        nargs="+",
        metavar="N",
        help="Of evaluation and the saved processor; --image_size if absent.",
    )
    group = parser.add_argument_group("augmentation (open_dpt.data.transforms.TrainTransform)")
    group.add_argument("--image_size", type=int, nargs="+", metavar="N", help="Training crop: side, or height width.")
    group.add_argument("--rescale", type=float, nargs=2, default=[1.0, 1.0], metavar=("MIN", "MAX"))
    group.add_argument(
        "--rescale_to",
        default="cover",
        help="At factor 1: cover the crop, none for the image's own size, or a long side in pixels.",
    )
    group.add_argument("--rotation", type=float, default=0.0, metavar="DEGREES", help="Largest, either way.")
    group.add_argument("--flip", type=float, default=0.5, metavar="PROBABILITY")
    group.add_argument("--crop_first", choices=["kb", "nyu-border"], help="Benchmark crop before all else.")
    group.add_argument("--colour", type=strength_or_name, default=0.0, help="Colour jitter: a strength, or its name.")


def add_length_arguments(parser: argparse.ArgumentParser) -> None:
    """How long to train."""
    group = parser.add_argument_group("length, whichever ends first")
    group.add_argument("--num_train_epochs", type=float)
    group.add_argument("--max_train_steps", type=int)
    group.add_argument("--max_train_images", type=int)
    group.add_argument("--max_minutes", type=float, help="Summed over resumed runs; drives the schedule too.")


def add_optimisation_arguments(parser: argparse.ArgumentParser) -> None:
    """How weights change."""
    group = parser.add_argument_group("optimisation")
    group.add_argument("--per_device_train_batch_size", type=int, default=8)
    group.add_argument("--gradient_accumulation_steps", type=int, default=1)
    group.add_argument(
        "--total_train_batch_size", type=int, help="Images in one step on all devices; sets the accumulation."
    )
    group.add_argument("--optimizer", default="adamw", choices=sorted(OPTIMIZERS))
    group.add_argument("--learning_rate", type=float, default=1e-4)
    group.add_argument("--encoder_learning_rate", type=float, help="--learning_rate if absent.")
    group.add_argument("--decoder_lr_multiple", type=float, default=1.0, help="Neck and head learn so much faster.")
    group.add_argument("--weight_decay", type=float, default=0.0)
    group.add_argument("--adam_beta1", type=float, default=0.9)
    group.add_argument("--adam_beta2", type=float, default=0.999)
    group.add_argument("--momentum", type=float, default=0.9, help="Of sgd.")
    group.add_argument("--lr_scheduler_type", default="cosine", choices=sorted(SCHEDULES))
    group.add_argument("--num_warmup_steps", type=int, default=0)
    group.add_argument("--max_grad_norm", type=float, default=1.0, help="0 for no clipping.")
    group.add_argument("--ema_decay", type=float, help="Average the weights, e.g. 0.999; evaluated and saved instead.")
    group.add_argument("--average_last", type=int, default=1, help="The model is the mean of so many checkpoints.")
    group.add_argument("--mixed_precision", choices=["no", "bf16", "fp16"], help="As `accelerate config` if absent.")
    group.add_argument(
        "--max_skipped_steps",
        type=int,
        default=50,
        help="Stop after so many in a row without a finite loss and gradient.",
    )
    group.add_argument("--seed", type=int, default=0)


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """What is written, when, and where it goes."""
    group = parser.add_argument_group("output")
    group.add_argument("--output_dir", required=True, help="Model, checkpoints and log; on disks all nodes share.")
    group.add_argument("--checkpointing_steps", type=steps_or_epoch, default=1000, metavar="N|epoch")
    group.add_argument("--checkpointing_minutes", type=float, help="Also write a checkpoint this often.")
    group.add_argument("--checkpoints_total_limit", type=int, default=2, help="Keep the last so many.")
    group.add_argument("--resume_from_checkpoint", default="latest", help="latest (whole one), none, or a folder.")
    group.add_argument("--eval_steps", type=steps_or_epoch, default="epoch", metavar="N|epoch", help="0: at the end.")
    group.add_argument("--per_device_eval_batch_size", type=int, default=8)
    group.add_argument("--metric_for_best", help="NAME is best when highest, -NAME when lowest.")
    group.add_argument("--load_best_model_at_end", action="store_true", help="The best evaluated is the final model.")
    group.add_argument("--image_panels", type=int, default=4, help="Pictures of predictions at each evaluation.")
    group.add_argument("--logging_steps", type=int, default=20)
    group.add_argument(
        "--report_to", nargs="*", metavar="NAME", help="tensorboard (default), trackio, wandb, mlflow; none."
    )
    group.add_argument("--with_tracking", action=argparse.BooleanOptionalAction, default=True)
    group.add_argument("--save_dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    group.add_argument("--push_to_hub", action="store_true", help="Upload the final model.")
    group.add_argument("--hub_model_id", help="The folder's name if absent.")
    group.add_argument("--hub_token", help="Your login's if absent.")
    group.add_argument("--hub_private_repo", action="store_true")
    group.add_argument("--licence", default="unknown", help="Of the weights, for the model card: a hub licence id.")
    add_recipe_argument(group)
    group.add_argument("--dry_run", action="store_true", help="Show recipe, sizes, memory; one step; write nothing.")
    group.add_argument("--debug", action="store_true", help="On an error show where it comes from.")


def json_items(items: list[str], flag: str) -> dict[str, Any]:
    """KEY=JSON words as a dict; what is no JSON is a string.

    Raises:
        ValueError: a word has no "=".
    """
    values = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key:
            raise ValueError(f"{flag}: must be KEY=VALUE, got {item!r}. For example num_classes=59.")
        try:
            values[key] = json.loads(value)
        except json.JSONDecodeError:
            values[key] = value
    return values


def image_size(args: argparse.Namespace) -> tuple[int, int] | None:
    """--image_size as (height, width); None if absent.

    Raises:
        ValueError: it is more than two numbers, or not positive.
    """
    sides = args.image_size
    if sides is None:
        return None
    if len(sides) > 2 or min(sides) <= 0:
        raise ValueError(f"image_size: must be one positive number or height and width, got {sides}.")
    return sides[0], sides[-1]


def augmentation(args: argparse.Namespace) -> dict[str, Any]:
    """The flags of the augmentation as keyword arguments of `TrainTransform`."""
    to = args.rescale_to
    return {
        "rescale": tuple(args.rescale),
        "rescale_to": None if to == "none" else int(to) if to.isdigit() else to,
        "rotation": args.rotation,
        "flip": args.flip,
        "crop_first": args.crop_first,
        "colour": args.colour,
    }
