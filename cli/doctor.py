"""`open-dpt doctor`: does this installation compute what it should?"""

import argparse
import json
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

SUMMARY = "check this installation against a stored result"
DESCRIPTION = """Predict the bundled photo with the bundled model and compare with the stored result.

Prints versions and the device as well; add its output to a bug report."""

_PACKAGES = ("open-dpt", "torch", "transformers", "huggingface-hub", "safetensors", "accelerate", "numpy", "pillow")
# The stored result is the prediction averaged over this many cells.
_ROWS, _COLUMNS = 6, 9
# Of the range of values: what kernels and versions may differ by, and what half precision costs.
_TOLERANCES = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.02}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..processing.dtype_names import DTYPES, full_dtype_name

    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps, or auto: the fastest there is")
    parser.add_argument(
        "--dtype",
        type=full_dtype_name,
        choices=DTYPES,
        default="float32",
        help="of weights and arithmetic (default: float32)",
    )
    parser.add_argument(
        "--record", action="store_true", help=argparse.SUPPRESS
    )  # store this result as the expected one


def run(arguments: argparse.Namespace) -> int:
    import torch

    from ..assets import bundled_model_path, bundled_photo_path
    from .models import load, resolve_device

    device = resolve_device(arguments.device)
    for package in _PACKAGES:
        print(f"{package:<16} {_version(package)}")
    print(f"{'python':<16} {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"{'device':<16} {_device_name(torch, device)}, {arguments.dtype}, {torch.get_num_threads()} CPU threads")

    stored = bundled_model_path() / "expected.json"
    loaded = load(None, "depth", device=device, dtype=arguments.dtype)
    start = time.perf_counter()
    got = _cells(loaded, bundled_photo_path())
    print(f"{'time':<16} {time.perf_counter() - start:.2f} s for one photo, first run")
    if arguments.record:
        stored.write_text(json.dumps({"weights": loaded.fingerprint, "cells": got}) + "\n")
        print(f"stored as expected in {stored}")
        return 0
    return _compare(got, json.loads(stored.read_text())["cells"], _TOLERANCES[arguments.dtype])


def _compare(got: list[list[float]], expected: list[list[float]], tolerance: float) -> int:
    flat_got, flat_expected = [*chain(*got)], [*chain(*expected)]
    scale = max(flat_expected) - min(flat_expected)
    difference = max(abs(a - b) for a, b in zip(flat_got, flat_expected, strict=True)) / scale
    passed = difference <= tolerance
    for title, cells in (("expected", flat_expected), ("got", flat_got)):
        print(f"{title:<16} smallest {min(cells):.4f}, largest {max(cells):.4f}, mean {sum(cells) / len(cells):.4f}")
    print(f"{'difference':<16} {difference:.1e} of the range, at most {tolerance:.0e} allowed")
    print(
        "all well" if passed else "FAILED: this installation computes something else. Please report the lines above."
    )
    return 0 if passed else 1


def _cells(loaded: Any, photo: Path) -> list[list[float]]:
    """Mean prediction in each cell of a coarse grid."""
    import torch

    from ..processing.image_io import load_image
    from ..processing.predictor import predict_depth

    (prediction,) = predict_depth(loaded.model, loaded.processor, [load_image(photo)])
    values = torch.as_tensor(prediction.values).float().cpu()[None, None]
    return torch.nn.functional.adaptive_avg_pool2d(values, (_ROWS, _COLUMNS))[0, 0].tolist()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device_name(torch: Any, device: str) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device
