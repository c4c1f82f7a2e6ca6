"""A short name for what a model computes."""

import hashlib
import json

import torch


def fingerprint(model: torch.nn.Module) -> str:
    """Identifies the weights wherever they lie: 16 characters, from the configuration and the head of every tensor."""
    if getattr(model, "is_int8", False):
        return model.weights_fingerprint
    digest = hashlib.sha256(json.dumps(model.config.to_diff_dict(), sort_keys=True, default=str).encode())
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.flatten()[:64].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
