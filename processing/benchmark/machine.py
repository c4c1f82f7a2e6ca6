"""What figures depend on, and the most that the machine can do."""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..._version import __version__
from .timing import await_device

# Instruction sets that decide how fast products of matrices are.
_ISA = (
    *("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_bf16", "amx_int8", "amx_fp16", "asimddp", "sve", "bf16", "i8mm"),
)
_LIBRARIES = ("torch", "transformers", "numpy", "pillow", "accelerate")


def describe_machine(device: str = "cpu", libraries: tuple[str, ...] = ()) -> dict[str, Any]:
    """Processor, threads, instruction sets, load by others, versions, date and git revision, as JSON data.

    Args:
        device: Of torch; of CUDA its name, memory, compute capability, driver and libraries are told, too.
        libraries: Distributions to name the versions of, besides our own and those that we stand on.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    values = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(values.get("flags", values.get("features", "")).split())
    return {
        "cpu": values.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "isa": [flag for flag in _ISA if flag in flags],
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": _memory_gb(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "device": device,
        **(_cuda(device) if device.startswith("cuda") else {}),
        "system": platform.system(),
        "python": platform.python_version(),
        "open_dpt": __version__,
        **{name: _version(name) for name in (*_LIBRARIES, *libraries) if _version(name)},
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "git": git_revision(),
    }


def _cuda(device: str) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "device_memory_gb": round(properties.total_memory / 2**30, 1),
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda or torch.version.hip,  # the latter of AMD's cards, which torch calls cuda, too
        "cudnn": torch.backends.cudnn.version(),
        "driver": _driver(properties),
    }


def _driver(properties: Any) -> str | None:
    """As its own tool says; None without it."""
    command = ["nvidia-smi", f"--id=GPU-{properties.uuid}", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, AttributeError, subprocess.SubprocessError):
        return None


def git_revision() -> str | None:
    """Commit of the checkout that this package lies in, "+ changes" where files differ; None elsewhere."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + (" + changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def ceilings(dtype: torch.dtype, device: str) -> dict[str, tuple[Callable[[int], Any], float]]:
    """Operations that reach the most a machine can do, and their arithmetic in FLOP.

    The speed of the fastest, measured in turns with models, is the ceiling that they can be compared with. Which one
    that is hangs on the libraries behind torch: on AMD processors convolutions outrun products by a quarter.
    """
    return {"square product": _square_product(dtype, device), "3x3 convolution": _convolution(dtype, device)}


def _square_product(dtype: torch.dtype, device: str) -> tuple[Callable[[int], Any], float]:
    """Large enough that nothing else counts."""
    size = 512
    while True:
        multiply = partial(_multiply, *(torch.randn(size, size, device=device).to(dtype) for _ in range(2)))
        multiply()
        await_device(device)
        start = time.perf_counter()
        multiply()
        await_device(device)
        if time.perf_counter() - start > 0.02 or size >= 8192:
            return multiply, 2.0 * size**3
        size *= 2


def _multiply(left: torch.Tensor, right: torch.Tensor, _: int = 0) -> torch.Tensor:
    return torch.mm(left, right)


def _convolution(dtype: torch.dtype, device: str, channels: int = 256, side: int = 96) -> tuple[Callable, float]:
    """As DPT has most of them, channels-last."""
    shapes = (1, channels, side, side), (channels, channels, 3, 3)
    maps, weight = (
        torch.randn(shape, device=device).to(dtype).to(memory_format=torch.channels_last) for shape in shapes
    )
    return lambda _: torch.conv2d(maps, weight, padding=1), 2.0 * 9 * channels**2 * side**2


def _git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
