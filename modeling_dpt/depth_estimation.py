"""`DPTForDepthEstimation`. Legend: B batch, H W pixels of the input."""

import torch

from ..configuration.validation import validate
from .heads import DepthHead
from .losses import build_depth_loss
from .modeling_outputs import DPTDepthEstimatorOutput
from .modeling_tasks import DPTDensePredictor


class DPTForDepthEstimation(DPTDensePredictor):
    """Depth from one image: disparity up to scale and shift, or metres (`config.depth_estimation_type`)."""

    def __init__(self, config):
        super().__init__(config)
        self.head = DepthHead(config)
        self.criterion = build_depth_loss(config)
        self.post_init()

    def configuration_changed(self) -> None:
        """Let head and loss follow `config` after its depth keys (unit, range, loss) were changed."""
        validate(self.config)
        self.head.read_unit(self.config)
        self.criterion = build_depth_loss(self.config)

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        valid_mask: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> DPTDepthEstimatorOutput | tuple:
        """Predict depth; with labels also the loss.

        Args:
            pixel_values: (B, 3, H, W), normalised; H and W multiples of `config.size_divisor`.
            labels: (B, H, W). Disparity, any unit, for relative models; metres for metric ones. The loss is
                `config.depth_loss`.
            valid_mask: (B, H, W), True where labels are usable. Default: labels finite and above 0.
            output_hidden_states, output_attentions: return the encoder's; attention is then computed eagerly.
            return_dict: False returns a tuple without the empty fields.

        Raises:
            TypeError, ValueError: an input has a shape or type that cannot be processed.
        """
        size = self._check_pixel_values(pixel_values)
        self._check_targets(labels, valid_mask, pixel_values)
        fused, encoded = self._encode_and_fuse(pixel_values, output_hidden_states, output_attentions)
        predicted_depth = self.head(fused[self.config.head_in_index], size)
        output = DPTDepthEstimatorOutput(
            loss=None if labels is None else self._loss(predicted_depth, labels, valid_mask),
            predicted_depth=predicted_depth,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return self._returned(output, return_dict)

    def _loss(self, prediction: torch.Tensor, labels: torch.Tensor, valid_mask: torch.Tensor | None) -> torch.Tensor:
        valid = labels.isfinite() & (labels > 0) if valid_mask is None else valid_mask.bool()
        # Not 0 * nan: whatever stands where nothing is known must not reach the gradient.
        target = labels.masked_fill(~valid, 0).to(prediction.device)
        return self.criterion(prediction, target, valid)

    def _check_targets(
        self, labels: torch.Tensor | None, valid_mask: torch.Tensor | None, pixel_values: torch.Tensor
    ) -> None:
        self._check_target_size("labels", labels, pixel_values)
        self._check_target_size("valid_mask", valid_mask, pixel_values)
        if valid_mask is not None and labels is None:
            raise ValueError("valid_mask: needs labels, got none. Pass labels too.")
