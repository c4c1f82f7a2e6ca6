"""What the models return.

Legend: B batch, H W pixels of the input, K classes, h w token grid, L = prefix + h*w tokens, D width, C channels.
"""

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class DPTModelOutput(ModelOutput):
    """Output of `DPTModel`, the encoder.

    Attributes:
        last_hidden_state: Tokens after the final layer norm, (B, L, D). None for encoders made of feature maps and
            where only the taps were asked for.
        taps: What the decoder reads, one tensor a level, finest first: tokens (B, L, D) or maps (B, C, h, w).
        hidden_states: Embeddings and the output of every block, where asked for.
        attentions: Attention probabilities of every block, (B, heads, L, L), where asked for.
    """

    last_hidden_state: torch.FloatTensor | None = None
    taps: tuple[torch.FloatTensor, ...] | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class DPTDepthEstimatorOutput(ModelOutput):
    """Output of `DPTForDepthEstimation`.

    Attributes:
        loss: Scalar, where labels were given.
        predicted_depth: (B, H, W), as large as the input. Disparity up to scale and shift (larger is nearer) where
            `config.depth_estimation_type` is "relative"; metres where it is "metric".
        hidden_states, attentions: Of the encoder, where asked for.
    """

    loss: torch.FloatTensor | None = None
    predicted_depth: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class DPTSemanticSegmenterOutput(ModelOutput):
    """Output of `DPTForSemanticSegmentation`.

    Attributes:
        loss: Scalar, where labels were given.
        logits: (B, K, H, W), as large as the input.
        auxiliary_logits: (B, K, H, W) of the auxiliary head, where it ran: with labels, or where asked for.
        hidden_states, attentions: Of the encoder, where asked for.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    auxiliary_logits: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None
