"""`open-dpt bench`: how fast is this, beside its peers, other ways to run the same weights?"""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from ..processing.benchmark.suites import PEERS, STANDARD, SUITES, WAYS, uses
from ..processing.dtype_names import DTYPES
from .messages import RequestError
from .options import positive, size

SUMMARY = "speed and memory beside other ways to run the same weights"
_WIDTH = max(map(len, PEERS))
DESCRIPTION = f"""Measure speed and memory, beside other ways to run the same network with the same weights.

Candidates are ours and its peers. Outputs are compared before anything is timed, and one that differs is reported
instead. Then all take turns: same input, dtype and threads, waiting for the device, medians with quartiles.

{chr(10).join(f"  {name:{_WIDTH}}  {suite.summary}" for name, suite in SUITES.items())}

Peers, each left out with a word where it is not installed:
{chr(10).join(f"  {name:{_WIDTH}}  {peer.summary} ({', '.join(peer.suites)})" for name, peer in PEERS.items())}

Without a suite: a selection of all that takes about 14 minutes on two cores.

  open-dpt bench latency --preset dpt-base --dtype bfloat16 --size 384x384 --peers transformers"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(SUITES)} (default: a selection)")
    parser.add_argument("--preset", type=_names, metavar="P,P...", help="sizes of the network, such as dpt-base")
    parser.add_argument("--size", type=_sizes, metavar="HxW,...", help="of the network's input")
    parser.add_argument("--dtype", type=_names, metavar="D,D...", help=f"{', '.join(DTYPES)}, fp32, bf16, fp16, auto")
    parser.add_argument("--batch-size", type=_numbers, metavar="N,N...", help="images that run together")
    parser.add_argument(
        "--peers", type=_names, metavar="P,P...", help="or none (default: all of the suite, but those that compile)"
    )
    parser.add_argument(
        "--ways",
        type=_names,
        metavar="W,W...",
        help="how our network runs: " + "; ".join(f"{name}: {meaning}" for name, meaning in WAYS.items()),
    )
    parser.add_argument("--photos", type=positive, metavar="N", help="of the folder")
    parser.add_argument(
        "--rounds", type=positive, metavar="N", help="turns of each, at most (default: 7 on a CPU, else 100)"
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="no new turn after so long, but at least 3 (default: 60 a case)"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="default: as torch has it")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--output", type=Path, metavar="DIR", help="also write bench.json, bench.md and bench.png")


def run(arguments: argparse.Namespace) -> int:
    if arguments.output is not None and arguments.output.is_file():
        raise RequestError(f"{arguments.output}: is a file, --output must be a folder.")

    from ..processing.benchmark.suites import options_for

    given = _given(arguments)
    chosen = [(name, {}) for name in arguments.suites] or STANDARD
    plan = [(name, own | given) for name, own in chosen]
    for name, options in plan:  # a mistake must not show after minutes
        options_for(name, **options)
    _refuse_unused(given, arguments.suites)
    if arguments.output is not None:
        arguments.output.mkdir(parents=True, exist_ok=True)

    import torch

    from ..processing.benchmark.machine import describe_machine
    from ..processing.benchmark.report import case_table, duration, machine_line, summary, write_report
    from .models import quiet_libraries, resolve_device

    quiet_libraries()
    device = resolve_device(arguments.device)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    libraries = tuple(name for peer in PEERS.values() for name in peer.distributions)
    machine = describe_machine(device, libraries)
    print(machine_line(machine))
    cases: list[dict[str, Any]] = []
    written: list[str] = []
    begin, status = time.perf_counter(), 0
    try:
        for case in _measured(plan, device):
            cases.append(case)
            print("\n" + "\n".join(case_table(case)), flush=True)
            if arguments.output is not None:  # what is done is not lost when the next case is stopped
                written = write_report(arguments.output, machine, cases)
    except KeyboardInterrupt:
        print("open-dpt bench: interrupted; what was measured before is kept", file=sys.stderr)
        status = 130
    print("\n" + "\n".join([*summary(cases), "", f"{len(cases)} cases, {duration(time.perf_counter() - begin)}"]))
    if written:
        print(f"{arguments.output}: wrote {', '.join(written)}", file=sys.stderr)
        if "bench.png" not in written:
            print("bench.png: not drawn, it needs `pip install 'open-dpt[evaluate]'`.", file=sys.stderr)
    return status


def _measured(plan: list[tuple[str, dict[str, Any]]], device: str) -> Iterator[dict[str, Any]]:
    """Cases with the seconds they took; tells before each how far it is."""
    from ..processing.benchmark.report import duration
    from ..processing.benchmark.suites import list_cases, options_for, run_suite

    counts = [len(list_cases(name, options_for(name, **options))) for name, options in plan]
    start, done = time.perf_counter(), 0
    for (name, options), count in zip(plan, counts, strict=True):
        with closing(run_suite(name, **options | {"device": device})) as cases:
            for _ in range(count):
                begin = time.perf_counter()
                passed = duration(begin - start)
                print(f"[{done + 1} of {sum(counts)}, {name}; {passed} so far]", file=sys.stderr, flush=True)
                case = next(cases)
                done += 1
                yield case | {"seconds": time.perf_counter() - begin}


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, as fields of `Options`."""
    fields = {
        "presets": arguments.preset,
        "sizes": arguments.size,
        "dtypes": arguments.dtype,
        "batch_sizes": arguments.batch_size,
        "peers": arguments.peers,
        "ways": arguments.ways,
        "photos": arguments.photos,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
    }
    if fields["peers"] == ("none",):
        fields["peers"] = ()
    return {key: value for key, value in fields.items() if value is not None}


def _refuse_unused(given: dict[str, Any], chosen: list[str]) -> None:
    """Raises RequestError for an option that none of the suites named has a use for."""
    for field in given:
        takers = [name for name in SUITES if uses(name, field)]
        if chosen and not set(chosen) & set(takers):
            option = {"sizes": "size", "batch_sizes": "batch-size", "dtypes": "dtype"}.get(field, field)
            others = ", ".join(takers)
            raise RequestError(f"--{option}: has no part in {', '.join(chosen)}. Leave it out, or choose {others}.")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(size(part) for part in _names(text))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in _names(text))
