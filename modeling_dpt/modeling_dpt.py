"""`DPTPreTrainedModel`, what all models share, and `DPTModel`, the encoder.

Legend: B batch, H W pixels, h w token grid, L = prefix + h*w tokens, D width, C channels.
"""

import math
from collections.abc import Iterator

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel

from ..configuration.configuration_dpt import DPTConfig
from .backbones.adapter import has_attention, make_backbone, run_backbone
from .backbones.hybrid import HybridEmbeddings
from .backbones.vit import TokenEmbeddings, ViTEmbeddings, ViTEncoder
from .conversion.mixin import CheckpointMixin
from .inference import InferenceMixin
from .int8 import Int8Mixin
from .modeling_outputs import DPTModelOutput


class DPTPreTrainedModel(CheckpointMixin, Int8Mixin, InferenceMixin, PreTrainedModel):
    """Loading, saving, initialisation and input checks of all DPT models."""

    config_class = DPTConfig
    base_model_prefix = "dpt"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ("ViTLayer", "ViTEmbeddings", "HybridEmbeddings")

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Called for modules that own parameters. Some say themselves how they start: init_std, init_bias.
        # transformers' init functions leave loaded parameters alone.
        std = self.config.initializer_range
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            default = std if isinstance(module, nn.Linear) else _fan_in(module) ** -0.5
            init.trunc_normal_(module.weight, std=getattr(module, "init_std", default))
            if module.bias is not None:
                init.constant_(module.bias, getattr(module, "init_bias", 0.0))
        else:
            super()._init_weights(module)
        if isinstance(module, TokenEmbeddings):
            for name in ("cls_token", "distillation_token"):
                if hasattr(module, name):
                    init.trunc_normal_(getattr(module, name), std=std)
            # Small random positions drown in the tokens of a convolutional stem when it trains from scratch.
            init.copy_(module.position_embeddings, module.sine_positions())

    def set_attn_implementation(self, attn_implementation: str | dict[str, str], *args, **kwargs) -> None:
        """As in transformers, but one name for all does not reach a stem or encoder of convolutions."""
        encoder = self.config.backbone_config
        if isinstance(attn_implementation, str) and encoder is not None and not has_attention(encoder):
            attn_implementation = {"": attn_implementation}
        super().set_attn_implementation(attn_implementation, *args, **kwargs)

    def train(self, mode: bool = True):
        """As in torch; parameters that no output depends on are also marked as needing no gradient.

        Checkpoints carry some (the first residual unit of the deepest fusion level, the encoder's final layer norm),
        and DistributedDataParallel refuses parameters without gradients. Loading resets the mark, so it is set here,
        which from_pretrained and every training loop call.
        """
        for parameter in self._unused_parameters():
            parameter.requires_grad_(False)
        return super().train(mode)

    def _unused_parameters(self) -> Iterator[nn.Parameter]:
        return iter(())

    def _check_pixel_values(self, pixel_values: torch.Tensor) -> tuple[int, int]:
        """Size (H, W) of a batch the model can process.

        Raises:
            TypeError, ValueError: it cannot; the message names what is required and what was given.
        """
        channels, divisor = self.config.num_channels, self.config.size_divisor
        if not isinstance(pixel_values, torch.Tensor):
            raise TypeError(
                f"pixel_values: must be a tensor (batch, {channels}, height, width), got "
                f"{type(pixel_values).__name__}. DPTImageProcessor makes one from images."
            )
        if pixel_values.ndim != 4 or pixel_values.shape[1] != channels:
            raise ValueError(
                f"pixel_values: must have shape (batch, {channels}, height, width), got {tuple(pixel_values.shape)}. "
                "DPTImageProcessor makes such batches."
            )
        if not pixel_values.shape[0]:  # attention of transformers cannot tell its shapes from nothing
            raise ValueError("pixel_values: must hold at least one image, got a batch of 0. Leave empty batches out.")
        if not pixel_values.is_floating_point():
            raise TypeError(
                f"pixel_values: must be floating point and normalised, got {pixel_values.dtype}. "
                "DPTImageProcessor converts images."
            )
        height, width = pixel_values.shape[-2:]
        if height % divisor or width % divisor or not height or not width:
            nearest = [max(divisor, round(side / divisor) * divisor) for side in (height, width)]
            raise ValueError(
                f"pixel_values: height and width must be multiples of {divisor}, got {height} x {width}. "
                f"Resize to {nearest[0]} x {nearest[1]}, or let DPTImageProcessor do it."
            )
        return height, width


class DPTModel(DPTPreTrainedModel):
    """The encoder alone: tokens or feature maps of an image."""

    def __init__(self, config: DPTConfig):
        super().__init__(config)
        if config.uses_auto_backbone:
            self.backbone = make_backbone(config)
        else:
            self.embeddings = HybridEmbeddings(config) if config.is_hybrid else ViTEmbeddings(config)
            self.encoder = ViTEncoder(config)
            self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.backbone if self.config.uses_auto_backbone else self.embeddings

    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        taps_only: bool = False,
    ) -> DPTModelOutput | tuple:
        """Encode images.

        Args:
            pixel_values: (B, 3, H, W), normalised; H and W multiples of `config.size_divisor`.
            output_hidden_states: also return embeddings and every block's output.
            output_attentions: also return attention probabilities. They exist in eager attention only, so such a call
                computes eagerly whatever implementation is configured.
            taps_only: stop after the last tap and skip the final layer norm.

        Raises:
            TypeError, ValueError: pixel_values cannot be processed.
        """
        self._check_pixel_values(pixel_values)
        config = self.config
        output_hidden_states = config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output_attentions = config.output_attentions if output_attentions is None else output_attentions
        return_dict = config.return_dict if return_dict is None else return_dict
        if config.uses_auto_backbone:
            output = run_backbone(self.backbone, pixel_values, output_hidden_states, output_attentions)
        else:
            output = self._encode(pixel_values, output_hidden_states, output_attentions, taps_only)
        return output if return_dict else output.to_tuple()

    def _encode(
        self, pixel_values: torch.Tensor, output_hidden_states: bool, output_attentions: bool, taps_only: bool
    ) -> DPTModelOutput:
        config = self.config
        blocks = config.backbone_out_indices[2 if config.is_hybrid else 0 :]
        needed = blocks[-1] + 1 if taps_only and not output_hidden_states else config.num_hidden_layers
        embeddings, maps = self.embeddings(pixel_values)
        outputs, attentions = self.encoder(embeddings, needed, output_attentions)
        taps = [outputs[block] for block in blocks]
        if config.normalize_taps:
            taps = [self.layernorm(tap) for tap in taps]
        return DPTModelOutput(
            last_hidden_state=None if taps_only else self.layernorm(outputs[-1]),
            taps=(*maps, *taps),
            hidden_states=(embeddings, *outputs) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )


def _fan_in(module: nn.Conv2d | nn.ConvTranspose2d) -> int:
    """Inputs to one output. With variance 1 / fan-in and ReLUs inside residual units the decoder keeps its scale."""
    channels = module.in_channels // module.groups
    # Of a transposed convolution whose kernel is its stride every output pixel sees one input pixel.
    return channels if isinstance(module, nn.ConvTranspose2d) else channels * math.prod(module.kernel_size)
