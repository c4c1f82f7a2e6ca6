"""Samples and an inference rule for adapters."""

import pytest
import torch


@pytest.fixture
def rule():
    """rule(**changes): an `InferenceRule` that leaves everything to the model but for the changes."""
    from open_dpt.evaluation.protocol import InferenceRule

    nothing = dict.fromkeys(("size", "scales", "base_size", "window", "stride", "combine"))
    defaults = {"resize_method": "minimal", "keep_aspect_ratio": True, "flip": False, "output_resize": "bicubic"}
    return lambda **changes: InferenceRule(**{**nothing, **defaults, **changes})


@pytest.fixture
def sample():
    """sample(height, width, seed): as `read_sample` gives it, with smooth random colours."""

    def make(height: int, width: int, seed: int = 0) -> dict:
        coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed)) * 255
        image = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[0]
        return {"image": image.to(torch.uint8), "name": f"{seed}.png", "scene": None, "frame": None}

    return make
