"""Named DPT configurations as data: keyword arguments of `DPTConfig`.

Sources: Ranftl et al., arXiv:2103.13413, supplement A and tables 6 to 9 (dpt-*, deit-*, resnet50); Birkl et al.,
arXiv:2307.14460 (beit-*, swin*); Oquab et al., arXiv:2304.07193, and Yang et al.,
arXiv:2401.10891 (dinov2-*: decoder widths).
"""

# Encoders of the same family differ in these numbers only.
_VIT_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_VIT_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_VIT_NORM = {"layer_norm_eps": 1e-6}

_TAPS_BASE, _TAPS_LARGE = [2, 5, 8, 11], [5, 11, 17, 23]
_NECK_BASE, _NECK_LARGE = [96, 192, 384, 768], [256, 512, 1024, 1024]


def _native(vit: dict, taps: list[int], neck: list[int], **extra) -> dict:
    return {**vit, **_VIT_NORM, "backbone_out_indices": taps, "neck_hidden_sizes": neck, **extra}


def _bit_stem(embedding_size: int, hidden_sizes: list[int], depths: list[int], num_groups: int) -> dict:
    return {
        "model_type": "bit",
        "layer_type": "bottleneck",
        "global_padding": "same",
        "embedding_dynamic_padding": True,
        "embedding_size": embedding_size,
        "hidden_sizes": hidden_sizes,
        "depths": depths,
        "num_groups": num_groups,
        "out_features": ["stage1", "stage2", "stage3"],
    }


# out_indices of transformers backbones count the embedding as 0, so tap t (0-based block) is index t + 1.
def _beit(vit: dict, image_size: int, taps: list[int], neck: list[int]) -> dict:
    encoder = {
        "model_type": "beit",
        **vit,
        "image_size": image_size,
        "use_relative_position_bias": True,
        "layer_scale_init_value": 0.1,
        "layer_norm_eps": 1e-6,
        "reshape_hidden_states": False,
        "out_indices": [tap + 1 for tap in taps],
    }
    return {"backbone_config": encoder, "image_size": image_size, "neck_hidden_sizes": neck, "readout_type": "project"}


def _swin(model_type: str, embed_dim: int, depths: list[int], heads: list[int], image_size: int, window: int) -> dict:
    encoder = {
        "model_type": model_type,
        "embed_dim": embed_dim,
        "depths": depths,
        "num_heads": heads,
        "image_size": image_size,
        "window_size": window,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    }
    if model_type == "swinv2":
        # The released weights were pretrained with a smaller window; its size scales their position table.
        encoder["pretrained_window_sizes"] = [12, 12, 12, 6] if window == 24 else [0, 0, 0, 0]
    neck = [embed_dim * 2**stage for stage in range(4)]
    return {
        "backbone_config": encoder,
        "image_size": image_size,
        "neck_hidden_sizes": neck,
        "readout_type": "ignore",
        "normalize_taps": False,  # MiDaS taps the stages as they are
    }


def _dinov2(width: int, layers: int, heads: int, taps: list[int], neck: list[int], fusion: int, **extra) -> dict:
    encoder = {
        "model_type": "dinov2",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": 518,
        "patch_size": 14,
        "apply_layernorm": True,
        "reshape_hidden_states": False,
        "out_indices": [tap + 1 for tap in taps],
        **extra,
    }
    return {
        "backbone_config": encoder,
        "image_size": 518,
        "patch_size": 14,
        "neck_hidden_sizes": neck,
        "fusion_hidden_size": fusion,
        "readout_type": "project",
    }


PRESETS: dict[str, dict] = {
    # The bundled demonstration model: a DPT-Hybrid in miniature, the paper's sample-efficient variant.
    "dpt-tiny": {
        "is_hybrid": True,
        "backbone_config": _bit_stem(32, [48, 96, 192], [1, 1, 2], num_groups=8),
        "hidden_size": 256,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        **_VIT_NORM,
        "image_size": 192,
        "backbone_out_indices": [0, 1, 3, 7],
        "neck_hidden_sizes": [48, 96, 128, 128],
        "fusion_hidden_size": 48,
        "head_hidden_size": 16,
        # Trained from scratch, a ReLU at the end dies and unnormalised taps run away.
        "head_activation": "none",
        "normalize_taps": True,
    },
    # For trying things out: learns a handful of images in seconds on a CPU, and nothing more.
    "debug": {
        "hidden_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 96,
        **_VIT_NORM,
        "image_size": 64,
        "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [16, 24, 32, 40],
        "fusion_hidden_size": 24,
        "head_hidden_size": 16,
        "head_activation": "none",
        "normalize_taps": True,
    },
    "dpt-base": _native(_VIT_BASE, _TAPS_BASE, _NECK_BASE),
    "dpt-large": _native(_VIT_LARGE, _TAPS_LARGE, _NECK_LARGE),
    "dpt-hybrid": _native(
        _VIT_BASE,
        [0, 1, 8, 11],
        [256, 512, 768, 768],
        is_hybrid=True,
        backbone_config=_bit_stem(64, [256, 512, 1024], [3, 4, 9], num_groups=32),
    ),
    "deit-base": _native(_VIT_BASE, _TAPS_BASE, _NECK_BASE),
    "deit-base-distilled": _native(_VIT_BASE, _TAPS_BASE, _NECK_BASE, num_prefix_tokens=2),
    "beit-large-512": _beit(_VIT_LARGE, 512, _TAPS_LARGE, _NECK_LARGE),
    "beit-large-384": _beit(_VIT_LARGE, 384, _TAPS_LARGE, _NECK_LARGE),
    "beit-base-384": _beit(_VIT_BASE, 384, _TAPS_BASE, _NECK_BASE),
    "swinv2-large-384": _swin("swinv2", 192, [2, 2, 18, 2], [6, 12, 24, 48], 384, 24),
    "swinv2-base-384": _swin("swinv2", 128, [2, 2, 18, 2], [4, 8, 16, 32], 384, 24),
    "swinv2-tiny-256": _swin("swinv2", 96, [2, 2, 6, 2], [3, 6, 12, 24], 256, 16),
    "swin-large-384": _swin("swin", 192, [2, 2, 18, 2], [6, 12, 24, 48], 384, 12),
    "dinov2-small": _dinov2(384, 12, 6, _TAPS_BASE, [48, 96, 192, 384], 64),
    "dinov2-base": _dinov2(768, 12, 12, _TAPS_BASE, [96, 192, 384, 768], 128),
    "dinov2-large": _dinov2(1024, 24, 16, _TAPS_LARGE, [256, 512, 1024, 1024], 256),
    "dinov2-giant": _dinov2(1536, 40, 24, [9, 19, 29, 39], [1536] * 4, 384, use_swiglu_ffn=True),
    # Convolutional baseline of Table 8: the four stages of a ResNet-50 go straight to the fusion.
    "resnet50": {
        "backbone_config": {"model_type": "resnet", "out_features": ["stage1", "stage2", "stage3", "stage4"]},
        "image_size": 384,
        "neck_hidden_sizes": [256, 512, 1024, 2048],
        "readout_type": "ignore",
    },
}
