"""Score a relative model on procedural scenes that it was not trained on, as `zero_shot` scores photographs."""

import torch
from torch import Tensor, nn

from ..data.procedural import HELD_OUT, HELD_OUT_SEED, render_batch
from .zero_shot import Score, mean_score, score_affine_aligned


class HeldOutScenes:
    """Scenes with seeds never trained on: of the training types ("new_seeds") and of others ("new_types").

    Args:
        count: Scenes of each kind; 0 gives an empty set, whose scores are empty.
        size: Side in pixels.
        device: Where to render and keep them.
    """

    def __init__(self, count: int, size: int, device: str | torch.device = "cpu"):
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + count)
        kinds = {"new_seeds": None, "new_types": HELD_OUT} if count else {}
        self._scenes = {kind: render_batch(seeds, (size, size), device, types) for kind, types in kinds.items()}

    def score(self, model: nn.Module) -> dict[str, float]:
        """KIND/abs_rel and KIND/delta1 of a model that reads images in -1 to 1; its training mode is restored."""
        training, results = model.training, {}
        model.eval()
        for kind, (images, disparities) in self._scenes.items():
            score = score_scenes(model, images.float() / 127.5 - 1, disparities)
            results |= {f"{kind}/abs_rel": round(score.abs_rel, 4), f"{kind}/delta1": round(score.delta1, 4)}
        model.train(training)
        return results


@torch.inference_mode()
def score_scenes(
    model: nn.Module, images: Tensor, disparities: Tensor, *, cap: float = 80.0, batch_size: int = 16
) -> Score:
    """Affine-aligned AbsRel and delta1, mean over images.

    Args:
        model: Relative depth model in evaluation mode.
        images: Normalised pixel values. Shape (N, 3, H, W).
        disparities: Ground truth in 1/m, 0 for sky. Shape (N, H, W).
        cap: Metres; what is farther is left out, and predictions are not farther.
        batch_size: Images per forward pass.

    Raises:
        ValueError: no image has a pixel nearer than the cap.
    """
    depths = torch.where(disparities > 0, 1 / disparities, 0.0)
    scores = []
    for image, depth in zip(images.split(batch_size), depths.split(batch_size), strict=True):
        predictions = model(image).predicted_depth.float()
        scores += [
            score_affine_aligned(prediction, truth, cap)
            for prediction, truth in zip(predictions, depth, strict=True)
            if ((truth > 0) & (truth < cap)).any()
        ]
    if not scores:
        raise ValueError(f"disparities: need an image with a pixel nearer than {cap} m, got none. Check the unit.")
    return mean_score(scores)
