"""Scores of models, under published protocols or while they train.

Names are imported when they are first touched: listing protocols must not cost the loading of torch.
"""

from .._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "DepthMetrics": ".depth_metrics",
        "Protocol": ".protocol",
        "Result": ".results",
        "SegmentationMetrics": ".segmentation_metrics",
        "depth_compute_metrics": ".validation",
        "evaluate": ".evaluator",
        "load_adapter": ".adapters.loading",
        "load_protocol": ".protocol",
        "preprocess_logits_for_metrics": ".validation",
        "protocol_names": ".protocol",
        "segmentation_compute_metrics": ".validation",
        "validate_depth": ".validation",
        "validate_segmentation": ".validation",
    },
)
