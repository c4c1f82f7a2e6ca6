"""How cases and figures are written, in tables and pictures."""

from typing import Any


def case_title(case: dict[str, Any]) -> str:
    """Such as "latency: dpt-base, bfloat16, 384x384, batch 1"."""
    parts = [case["preset"], case["dtype"]]
    if case["height"]:
        parts += [f"{case['height']}x{case['width']}", f"batch {case['batch']}"]
    if case.get("photos"):
        parts.append(f"{case['photos']} photos")
    return f"{case['suite']}: {', '.join(parts)}"


def short(milliseconds: float) -> str:
    """Three digits or so."""
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:.0f}"
