import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_dpt.data.photometric import COLOUR_DRAWS, COLOUR_JITTERS, ColourJitter

IMAGE = torch.arange(256, dtype=torch.uint8).repeat(3, 1).view(3, 16, 16)
IMAGE[1] = IMAGE[1].flip(0)
ALWAYS = 0.0  # a first draw below every probability


def test_it_is_the_formula_of_bts():
    """Gamma, brightness, a factor per channel, clip: in that order."""
    jitter = ColourJitter.of("bts-nyu")
    gamma, brightness, red, green, blue = 1.08, 0.9, 1.1, 0.95, 1.0
    draws = [ALWAYS, 0.9, 0.3, 1.0, 0.25, 0.5, 0, 0]
    expected = (IMAGE / 255) ** gamma * brightness * torch.tensor([red, green, blue]).view(3, 1, 1)
    torch.testing.assert_close(jitter(IMAGE, draws), expected.clamp(0, 1))


def test_contrast_and_saturation():
    draws = [ALWAYS, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75, 0.25]
    pixels = IMAGE / 255
    stretched = ColourJitter(contrast=0.4)(IMAGE, draws)
    torch.testing.assert_close(stretched, (pixels.mean() + 1.2 * (pixels - pixels.mean())).clamp(0, 1))
    faded = ColourJitter(saturation=0.4)(IMAGE, draws)
    grey = pixels.mean(0, keepdim=True)
    torch.testing.assert_close(faded, grey + 0.8 * (pixels - grey))


def test_the_first_number_decides_whether():
    jitter = ColourJitter.of("bts-nyu")
    assert not torch.equal(jitter(IMAGE, [0.49] + [0.9] * 7), IMAGE / 255)
    assert torch.equal(jitter(IMAGE, [0.5] + [0.9] * 7), IMAGE / 255)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=COLOUR_DRAWS, max_size=COLOUR_DRAWS))
def test_colours_stay_in_range_and_black_stays_black_without_contrast(draws):
    wild = ColourJitter(1, 1, 1, 0, 1, probability=1)(IMAGE, draws)
    assert wild.isfinite().all() and wild.min() >= 0 and wild.max() <= 1
    assert (wild[:, (IMAGE == 0).all(0)] == 0).all()


def test_a_strength_scales_the_ranges_of_bts_and_zero_switches_off():
    assert ColourJitter.of(1) == ColourJitter.of("bts-nyu") == ColourJitter(gamma=0.1, brightness=0.25, colour=0.1)
    assert ColourJitter.of(0.5).brightness == 0.125
    assert torch.equal(ColourJitter.of(0.0)(IMAGE, [ALWAYS] + [0.9] * 7), IMAGE / 255)


def test_recipes_name_their_ranges():
    assert ColourJitter.of({"contrast": 0.2, "probability": 1}) == ColourJitter(contrast=0.2, probability=1)
    assert all(ColourJitter.of(name) == ColourJitter(**ranges) for name, ranges in COLOUR_JITTERS.items())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("vivid", "colour: must be a number or one of bts-nyu, bts-kitti, ssd, got 'vivid'"),
        ({"hue": 0.1}, "colour: knows gamma, brightness, .* got hue"),
        ({"gamma": 2}, "gamma must be from 0 to 1, got 2"),
        (5, "brightness must be from 0 to 1, got 1.25"),
    ],
)
def test_wrong_ranges_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        ColourJitter.of(value)
