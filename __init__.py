"""open_dpt: Vision Transformers for Dense Prediction (DPT).

Names are imported when they are first touched, so that `import open_dpt` is quick and does not load torch.
"""

from importlib import import_module

from ._registration import register_when_imported
from ._version import __version__

_HOME = {
    "DPTConfig": ".configuration",
    "DPTModel": ".modeling_dpt",
    "DPTForDepthEstimation": ".modeling_dpt",
    "DPTForSemanticSegmentation": ".modeling_dpt",
    "DPTImageProcessor": ".processing",
}

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if __name__ == "open_dpt":  # pytest imports this file under the checkout's name, too: a twin must not register
    register_when_imported()
