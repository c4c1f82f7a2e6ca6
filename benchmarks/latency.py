"""Latency of one image through presets with random weights: a first figure, not yet a comparison with others.

python benchmarks/latency.py [PRESET ...]
"""

import platform
import statistics
import sys
import time

import torch

from open_dpt import DPTConfig, DPTForDepthEstimation

_WARM_UP, _RUNS = 2, 7


def main(presets: list[str]) -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, float32, batch 1")
    print(f"{'preset':<12} {'input':>9} {'median ms':>10} {'fastest':>8} {'slowest':>8}")
    for preset in presets:
        model = DPTForDepthEstimation(DPTConfig.from_preset(preset)).eval()
        side = model.config.image_size
        times = sorted(_milliseconds(model, torch.rand(1, 3, side, side)))
        median = statistics.median(times)
        print(f"{preset:<12} {side:>4}x{side:<4} {median:>10.1f} {times[0]:>8.1f} {times[-1]:>8.1f}", flush=True)


@torch.inference_mode()
def _milliseconds(model: torch.nn.Module, pixels: torch.Tensor) -> list[float]:
    times = []
    for _ in range(_WARM_UP + _RUNS):
        start = time.perf_counter()
        model(pixels)
        times.append(1e3 * (time.perf_counter() - start))
    return times[_WARM_UP:]


if __name__ == "__main__":
    main(sys.argv[1:] or ["dpt-tiny", "dpt-base"])
