"""Configuration of DPT models: `DPTConfig` and the named presets.

Presets are plain data and importable without transformers; `DPTConfig` is imported when first touched.
"""

from .presets import PRESETS

__all__ = ["PRESETS", "DPTConfig"]


def __getattr__(name: str):
    if name != "DPTConfig":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .configuration_dpt import DPTConfig

    return DPTConfig
