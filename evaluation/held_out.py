"""Score a relative model on a batch of scenes with exact disparity, as `zero_shot` scores photographs."""

import torch
from torch import Tensor, nn

from .zero_shot import Score, mean_score, score_affine_aligned


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
