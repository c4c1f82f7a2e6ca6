"""How cases, figures and errors are written, in tables and pictures."""

from typing import Any


def case_title(case: dict[str, Any]) -> str:
    """Such as "latency: dpt-base, bfloat16, 384x384, batch 1"."""
    parts = [case["preset"], case["dtype"]]
    if case["height"]:
        parts += [f"{case['height']}x{case['width']}", f"batch {case['batch']}"]
    if case.get("sizes"):
        parts.append(f"{len(case['sizes'])} sizes")
    if case.get("photos"):
        parts.append(f"{case['photos']} photos")
    return f"{case['suite']}: {', '.join(parts)}"


def reason_of(error: Exception) -> str:
    """One line; of a process that failed, its last."""
    said = (getattr(error, "stderr", None) or "").strip().splitlines()
    return said[-1][:200] if said else f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def short(milliseconds: float) -> str:
    """Three digits or so."""
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.0f}"
