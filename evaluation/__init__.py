"""Scores of models, under published protocols or while they train.

    rules as data       protocol, protocol_checks, protocols/*.yaml
    a run               evaluator; images (read, crop), adapters/ (who answers), team (processes), row_files (progress)
    one image           score_depth, score_ordinal, score_segmentation -> scored; by crops, aligning, background
    totals and files    aggregate (from rows to totals), results, result_files, unit_check, pictures
    tables              metric_table (labels, units), paper_tables; comparison, bootstrap, common_images
    plain metrics       depth_, segmentation_, ordinal_, boundary_metrics on streaming sums; hub_metrics/
    while training      validation (our loop, and Trainer), zero_shot, held_out

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
