"""What depth estimation and segmentation share: encoder, neck and the checks of their targets."""

from collections.abc import Iterator

import torch
from torch import nn

from .backbones.adapter import unused_parameters
from .modeling_dpt import DPTModel, DPTPreTrainedModel
from .modeling_outputs import DPTModelOutput
from .neck import Neck


class DPTDensePredictor(DPTPreTrainedModel):
    """Encoder and neck; subclasses add a head and call post_init."""

    def __init__(self, config):
        super().__init__(config)
        self.dpt = DPTModel(config)
        self.neck = Neck(config)

    def _encode_and_fuse(
        self, pixel_values: torch.Tensor, output_hidden_states: bool | None, output_attentions: bool | None
    ) -> tuple[list[torch.Tensor], DPTModelOutput]:
        encoded = self.dpt(
            pixel_values,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
            taps_only=True,
        )
        height, width = pixel_values.shape[-2:]
        divisor = self.config.size_divisor
        return self.neck(encoded.taps, (height // divisor, width // divisor)), encoded

    def _unused_parameters(self) -> Iterator[nn.Parameter]:
        yield from self.neck.fusion_stage.layers[0].residual_layer1.parameters()
        if self.config.uses_auto_backbone:
            yield from unused_parameters(self.dpt.backbone)
            return
        yield from self.dpt.encoder.layer[self.config.backbone_out_indices[-1] + 1 :].parameters()
        if not self.config.normalize_taps:
            yield from self.dpt.layernorm.parameters()

    def _check_target_size(self, name: str, target: torch.Tensor | None, pixel_values: torch.Tensor) -> None:
        if target is None:
            return
        if not isinstance(target, torch.Tensor):
            raise TypeError(f"{name}: must be a tensor (batch, height, width), got {type(target).__name__}.")
        expected = (pixel_values.shape[0], *pixel_values.shape[-2:])
        if tuple(target.shape) != expected:
            raise ValueError(
                f"{name}: must be as large as pixel_values, {expected}, got {tuple(target.shape)}. "
                "Let DPTImageProcessor resize images and targets together."
            )

    def _returned(self, output, return_dict: bool | None):
        return_dict = self.config.return_dict if return_dict is None else return_dict
        return output if return_dict else output.to_tuple()
