"""Camera effects keep pictures in range and do what their parameter says."""

import pytest
import torch

from open_dpt.data.procedural.photometric import blur, develop, hash_noise, jpeg
from open_dpt.data.procedural.scene import SETTINGS


def settings(batch: int, **changes) -> dict[str, torch.Tensor]:
    return {k: torch.tensor([changes.get(k, v)] * batch, dtype=torch.float32) for k, v in SETTINGS.items()}


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0, 1e4])
def test_any_light_becomes_bytes(level):
    linear = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * level
    image = develop(linear, settings(2, grain=(0.2, 0.2), jpeg=(1.0,), contrast=(1.5,), vignette=(1.0,)))
    assert image.dtype == torch.uint8 and image.shape == (2, 3, 32, 32)


def test_exposure_meets_its_target():
    linear = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    dark, bright = (develop(linear, settings(1, exposure=(e,))).float().mean() / 255 for e in (0.3, 0.6))
    assert dark == pytest.approx(0.3, abs=0.04) and bright == pytest.approx(0.6, abs=0.05)


def test_blur_keeps_the_mean_and_spreads_a_point():
    point = torch.zeros(1, 3, 15, 15)
    point[:, :, 7, 7] = 1
    out = blur(point, torch.tensor([1.0]), torch.tensor([0.0]))
    assert out.sum() == pytest.approx(3.0, rel=1e-5)
    assert out[0, 0, 7, 8] > 0.1 and out[0, 0, 8, 7] < 1e-6  # along x only


def test_jpeg_leaves_pictures_alone_at_strength_zero_and_loses_detail_otherwise():
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    out = jpeg(x, torch.tensor([0.0, 1.0]))
    assert torch.equal(out[0], x[0])
    assert 0.02 < (out[1] - x[1]).abs().mean() < 0.3
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert (jpeg(flat, torch.tensor([0.5])) - flat).abs().max() < 0.02


def test_noise_is_centred_and_differs_between_seeds_and_streams():
    noise = hash_noise(torch.tensor([1.0, 2.0]), 20000, 1)
    assert noise.mean(1).abs().max() < 0.03 and (noise.std(1) - 1).abs().max() < 0.03
    assert abs(torch.corrcoef(noise)[0, 1]) < 0.03
    other = hash_noise(torch.tensor([1.0]), 20000, 2)
    assert abs(torch.corrcoef(torch.cat([noise[:1], other]))[0, 1]) < 0.03
    lag = torch.corrcoef(torch.stack([noise[0, :-1], noise[0, 1:]]))[0, 1]
    assert abs(lag) < 0.03
