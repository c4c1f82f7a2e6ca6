"""open_dpt: Vision Transformers for Dense Prediction (DPT).

Names are imported when they are first touched, so that `import open_dpt` is quick and does not load torch.
"""

from ._lazy import lazy_names
from ._registration import register_when_imported
from ._version import __version__

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "DPTConfig": ".configuration",
        "DPTModel": ".modeling_dpt",
        "DPTForDepthEstimation": ".modeling_dpt",
        "DPTForSemanticSegmentation": ".modeling_dpt",
        "DPTImageProcessor": ".processing",
    },
)
__all__ += ["__version__"]

if __name__ == "open_dpt":  # pytest imports this file under the checkout's name, too: a twin must not register
    register_when_imported()
