"""Loads this checkpoint with the open_dpt package, wherever that is installed."""

try:
    from open_dpt import (
        DPTConfig,
        DPTForDepthEstimation,
        DPTForSemanticSegmentation,
        DPTImageProcessor,
        DPTModel,
    )
except ImportError as error:
    raise ImportError(
        f"This checkpoint needs the open-dpt package ({error}). Install it: pip install open-dpt"
    ) from error
