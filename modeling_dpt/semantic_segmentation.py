"""`DPTForSemanticSegmentation`. Legend: B batch, H W pixels of the input, K classes."""

import torch

from .heads import SegmentationHead
from .losses import segmentation_loss
from .modeling_outputs import DPTSemanticSegmenterOutput
from .modeling_tasks import DPTDensePredictor


class DPTForSemanticSegmentation(DPTDensePredictor):
    """A class for every pixel (arXiv:2103.13413, section 4.2)."""

    def __init__(self, config):
        super().__init__(config)
        self.head = SegmentationHead(config, config.head_in_index)
        self.auxiliary_head = (
            SegmentationHead(config, config.auxiliary_head_tap, align_corners=False)
            if config.use_auxiliary_head
            else None
        )
        self.post_init()

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        output_auxiliary_logits: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> DPTSemanticSegmenterOutput | tuple:
        """Class logits; with labels also the loss.

        Args:
            pixel_values: (B, 3, H, W), normalised; H and W multiples of `config.size_divisor`.
            labels: (B, H, W), integer: 0 to K-1, or `config.semantic_loss_ignore_index`. The loss is cross-entropy,
                plus `config.auxiliary_loss_weight` times that of the auxiliary head, where there is one.
            output_auxiliary_logits: run the auxiliary head without labels too.
            output_hidden_states, output_attentions: return the encoder's; attention is then computed eagerly.
            return_dict: False returns a tuple without the empty fields.

        Raises:
            TypeError, ValueError: an input has a shape, type or value that cannot be processed.
        """
        size = self._check_pixel_values(pixel_values)
        self._check_target_size("labels", labels, pixel_values)
        if output_auxiliary_logits and self.auxiliary_head is None:
            raise ValueError(
                "output_auxiliary_logits: needs an auxiliary head, got use_auxiliary_head=False. "
                "Load the model with use_auxiliary_head=True."
            )
        fused, encoded = self._encode_and_fuse(pixel_values, output_hidden_states, output_attentions)
        logits = self.head(fused[self.config.head_in_index], size)
        auxiliary_logits = loss = None
        if self.auxiliary_head is not None and (output_auxiliary_logits or labels is not None):
            auxiliary_logits = self.auxiliary_head(fused[self.config.auxiliary_head_tap], size)
        if labels is not None:
            loss = segmentation_loss(
                logits,
                labels,
                auxiliary_logits,
                auxiliary_weight=self.config.auxiliary_loss_weight,
                ignore_index=self.config.semantic_loss_ignore_index,
            )
        output = DPTSemanticSegmenterOutput(
            loss=loss,
            logits=logits,
            auxiliary_logits=auxiliary_logits,
            hidden_states=encoded.hidden_states,
            attentions=encoded.attentions,
        )
        return self._returned(output, return_dict)
