"""From images to network inputs, and from network outputs to predictions, pictures and files.

Names are imported when they are first touched: the processor needs transformers, the rest does not.
"""

from .._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "DPTCollator": ".collator",
        "DPTImageProcessor": ".image_processing_dpt",
        "OpenDPTImageProcessor": ".image_processing_dpt",
        "ImageError": ".image_io",
        "load_image": ".image_io",
        "load_label_map": ".image_io",
        "load_depth_map": ".image_io",
        "Geometry": ".geometry",
        "crop_sample": ".geometry",
        "flip_sample": ".geometry",
        "DepthPrediction": ".post_processing",
        "SegmentationPrediction": ".post_processing",
        "FailedImage": ".predictor",
        "MultiScale": ".multi_scale",
        "predict_depth": ".predictor",
        "predict_segmentation": ".predictor",
        "palette": ".colormaps",
    },
)
