"""What a processor file may say: the keys with their defaults, what each encoder family expects, and the checks."""

from typing import Any

from .resize import RESAMPLE_MODES, RESIZE_METHODS

# The stock processor's defaults: a stock file may leave out any key. `resize_method`, `antialias` and `depth_resample`
# are ours, and their defaults here mean what the stock processor does.
DEFAULTS = {
    "do_resize": True,
    "size": {"height": 384, "width": 384},
    "resize_method": "minimal",
    "keep_aspect_ratio": False,
    "ensure_multiple_of": 1,
    "resample": 3,
    "antialias": True,
    "depth_resample": "nearest",
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_pad": False,
    "size_divisor": None,
    "do_reduce_labels": False,
}

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

# What the authors' models of each encoder family expect, where it is not mean = std = 0.5 with the aspect ratio kept.
ENCODER_SETTINGS = {
    "dinov2": IMAGENET,
    "dinov2_with_registers": IMAGENET,
    "dinov3_vit": IMAGENET,
    "swin": {"keep_aspect_ratio": False},
    "swinv2": {"keep_aspect_ratio": False},
}


def validated(settings: dict) -> dict:
    """Settings in their saved form, or a ValueError that names the key."""
    settings = dict(settings)
    settings["size"] = _size_dict(settings["size"])
    settings["resample"] = int(settings["resample"])
    for key, allowed in (
        ("resample", tuple(RESAMPLE_MODES)),
        ("resize_method", RESIZE_METHODS),
        ("depth_resample", ("nearest", "bilinear")),
    ):
        if settings[key] not in allowed:
            raise ValueError(f"{key}: must be one of {', '.join(map(str, allowed))}, got {settings[key]!r}.")
    for key in ("ensure_multiple_of", "size_divisor"):
        if settings[key] is not None and (not isinstance(settings[key], int) or settings[key] < 1):
            raise ValueError(f"{key}: must be a whole number of at least 1, got {settings[key]!r}.")
    for key in ("image_mean", "image_std"):
        values = settings[key]
        values = [float(values)] * 3 if isinstance(values, (int, float)) else [float(value) for value in values]
        if len(values) != 3 or (key == "image_std" and min(values) <= 0):
            raise ValueError(f"{key}: must be 3 numbers (R, G, B; std above 0), got {settings[key]!r}.")
        settings[key] = values
    return settings


def _size_dict(size: Any) -> dict[str, int]:
    pair: Any = size
    if isinstance(size, int):
        pair = (size, size)
    elif hasattr(size, "get"):
        pair = (size.get("height"), size.get("width"))
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not all(isinstance(x, int) and x > 0 for x in pair):
        raise ValueError(
            f"size: must be a positive int, (height, width) or a dict with 'height' and 'width', got {size!r}."
        )
    return {"height": pair[0], "width": pair[1]}
