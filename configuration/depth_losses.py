"""What `depth_loss` in `config.json` may say; the losses themselves are in `modeling_dpt.losses`."""

from typing import Any

_GRADIENTS = ("gradient_weight", "gradient_scales")

# For models of this depth_estimation_type: the losses by name, each with its options. The first is the default.
DEPTH_LOSS_OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "relative": {"ssi": ("kind", "trim", *_GRADIENTS, "anchor_weight")},
    "metric": {"silog": ("variance_focus", "form", *_GRADIENTS), "l1": _GRADIENTS, "log_l1": _GRADIENTS},
}


def check_depth_loss(depth_loss: Any, depth_estimation_type: str) -> None:
    """Check names; values are checked by the loss when a model is built.

    Raises:
        ValueError: not None or a dictionary with a known name and known options for this kind of model.
    """
    if depth_loss is None:
        return
    known = DEPTH_LOSS_OPTIONS[depth_estimation_type]
    name = depth_loss.get("name") if isinstance(depth_loss, dict) else None
    if name not in known:
        raise ValueError(
            f"depth_loss: must be None or a dictionary with 'name' one of {', '.join(map(repr, known))} for a "
            f"{depth_estimation_type} model, got {depth_loss!r}."
        )
    for option in depth_loss.keys() - {"name"}:
        if option not in known[name]:
            raise ValueError(f"depth_loss: options of {name!r} are {', '.join(known[name])}, got {option!r}.")
