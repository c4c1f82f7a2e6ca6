"""One graph from a uint8 image to its prediction, for other runtimes: ONNX, torch.export and OpenVINO files."""

from ..._lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "ExportError": ".metadata",
        "Exported": ".exporting",
        "FORMATS": ".formats",
        "ImageToPrediction": ".graph",
        "export_model": ".exporting",
    },
)
