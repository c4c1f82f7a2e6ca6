"""What can be measured, as data: suites with their defaults, peers with what they need. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import product
from typing import Any

from ..dtype_names import DTYPES, full_dtype_name

Size = tuple[int, int]

_EXTRA = "pip install 'open-dpt[export]'"


# What we are called among candidates; by this alone, our model after `optimize_for_inference`.
OWN = "open_dpt"

# Ways to run our own model, for suites of the bare network.
WAYS = {
    "optimized": "after optimize_for_inference()",
    "loaded": "as from_pretrained gives it",
    "compiled": "optimized, then torch.compile for each size alone, on CUDA with its graphs",
    "compile_model": "optimized, then compile_model(), for all sizes where it can",
    "int8": "after quantize_int8(), on a CPU, whatever the dtype",
}


@dataclass(frozen=True)
class Peer:
    """Something else that runs the same network.

    Args:
        summary: What it is.
        modules: That must be importable.
        remedy: How to get them.
        suites: Where it takes part.
        distributions: Whose versions are recorded.
        by_default: Takes part without being named.
    """

    summary: str
    modules: tuple[str, ...]
    remedy: str
    suites: tuple[str, ...]
    distributions: tuple[str, ...] = ()
    by_default: bool = True

    def missing(self) -> str | None:
        """Why it cannot run here, in one line; None where it can."""
        absent = [name for name in self.modules if not _is_there(name)]
        return f"{', '.join(absent)} not installed: {self.remedy}" if absent else None


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


_FORWARD = ("latency", "throughput", "size")
# Where our network runs in several ways.
_BARE = (*_FORWARD, "stream")

PEERS = {
    "transformers": Peer("its DPT class, eager", ("transformers",), "", (*_BARE, "loading", "training")),
    # Compiling takes minutes for each size.
    "transformers-compiled": Peer("its DPT class, torch.compile", ("transformers",), "", _BARE, by_default=False),
    "pipeline": Peer("transformers.pipeline", ("transformers",), "", ("folder",)),
    "loop": Peer("a loop of its processor and model, written by hand", ("transformers",), "", ("folder",)),
    "authors": Peer(
        "the authors' archived code",
        ("dpt.models", "timm"),
        "git clone https://github.com/isl-org/DPT, add the folder to PYTHONPATH, pip install timm",
        _FORWARD,
        ("timm",),
    ),
    "smp": Peer(
        "segmentation_models_pytorch's DPT of the same encoder; own weights, so outputs are not compared",
        ("segmentation_models_pytorch", "timm"),
        "pip install segmentation-models-pytorch",
        _FORWARD,
        ("segmentation-models-pytorch", "timm"),
    ),
    "openvino": Peer("our graph in OpenVINO", ("openvino",), _EXTRA, _FORWARD, ("openvino",)),
    "onnxruntime": Peer(
        "our graph in ONNX Runtime",
        ("onnx", "onnxscript", "onnxruntime"),
        _EXTRA,
        _FORWARD,
        ("onnxruntime",),
    ),
}


@dataclass(frozen=True)
class Options:
    """What to measure, and how long.

    Args:
        presets: Names of sizes of the network; every one with each size, batch size and dtype.
        sizes: (height, width) of the network's input; for folders, of the processor; a stream has all in a round.
        dtypes: Of weights and arithmetic; for training, of autocast. "auto": what `choose_dtype` says of the device.
        batch_sizes: Images that run together.
        peers: Names from `PEERS`; None: all that the suite knows, without those that need compiling.
        ways: Names from `WAYS`.
        rounds, seconds: Limits for each case; at least three rounds are taken. rounds None: 7 on a CPU, where a round
            may take seconds, else 100.
        device, threads: Of torch; threads None: as torch has them. Peers get the same.
        photos: Of the folder.
    """

    presets: tuple[str, ...] = ("dpt-base",)
    sizes: tuple[Size, ...] = ((384, 384),)
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    batch_sizes: tuple[int, ...] = (1,)
    peers: tuple[str, ...] | None = None
    ways: tuple[str, ...] = ("optimized",)
    rounds: int | None = None
    seconds: float = 60.0
    device: str = "cpu"
    threads: int | None = None
    photos: int = 24


AXES = ("presets", "sizes", "batch_sizes", "dtypes")

# What photos of the usual aspects become, lying and standing, and those of a car's camera.
_SIDES = (480, 512, 576, 672, 896)
STREAM_SIZES = ((384, 384), *((384, side) for side in _SIDES), *((side, 384) for side in _SIDES), (352, 1216))


@dataclass(frozen=True)
class Suite:
    """A summary, the module here whose `measure(case, folder, options)` does it, and defaults of its own.

    It has a case for each combination of the options in `axes`.
    """

    summary: str
    module: str
    defaults: dict[str, Any]
    axes: tuple[str, ...] = AXES


SUITES = {
    "latency": Suite(
        "milliseconds for one image",
        "forward",
        {
            "presets": ("dpt-tiny", "dpt-base", "dpt-hybrid", "dpt-large"),
            "sizes": ((384, 384), (480, 640), (352, 1216)),
        },
    ),
    "throughput": Suite("images a second in batches", "forward", {"batch_sizes": (2, 4, 8)}),
    "size": Suite(
        "cost against image size", "forward", {"sizes": tuple((side, side) for side in (256, 384, 512, 768, 1024))}
    ),
    "stream": Suite(
        "images of 12 sizes one after the other: milliseconds an image, graphs compiled on the way",
        "stream",
        {"sizes": STREAM_SIZES, "ways": ("loaded", "optimized")},
        ("presets", "dtypes"),
    ),
    "folder": Suite(
        "photos of mixed sizes to files, from decoding to writing",
        "folder",
        {},
    ),
    "loading": Suite(
        "from_pretrained and import: seconds and memory", "loading", {"dtypes": ("float32",)}, ("presets",)
    ),
    "training": Suite("a training step: images a second and memory", "training", {"batch_sizes": (4,)}),
}

_FEW = {"seconds": 0, "rounds": 2}
_TORCH_AND_OPENVINO = ("transformers", "authors", "smp", "openvino")

# What `open-dpt bench` measures when no suite is named: chosen for 15 minutes on two cores.
STANDARD: list[tuple[str, dict[str, Any]]] = [
    ("latency", {"presets": ("dpt-tiny", "dpt-base"), "sizes": ((384, 384),), "seconds": 8}),
    ("latency", {"presets": ("dpt-large",), "sizes": ((384, 384),), "peers": _TORCH_AND_OPENVINO, "seconds": 8}),
    (
        "latency",
        {"presets": ("dpt-hybrid",), "sizes": ((384, 384),), "dtypes": ("bfloat16",), "peers": _TORCH_AND_OPENVINO}
        | _FEW,
    ),
    (
        "latency",
        {"presets": ("dpt-base",), "sizes": ((480, 640), (352, 1216)), "peers": _TORCH_AND_OPENVINO} | _FEW,
    ),
    ("throughput", {"batch_sizes": (4,), "dtypes": ("bfloat16",), "peers": ("transformers",), "seconds": 8}),
    (
        "size",
        {"sizes": ((256, 256), (512, 512), (768, 768)), "dtypes": ("bfloat16",), "peers": ("transformers",)} | _FEW,
    ),
    (
        "stream",
        {"presets": ("dpt-tiny",), "sizes": STREAM_SIZES[::3], "dtypes": ("float32",), "peers": ()} | _FEW,
    ),
    ("folder", {"photos": 6} | _FEW),
    ("loading", {"presets": ("dpt-large",), "rounds": 3}),
    ("training", {"batch_sizes": (1,)} | _FEW),
]


def options_for(suite: str, **given: Any) -> Options:
    """The suite's defaults with those given (None: not given), checked.

    Raises:
        ValueError: a name is unknown, or a size is none that the network takes (the message has the nearest), a list
            is empty, seconds are below 0, or training is asked for in float16.
    """
    _known("suite", suite, SUITES)
    given = {key: value for key, value in given.items() if value is not None}
    for key in given:
        _known("option", key, [field.name for field in fields(Options)])
    options = replace(Options(**SUITES[suite].defaults), **given)
    options = replace(
        options,
        dtypes=tuple(_dtype(name, options.device) for name in options.dtypes),
        rounds=options.rounds or (7 if options.device.startswith("cpu") else 100),
    )
    from ...configuration import PRESETS

    for subject, names, known in [
        ("preset", options.presets, PRESETS),
        ("dtype", options.dtypes, DTYPES),
        ("peer", options.peers or (), PEERS),
        ("way", options.ways, WAYS),
    ]:
        if not names and subject != "peer":
            raise ValueError(f"{subject}: needs at least one, got none. Choose from {', '.join(known)}.")
        for name in names:
            _known(subject, name, known)
    for subject, values in [("size", options.sizes), ("batch size", options.batch_sizes)]:
        if not values:
            raise ValueError(f"{subject}: needs at least one, got none.")
    if not options.seconds >= 0:  # nan, too
        raise ValueError(f"seconds: must be 0 or more, got {options.seconds}.")
    if suite == "training" and "float16" in options.dtypes:
        raise ValueError(
            "dtype: training in float16 needs its gradients scaled, which no candidate does. Take bfloat16."
        )
    for name in options.peers or ():
        if suite not in PEERS[name].suites:
            others = ", ".join(other for other, peer in PEERS.items() if suite in peer.suites)
            raise ValueError(f"peer: {name} has no part in {suite}. Choose from {others}.")
    for preset in options.presets:
        _check_sizes(preset, options.sizes)
    return options


def run_suite(suite: str, **given: Any) -> Iterator[dict[str, Any]]:
    """Measure, and yield a case as soon as it is done.

    Args:
        suite: Name from `SUITES`.
        given: Fields of `Options`, instead of the suite's defaults.

    Yields:
        JSON data: `suite`, `preset`, `dtype`, `height`, `width`, `batch`, `gflop`, `ceiling`, `ceiling_tflops`,
        `ceiling_tflops_cpu` and `rows`. A row is a candidate: `candidate`, `status` ("timed", "missing", "failed",
        "differs"), `reason`, figures where timed; one of ours has ratios to every peer in `against`.

    Raises:
        ValueError: as `options_for`.
    """
    options = options_for(suite, **given)
    from .cases import measure_cases  # imports torch

    return measure_cases(list_cases(suite, options), options)


def list_cases(suite: str, options: Options) -> list[dict[str, Any]]:
    """The cases that `run_suite` yields, before they are measured. Loading has one dtype, and no size or batch."""
    values = (getattr(options, axis) if axis in SUITES[suite].axes else (None,) for axis in AXES)
    cases = []
    for preset, size, batch, dtype in product(*values):
        height, width = size or (None, None)
        shape = {"height": height, "width": width, "batch": batch}
        cases.append({"suite": suite, "preset": preset, "dtype": dtype or "float32", **shape})
    return cases


def uses(suite: str, field: str) -> bool:
    """Whether a field of `Options` changes what the suite measures."""
    takers = {"ways": _BARE, "photos": ("folder",)}.get(field)
    if takers:
        return suite in takers
    return field not in AXES or field in SUITES[suite].axes or (suite, field) == ("stream", "sizes")


def chosen_peers(suite: str, options: Options) -> list[str]:
    """Names of the peers that take part."""
    there = {name: peer for name, peer in PEERS.items() if suite in peer.suites}
    if options.peers is None:
        return [name for name, peer in there.items() if peer.by_default]
    return [name for name in there if name in options.peers]


def candidates_of(suite: str, options: Options) -> list[str]:
    """Names of all that a case is measured with: peers, then ours."""
    ways = options.ways if suite in _BARE else ("optimized",)
    return [*chosen_peers(suite, options), *(OWN if way == "optimized" else f"{OWN}, {way}" for way in ways)]


def _dtype(name: str, device: str) -> str:
    if name != "auto":
        return full_dtype_name(name)
    from ..dtypes import choose_dtype  # imports torch

    return choose_dtype(device)[0]


def _known(subject: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        close = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise ValueError(f"{subject}: unknown name {name!r}. {hint}Choose from {', '.join(known)}.")


def _check_sizes(preset: str, sizes: Iterable[Size]) -> None:
    from ...configuration import DPTConfig

    divisor = DPTConfig.from_preset(preset).size_divisor
    for size in sizes:
        if any(side % divisor for side in size):
            near = [max(divisor, divisor * math.floor(side / divisor + 0.5)) for side in size]
            raise ValueError(
                f"size: must be multiples of {divisor} for {preset}, got {size[0]}x{size[1]}. "
                f"Nearest: {near[0]}x{near[1]}."
            )
