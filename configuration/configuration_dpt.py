"""`DPTConfig`: everything that is written into a DPT model's `config.json`."""

import copy
from typing import Any

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from .hub_errors import plain_hub_errors
from .presets import PRESETS
from .stock import from_stock, is_stock
from .validation import validate

# The authors' stem: the first three stages of a ResNet-50 with group norm and weight standardisation.
HYBRID_STEM = PRESETS["dpt-hybrid"]["backbone_config"]

# Encoders of AutoBackbone that can hand out tokens with the class token first; from others we take feature maps.
ENCODERS_WITH_READOUT = ("beit", "dinov2", "dinov2_with_registers", "dinov3_vit")


class DPTConfig(PreTrainedConfig):
    """Configuration of `DPTModel`, `DPTForDepthEstimation` and `DPTForSemanticSegmentation`.

    Names and defaults are those of the transformers "dpt" configuration wherever the meaning is the same, so its
    `config.json` files (also "depth_anything") are read directly by `from_pretrained` and `from_dict`.

    Encoder (Ranftl et al., arXiv:2103.13413, section 3.1):
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size, hidden_act, hidden_dropout_prob,
        attention_probs_dropout_prob, initializer_range, layer_norm_eps, num_channels, qkv_bias: the native ViT.
        image_size: side or [height, width] in pixels for which position embeddings are stored.
        patch_size: pixels per token side.
        num_prefix_tokens: 1 = class token, 2 = class and distillation token (DeiT-distilled).
        is_hybrid: tokens come from a convolutional stem given by backbone_config (default: the authors' ResNet-50).
        backbone_config: with is_hybrid False, any encoder of transformers.AutoBackbone instead of the native ViT.
            Its own out_indices or out_features are the taps and backbone_out_indices is None.
        backbone_out_indices: taps, 0-based blocks; of a hybrid the first two are stem stages 0 and 1.
        normalize_taps: apply the encoder's layer norm to every tap. None = the encoder's own habit: no for the native
            ViT and hybrid, as its configuration says for others. False also drops the per-stage norms that
            transformers' Swin adds and the MiDaS models do not have.

    Decoder (sections 3.2, 3.3):
        readout_type: "ignore", "add" or "project".
        reassemble_factors: scale of every level relative to the token grid.
        neck_hidden_sizes: channels of every level. fusion_hidden_size: width of the fusion.
        use_batch_norm_in_fusion_residual, use_bias_in_fusion_residual (None = only without batch norm).
        neck_ignore_stages, backbone_featmap_shape: of hybrids, kept for the stock classes; derived where not given.

    Heads:
        head_in_index: fusion output the head reads, -1 = finest. add_projection: one more 3x3 convolution before it.
        head_hidden_size: width of the last hidden layer of the depth head.
        head_activation: "relu", "none" or "sigmoid" (times max_depth). `non_negative=True/False` is accepted for
            "relu"/"none".
        depth_estimation_type: "relative" (disparity up to scale and shift) or "metric" (metres).
        depth_scale, depth_shift, invert_depth: v = scale * head + shift; the output is v, or 1 / max(v, 1e-8).
        max_depth: metres; what a sigmoid head is multiplied with. With invert_depth the farthest answer: v is clamped
            at 1 / max_depth instead of 1e-8, and passes gradients on below it, so that training can bring it back.
        depth_loss: what `labels=` are compared with, e.g. {"name": "silog", "gradient_weight": 0.5}; names and options
            in `modeling_dpt.losses.DEPTH_LOSSES`. None = trimmed scale-and-shift-invariant loss with gradient matching
            for relative models, SILog for metric ones.
        use_auxiliary_head, auxiliary_loss_weight, auxiliary_head_tap: segmentation; the tap indexes the fusion
            outputs, -2 = penultimate (the paper), -1 = last (the stock class).
        semantic_loss_ignore_index, semantic_classifier_dropout.

    Raises:
        ValueError: a value is impossible; the message names key, value and what is allowed.
    """

    model_type = "open_dpt"
    sub_configs = {"backbone_config": AutoConfig}  # noqa: RUF012 (an annotation would make it a field)

    hidden_size: int | None = 768
    num_hidden_layers: int | None = 12
    num_attention_heads: int | None = 12
    intermediate_size: int | None = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    image_size: int | list[int] = 384
    patch_size: int = 16
    num_channels: int = 3
    num_prefix_tokens: int = 1
    is_hybrid: bool = False
    qkv_bias: bool = True
    backbone_out_indices: list[int] | None = (2, 5, 8, 11)
    backbone_config: dict | PreTrainedConfig | None = None
    normalize_taps: bool | None = None
    readout_type: str = "project"
    reassemble_factors: list[float] = (4, 2, 1, 0.5)
    neck_hidden_sizes: list[int] = (96, 192, 384, 768)
    neck_ignore_stages: list[int] | None = None
    backbone_featmap_shape: list[int] | None = None
    fusion_hidden_size: int = 256
    use_batch_norm_in_fusion_residual: bool = False
    use_bias_in_fusion_residual: bool | None = None
    head_in_index: int = -1
    add_projection: bool = False
    head_hidden_size: int = 32
    head_activation: str = "relu"
    depth_estimation_type: str = "relative"
    depth_scale: float = 1.0
    depth_shift: float = 0.0
    invert_depth: bool = False
    max_depth: float | None = None
    depth_loss: dict | None = None
    use_auxiliary_head: bool = True
    auxiliary_loss_weight: float = 0.2
    auxiliary_head_tap: int = -2
    semantic_loss_ignore_index: int = 255
    semantic_classifier_dropout: float = 0.1
    pooler_output_size: int | None = None
    pooler_act: str = "tanh"

    def __post_init__(self, **kwargs):
        non_negative = kwargs.pop("non_negative", None)
        if non_negative is not None:
            self.head_activation = "relu" if non_negative else "none"
        if self.is_hybrid and self.backbone_config is None:
            self.backbone_config = dict(HYBRID_STEM)
        if isinstance(self.backbone_config, dict):
            self.backbone_config = _encoder_config(
                self.backbone_config, default_type="bit" if self.is_hybrid else None
            )
        if self.uses_auto_backbone:
            self.backbone_out_indices = None
            # The encoder's own numbers are the truth; ours mirror them for whoever asks the outer configuration.
            for key in ("hidden_size", "image_size", "patch_size"):
                value = getattr(self.backbone_config, key, None)
                if value is not None:
                    setattr(self, key, value)
            self._choose_taps_of_encoder()
        if self.neck_ignore_stages is None or not self.is_hybrid:
            self.neck_ignore_stages = [0, 1] if self.is_hybrid else []
        # Lists, not tuples: what is written equals what is read back.
        for key, value in vars(self).items():
            if isinstance(value, tuple):
                setattr(self, key, list(value))
        super().__post_init__(**kwargs)
        validate(self)
        if self.is_hybrid and self.backbone_featmap_shape is None:
            self.backbone_featmap_shape = [1, self.stem_channels[-1], *self.grid_size]

    def _choose_taps_of_encoder(self) -> None:
        """Make the encoder hand out tokens where it has a class token, normalised or not as we are told."""
        self.backbone_config = encoder = copy.deepcopy(self.backbone_config)
        if self.has_readout_token:
            encoder.reshape_hidden_states = False
            encoder.return_class_token = True  # read by dinov3_vit
        if self.normalize_taps is not None and hasattr(encoder, "apply_layernorm"):
            encoder.apply_layernorm = self.normalize_taps

    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> "DPTConfig":
        """Configuration by name, for example "dpt-large"; keyword arguments override the preset's values.

        Raises:
            ValueError: no preset has this name; the message lists those there are.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: unknown name {name!r}. Choose one of: {', '.join(PRESETS)}.")
        return cls(**{**copy.deepcopy(PRESETS[name]), **overrides})

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoConfig") -> None:
        """Does nothing: checkpoints carry a stub that imports this package, not a copy of its source files."""

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs):
        """As in transformers; dictionaries of model_type "dpt" and "depth_anything" are translated.

        Raises:
            ValueError: the dictionary describes another architecture.
        """
        return super().from_dict(_translated(config_dict), **kwargs)

    @classmethod
    def get_config_dict(cls, pretrained_model_name_or_path, **kwargs):
        # Translated here too, because from_pretrained warns about another model_type before it calls from_dict.
        with plain_hub_errors(pretrained_model_name_or_path, kwargs.get("revision")):
            config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        return _translated(config_dict), kwargs

    def to_dict(self) -> dict[str, Any]:
        """As in transformers; `depth_loss` only where one is chosen."""
        values = super().to_dict()
        return {key: value for key, value in values.items() if key != "depth_loss" or value is not None}

    @property
    def uses_auto_backbone(self) -> bool:
        """The encoder is built by transformers.AutoBackbone, not the native ViT or hybrid."""
        return self.backbone_config is not None and not self.is_hybrid

    @property
    def is_hierarchical(self) -> bool:
        """The encoder is a pyramid of feature maps: no tokens, no readout, no reassemble."""
        if not self.uses_auto_backbone:
            return False
        encoder = self.backbone_config
        return hasattr(encoder, "depths") or not (hasattr(encoder, "hidden_size") and hasattr(encoder, "patch_size"))

    @property
    def has_readout_token(self) -> bool:
        """The encoder has a class token."""
        return not self.uses_auto_backbone or self.backbone_config.model_type in ENCODERS_WITH_READOUT

    @property
    def encoder_hidden_size(self) -> int | None:
        """Width of the encoder's tokens; None for a hierarchical encoder."""
        return None if self.is_hierarchical else self.hidden_size

    @property
    def stem_channels(self) -> list[int]:
        """Channels of the stages a hybrid's stem hands out."""
        stem = self.backbone_config
        widths, stages = getattr(stem, "hidden_sizes", []), getattr(stem, "out_indices", None) or []
        return [widths[stage - 1] for stage in stages if 0 < stage <= len(widths)]  # index 0 is the first convolution

    @property
    def size_divisor(self) -> int:
        """Height and width of the input must be multiples of this many pixels."""
        if self.is_hierarchical:
            return 32
        return _pair(self.patch_size)[0]

    @property
    def grid_size(self) -> tuple[int, int]:
        """Tokens per column and row for which position embeddings are stored: (h, w)."""
        height, width = _pair(self.image_size)
        return height // self.size_divisor, width // self.size_divisor

    @property
    def head_channels(self) -> int:
        """Width between the first and the second convolution of the depth head."""
        return self.fusion_hidden_size // 2


def _pair(value: int | list[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _translated(config_dict: dict[str, Any]) -> dict[str, Any]:
    model_type = config_dict.get("model_type", DPTConfig.model_type)
    if is_stock(model_type):
        return from_stock(config_dict)
    if model_type != DPTConfig.model_type:
        raise ValueError(
            f"model_type: must be 'open_dpt', 'dpt' or 'depth_anything', got {model_type!r}. For an encoder without a "
            "DPT decoder use from_encoder_pretrained."
        )
    return config_dict


def _encoder_config(encoder: dict[str, Any], default_type: str | None) -> PreTrainedConfig:
    encoder = dict(encoder)
    model_type = encoder.pop("model_type", None) or default_type
    if not model_type:
        raise ValueError(
            "backbone_config: 'model_type' is missing. Name an encoder that AutoBackbone knows, e.g. 'dinov2'."
        )
    try:
        return AutoConfig.for_model(model_type, **encoder)
    except ValueError as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"backbone_config: cannot build a {model_type!r} encoder: {first_line}") from error


AutoConfig.register(DPTConfig.model_type, DPTConfig, exist_ok=True)
