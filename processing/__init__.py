"""From images to network inputs, and from network outputs to predictions, pictures and files.

Names are imported when they are first touched: the processor needs transformers, the rest does not.
"""

from importlib import import_module

_HOME = {
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
    "predict_depth": ".predictor",
    "predict_segmentation": ".predictor",
    "palette": ".colormaps",
}

__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name], __name__), name)
    return value
