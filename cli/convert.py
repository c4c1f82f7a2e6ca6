"""`open-dpt convert`: checkpoints of the authors, of transformers and of ours into one another."""

import argparse
from pathlib import Path

from ..processing.dtype_names import DTYPES, full_dtype_name
from .messages import RequestError
from .options import key_value

SUMMARY = "authors' .pt files, transformers and our checkpoints into one another"
DESCRIPTION = """Write the checkpoint SRC as a folder DST.

SRC is an authors' .pt file (isl-org/DPT, MiDaS 3.1), a folder or a hub id. DST is written completely or not at all.

  open-dpt convert dpt_hybrid_nyu-2ce69ec7.pt nyu/
  open-dpt convert my_kitti.pt kitti/ --set depth_scale=6.016e-05 --set depth_shift=0.00579 --set invert_depth=true
  open-dpt convert my_model/ stock/ --to transformers"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="authors' .pt file, folder, or hub id")
    parser.add_argument("target", metavar="DST", type=Path, help="folder to write")
    parser.add_argument(
        "--to",
        choices=("open-dpt", "transformers"),
        default="open-dpt",
        help="whose layout to write: ours, or that of the transformers classes (default: %(default)s)",
    )
    parser.add_argument(
        "--set",
        action="append",
        type=key_value,
        default=[],
        metavar="KEY=VALUE",
        help="config value that an authors' file does not tell, e.g. max_depth=80; may be repeated",
    )
    parser.add_argument(
        "--dtype",
        type=full_dtype_name,
        choices=DTYPES,
        default="float32",
        help="of the weights (default: float32)",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--overwrite", action="store_true", help="replace a checkpoint that DST holds")


def run(arguments: argparse.Namespace) -> int:
    target = arguments.target
    if target.is_file():
        raise RequestError(f"{target}: is a file, DST must be a folder.")
    if target.is_dir() and any(target.iterdir()) and not arguments.overwrite:
        raise RequestError(f"{target}: exists and is not empty. Choose another folder, or replace with --overwrite.")

    from ..modeling_dpt.conversion.folders import complete_folder
    from .models import load

    loaded = load(
        arguments.source,
        None,
        revision=arguments.revision,
        dtype=arguments.dtype,
        overrides=dict(arguments.set),
    )
    if arguments.to == "transformers":
        loaded.model.to_transformers(target, processor=loaded.processor)
    else:
        with complete_folder(target) as folder:
            loaded.model.save_pretrained(folder)
            loaded.processor.save_pretrained(folder)
    print(f"{target}: {type(loaded.model).__name__}, {loaded.model.num_parameters() / 1e6:.1f} M parameters")
    return 0
