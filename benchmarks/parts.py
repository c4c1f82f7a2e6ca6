"""Where the time of a prediction goes: the parts of a prepared depth model, their time, share and arithmetic.

    python benchmarks/parts.py --preset dpt-base --dtype bfloat16

Time is that of each part without the parts inside it, by the clock, the smallest of the rounds: what else runs on the
machine only adds. Arithmetic is that of the definition, so a part that gets along with less shows a higher rate. On a
CPU only, where a call ends when its work is done.
"""

import os

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages, as the command line asks for them

import argparse
import math
import time
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn

from open_dpt import DPTConfig, DPTForDepthEstimation
from open_dpt.modeling_dpt.backbones.vit import ViTEncoder, ViTSelfAttention
from open_dpt.modeling_dpt.heads import DepthHead
from open_dpt.modeling_dpt.neck import Neck
from open_dpt.modeling_dpt.reassemble import ReassembleStage


class Clock:
    """Seconds and operations of parts that may lie inside one another."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self.operations: dict[str, float] = defaultdict(float)
        self.inside = [0.0]  # seconds of the parts inside each part that runs

    def watch(self, module: nn.Module, part: str) -> None:
        """Let the module's own time count for a part. Hooks would send some layers another way."""
        forward = module.forward

        def timed(*arguments: Any, **named: Any) -> Any:
            self.inside.append(0.0)
            start = time.perf_counter()
            result = forward(*arguments, **named)
            took = time.perf_counter() - start
            self.seconds[part] += took - self.inside.pop()
            self.inside[-1] += took
            self.operations[part] += _operations(module, arguments, result)
            return result

        module.forward = timed


def _operations(module: nn.Module, arguments: tuple, result: Any) -> float:
    if isinstance(module, nn.Linear):
        return 2.0 * result.numel() * module.in_features
    if isinstance(module, nn.Conv2d):
        return 2.0 * result.numel() * module.weight[0].numel()
    if isinstance(module, ViTSelfAttention):
        batch, length, width = arguments[0].shape
        return 4.0 * batch * length**2 * width
    return 0.0


def _part(name: str, module: nn.Module) -> str | None:
    if isinstance(module, ViTSelfAttention):
        return "attention: scores, softmax, sums"
    if isinstance(module, nn.Linear) and ".encoder." in name:
        return "linear layers of the encoder"
    if isinstance(module, ViTEncoder):
        return "norms and sums of the encoder"
    if isinstance(module, nn.Conv2d) and name.startswith("neck.") and "reassemble" not in name:
        return "3x3 convolutions of the neck" if module.kernel_size == (3, 3) else "1x1 convolutions of the neck"
    if isinstance(module, ReassembleStage):
        return "reassemble, with the readout"
    if isinstance(module, Neck):
        return "upsampling, ReLU and sums of the neck"
    if isinstance(module, DepthHead):
        return "head, at full resolution"
    return None


def measure(preset: str, size: tuple[int, int], dtype: torch.dtype, rounds: int) -> list[tuple[str, float, float]]:
    """(part, milliseconds, GFLOP) of one prediction."""
    torch.manual_seed(0)
    model = DPTForDepthEstimation(DPTConfig.from_preset(preset)).to(dtype).optimize_for_inference()
    clock = Clock()
    clock.watch(model, "patch embedding, stem and the rest")
    for name, module in model.named_modules():
        if part := _part(name, module):
            clock.watch(module, part)
    pixel_values: Tensor = torch.randn(1, 3, *size).to(dtype)
    least: dict[str, float] = {}
    for number in range(rounds + 1):
        clock.seconds.clear()
        clock.operations.clear()
        with torch.inference_mode():
            model(pixel_values)
        if number:  # the first packs weights
            least = {part: min(took, least.get(part, math.inf)) for part, took in clock.seconds.items()}
    return [(part, 1e3 * took, clock.operations[part] / 1e9) for part, took in least.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="dpt-base")
    parser.add_argument("--size", default="384x384", help="height x width (default: %(default)s)")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    height, width = (int(side) for side in arguments.size.split("x"))
    found = measure(arguments.preset, (height, width), getattr(torch, arguments.dtype), arguments.rounds)
    total = sum(took for _, took, _ in found)
    print("| part | ms | share | GFLOP | GFLOP/s |\n|---|---|---|---|---|")
    for part, took, gflop in sorted(found, key=lambda row: -row[1]):
        counted = f"{gflop:.0f} | {1e3 * gflop / took:.0f}" if gflop else " | "
        print(f"| {part} | {took:.0f} | {100 * took / total:.0f} % | {counted} |")
    print(f"| all | {total:.0f} | | | |")


if __name__ == "__main__":
    main()
