"""Options that several commands share."""

import argparse
import json
from pathlib import Path

from ..processing.dtype_names import DTYPES, full_dtype_name


def add_model_options(
    parser: argparse.ArgumentParser,
    models: str = "hub id, folder, or an original .pt file of the authors",
    inference: bool = False,
) -> None:
    """--model (what it may be: `models`), --revision, --device, --dtype; for inference also int8 and --compile."""
    parser.add_argument("--model", metavar="M", help=f"{models} (default: the small bundled demonstration model)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto: the fastest there is")
    parser.add_argument(
        "--dtype",
        type=full_dtype_name,
        choices=("auto", *DTYPES, *(["int8"] if inference else [])),
        default="float32",
        help="of weights and arithmetic (default: float32); auto: fastest that the device multiplies in hardware"
        + ("; int8: 8-bit products on the CPU, slightly different answers" if inference else ""),
    )
    if inference:
        parser.add_argument(
            "--compile",
            action="store_true",
            help="torch.compile, meant for GPUs and many images: the first take minutes; a CPU gains little",
        )


def add_image_options(parser: argparse.ArgumentParser, formats: dict[str, str], default: list[str]) -> None:
    """IMAGE..., --output, --format, --batch-size, --image-size, --overwrite.

    Args:
        formats: name of each format and what it is.
        default: names written when none is chosen.
    """
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER|GLOB", help="folders with all below")
    parser.add_argument(
        "--output", type=Path, default=Path("open_dpt_output"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--format",
        type=lambda text: _names(text, formats),
        default=default,
        metavar="F,F...",
        help="; ".join(f"{name}: {meaning}" for name, meaning in formats.items()) + f" (default: {','.join(default)})",
    )
    parser.add_argument(
        "--batch-size", type=positive, default=1, metavar="N", help="images of one shape at a time (default: 1)"
    )
    parser.add_argument(
        "--image-size",
        type=size,
        metavar="N|HxW",
        help="size that images are resized to for the model (default: what its processor says)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that exist instead of continuing")


def add_data_options(parser: argparse.ArgumentParser, split: str) -> None:
    """--dataset, --data, --split, --option."""
    parser.add_argument("--dataset", required=True, metavar="NAME", help="name of the data set, such as nyuv2-bts")
    parser.add_argument("--data", required=True, metavar="DIR", help="where it lies")
    parser.add_argument("--split", default=split, help="default: %(default)s")
    add_pairs(parser, "--option", "option of the data set, such as depth_scale=1000")


def add_pairs(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    """An option KEY=VALUE that may be given several times."""
    parser.add_argument(
        name, action="append", type=key_value, default=[], metavar="KEY=VALUE", help=f"{meaning}; may be repeated"
    )


def key_value(text: str) -> tuple[str, object]:
    """KEY=VALUE with a JSON value; a word that is no JSON is a string."""
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"must be KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    return whole(text, least=1)


def whole(text: str, least: int = 0) -> int:
    """A whole number of `least` or more."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be {least} or more, got {value}")
    return value


def _names(text: str, known: dict[str, str]) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise argparse.ArgumentTypeError(f"unknown format {name!r}; choose from {', '.join(known)}")
    return names


def size(text: str) -> tuple[int, int]:
    """(height, width) from one number or HEIGHTxWIDTH."""
    sides = text.lower().split("x")
    if len(sides) > 2 or "" in sides:
        raise argparse.ArgumentTypeError(f"must be one number or HEIGHTxWIDTH, got {text}")
    return positive(sides[0]), positive(sides[-1])
