"""DPT models: encoder, depth estimation and semantic segmentation."""

from transformers import AutoModel, AutoModelForDepthEstimation, AutoModelForSemanticSegmentation

from ..configuration.configuration_dpt import DPTConfig
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

# Idempotent: importing the package twice under two names must not fail.
AutoModel.register(DPTConfig, DPTModel, exist_ok=True)
AutoModelForDepthEstimation.register(DPTConfig, DPTForDepthEstimation, exist_ok=True)
AutoModelForSemanticSegmentation.register(DPTConfig, DPTForSemanticSegmentation, exist_ok=True)
