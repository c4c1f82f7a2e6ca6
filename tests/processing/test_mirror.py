"""The mean with the mirrored answer."""

import pytest
import torch

from open_dpt.processing.mirror import mirror_mean


@pytest.mark.parametrize("name", ["predicted_depth", "logits"])
def test_the_mirrored_answer_is_turned_back_before_the_mean(name):
    """A model that brightens its left edge brightens both, half as much."""
    edge = torch.tensor([8.0, 0, 0, 0])

    def model(pixel_values):
        maps = pixel_values + edge
        return {name: maps[:, 0] if name == "predicted_depth" else maps, "hidden_states": ()}

    pixels = torch.arange(24.0).view(1, 3, 2, 4)
    outputs = mirror_mean(model, pixels)
    expected = pixels + torch.tensor([4.0, 0, 0, 4])
    assert list(outputs) == [name]
    assert torch.equal(outputs[name], expected[:, 0] if name == "predicted_depth" else expected)
