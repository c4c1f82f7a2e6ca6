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
        device: Of torch; an accelerator is named.
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
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "system": platform.system(),
        "python": platform.python_version(),
        "open_dpt": __version__,
        **{name: _version(name) for name in (*_LIBRARIES, *libraries) if _version(name)},
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "git": git_revision(),
    }


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


def matrix_product(dtype: torch.dtype, device: str) -> tuple[Callable[[int], Any], float]:
    """A product of two square matrices, large enough that nothing else counts, and its arithmetic in FLOP.

    Its speed, measured in turns with models, is the ceiling that they can be compared with.
    """
    size = 512
    while True:
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        torch.mm(left, right)
        await_device(device)
        start = time.perf_counter()
        torch.mm(left, right)
        await_device(device)
        if time.perf_counter() - start > 0.02 or size >= 8192:
            return partial(_multiply, left, right), 2.0 * size**3
        size *= 2


def _multiply(left: torch.Tensor, right: torch.Tensor, _: int) -> torch.Tensor:
    return torch.mm(left, right)


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
