"""`open-dpt evaluate`: a model, or predictions of any program, measured under a named protocol."""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

from ..evaluation.adapters.base import KINDS
from .messages import RequestError
from .options import add_model_options, add_pairs, positive, whole

SUMMARY = "measure a model, or predictions, under a published protocol"
DESCRIPTION = """Measure a model, or predictions of any program, under a named protocol.

Images, crops, caps, alignment, resizing and averaging are the protocol's; a change of them shows in the result's name.

  open-dpt evaluate --list                                            all protocols
  open-dpt evaluate --show nyu-eigen                                  every rule of one
  open-dpt evaluate --protocol nyu-eigen --data nyu/ --model my_model/
  open-dpt evaluate --protocol zero-shot-kitti --data kitti/ --model Intel/dpt-large --limit 20
  open-dpt evaluate --protocol kitti-eigen-garg --data kitti/ --model predictions/     16-bit PNG, npy, npz files
  open-dpt evaluate --protocol own-folder --data mine/ --option depth_scale=1000 --model my_code.py:predict
  accelerate launch -m open_dpt.cli.main evaluate ...                 shares the images among GPUs
  torchrun --nproc_per_node 4 -m open_dpt.cli.main evaluate ...       among processes, also on a CPU

The result (result.json), a row for every image (rows.parquet) and pictures of the best, the median and the worst image
are written to --output. A run that was stopped continues when the same command is given again. Images that cannot be
read are counted, and the exit status is 1."""

# Unreadable images that are named at the end.
MOST_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="list the protocols and stop")
    parser.add_argument("--show", metavar="P", help="print every rule of a protocol and stop")
    parser.add_argument("--protocol", metavar="P", help="name of --list, or a .yaml file of your own")
    parser.add_argument("--data", metavar="DIR", help="where the protocol's data set lies")
    add_model_options(
        parser,
        "hub id or folder of a model, an authors' .pt file, a folder of prediction files, FILE.py:NAME for a Python "
        "function, stock:ID for transformers' own class",
        inference=True,
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="use so many images, spread over the data set")
    parser.add_argument("--batch-size", type=positive, default=1, metavar="N", help="images at a time (default: 1)")
    parser.add_argument("--workers", type=whole, default=0, metavar="N", help="processes that read ahead")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: a folder of the protocol and the model in open_dpt_output"
    )
    parser.add_argument("--overwrite", action="store_true", help="forget what DIR holds of another run")
    add_pairs(parser, "--option", "option of the data set, such as depth_scale=1000")
    parser.add_argument("--split", help="another split than the protocol's; changes its name")
    parser.add_argument("--align", metavar="NAME", help="another alignment than the protocol's; changes its name")
    add_pairs(parser, "--change", "another rule, as --show has them, such as score.window=none; changes the name")
    parser.add_argument(
        "--kind",
        choices=(*KINDS["depth"], *KINDS["segmentation"]),
        help="what predictions mean where they do not say: metres, depth up to scale, larger is nearer, class ids",
    )
    parser.add_argument(
        "--prediction-scale",
        type=float,
        metavar="S",
        help="of prediction files with whole numbers: value / S = metres (default: as the protocol stores them)",
    )


def run(arguments: argparse.Namespace) -> int:
    from ..evaluation.protocol import load_protocol

    if arguments.list:
        print(_listed())
        return 0
    if arguments.show:
        print(_shown(load_protocol(arguments.show)))
        return 0
    for name in ("protocol", "data"):
        if getattr(arguments, name) is None:
            raise RequestError(
                f"--{name}: is needed. For example: --protocol nyu-eigen --data nyu/ --model my_model/."
            )
    changes = dict(arguments.change)
    changes |= {"data.split": arguments.split} if arguments.split else {}
    changes |= {"alignment": arguments.align} if arguments.align else {}
    return _evaluate(arguments, load_protocol(arguments.protocol).with_changes(changes))


def _evaluate(arguments: argparse.Namespace, protocol: Any) -> int:
    from accelerate import Accelerator

    from ..evaluation.adapters.loading import load_adapter
    from ..evaluation.evaluator import evaluate
    from ..training.ending import end_training
    from .models import compile_for, quiet_libraries, resolve_device, resolve_dtype

    quiet_libraries()
    accelerator = Accelerator(cpu=arguments.device == "cpu")
    shared = accelerator.num_processes > 1 and arguments.device == "auto"
    quantisation = getattr(protocol.quantisation, "scale", None)
    device = str(accelerator.device) if shared else resolve_device(arguments.device)
    adapter = load_adapter(
        arguments.model,
        protocol.task,
        kind=arguments.kind,
        device=device,
        dtype=resolve_dtype(arguments.dtype, device),
        revision=arguments.revision,
        prediction_scale=quantisation if arguments.prediction_scale is None else arguments.prediction_scale,
    )
    model = getattr(adapter, "model", None)
    if arguments.compile and model is None:
        raise RequestError(f"--compile: is for models of this library or of transformers, got {arguments.model}.")
    compile_for(arguments, model)
    output = arguments.output or Path("open_dpt_output") / _file_name(protocol.name) / _file_name(adapter.name)
    if output.is_file():
        raise RequestError(f"{output}: is a file, --output must be a folder.")
    try:
        result = evaluate(
            protocol,
            arguments.data,
            adapter,
            output=output,
            limit=arguments.limit,
            batch_size=arguments.batch_size,
            num_workers=arguments.workers,
            accelerator=accelerator,
            options=dict(arguments.option),
            overwrite=arguments.overwrite,
        )
    except KeyboardInterrupt:
        if accelerator.is_main_process:
            print(f"\n{output}: keeps what is finished; the same command continues.", file=sys.stderr)
        raise
    if accelerator.is_main_process:
        _report(result, output)
    end_training(accelerator)
    return 1 if result.counts.get("unreadable") else 0


def _listed() -> str:
    from ..evaluation.protocol import protocol_titles

    titles = protocol_titles()
    width = max(map(len, titles))
    return "\n".join(f"{label:{width}}  {title}" for label, title in titles.items())


def _shown(protocol: Any) -> str:
    import yaml

    values = {key: value for key, value in protocol.to_dict().items() if key != "changes"}
    return yaml.safe_dump(values, sort_keys=False, width=110, default_flow_style=None) + f"sha256: {protocol.sha256}"


def _report(result: Any, output: Path) -> None:
    from ..evaluation.paper_tables import paper_table

    counts = result.counts
    parts = [f"{counts['images']} scored of {result.data['used']} used of {result.data['listed']}"]
    parts += [f"{counts[name]} {told}" for name, told in _LEFT_OUT.items() if counts.get(name)]
    bad = [f"{counts[name]:,} {told}" for name, told in _BAD_PIXELS.items() if counts.get(name)]
    print(paper_table(result), end="\n\n")
    print(f"images: {', '.join(parts)}")
    if "pixels" in counts:
        print(f"pixels: {counts['pixels']:,}" + (f"; predictions among them: {', '.join(bad)}" if bad else ""))
    print(f"files: {output}/ (result.json, rows.parquet, pictures); fingerprint {result.fingerprint}")
    if warning := result.extra.get("warning"):
        print(f"open-dpt evaluate: {warning}", file=sys.stderr)
    unreadable = [row["reason"] for row in result.rows.to_pylist() if row["status"] == "unreadable"]
    for reason in unreadable[:MOST_NAMED]:
        print(f"open-dpt evaluate: left out: {reason}", file=sys.stderr)
    if len(unreadable) > MOST_NAMED:
        print(f"open-dpt evaluate: and {len(unreadable) - MOST_NAMED} more, see rows.parquet", file=sys.stderr)


_LEFT_OUT = {"empty": "without ground truth that counts", "unreadable": "unreadable"}
_BAD_PIXELS = {"nan_pixels": "NaN", "nonpositive_pixels": "not positive", "infinite_pixels": "infinite"}


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "model"
