"""Configuration of DPT models: `DPTConfig` and the named presets.

Presets are plain data and importable without transformers; `DPTConfig` is imported when first touched.
"""

from .._lazy import lazy_names
from .presets import PRESETS

__getattr__, _, _lazy = lazy_names(__name__, {"DPTConfig": ".configuration_dpt"})
__all__ = ["PRESETS", *_lazy]
