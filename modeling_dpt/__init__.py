"""DPT models: encoder, depth estimation and semantic segmentation."""

from .depth_estimation import DPTForDepthEstimation
from .modeling_dpt import DPTModel, DPTPreTrainedModel
from .modeling_outputs import DPTDepthEstimatorOutput, DPTModelOutput, DPTSemanticSegmenterOutput
from .semantic_segmentation import DPTForSemanticSegmentation

__all__ = [
    "DPTDepthEstimatorOutput",
    "DPTForDepthEstimation",
    "DPTForSemanticSegmentation",
    "DPTModel",
    "DPTModelOutput",
    "DPTPreTrainedModel",
    "DPTSemanticSegmenterOutput",
]
