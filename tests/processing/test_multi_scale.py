"""Multi-scale, mirrored, sliding-window segmentation does what the published protocol says, at any size."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_dpt.processing import ImageError, multi_scale
from open_dpt.processing.multi_scale import COMBINATIONS, MultiScale, window_starts

SCALES = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
SMALL = {"base_size": 26, "window": 24}  # the published 520 and 480, divided by 20
BLACK = torch.tensor([-1.0, -0.5, -2.0])
SIDES = st.integers(1, 60)


def reference():
    path = Path(__file__).parents[1] / "reference" / "multi_scale.py"
    spec = importlib.util.spec_from_file_location("reference_multi_scale", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(classes: int = 5, seed: int = 0):
    """Sees its neighbourhood and the border of the window, so that every detail of cutting shows in the result."""
    torch.manual_seed(seed)
    layers = (torch.nn.Conv2d(3, 6, 5, padding=2), torch.nn.Tanh(), torch.nn.Conv2d(6, classes, 3, padding=1))
    return torch.nn.Sequential(*layers).double()


def run(layers, gain: float = 4.0):
    return lambda windows: gain * layers(windows.double()).detach()


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(37, 61), (61, 37), (20, 20), (5, 50), (1, 7), (120, 100)])
def test_agrees_with_the_protocol_in_numpy(size, flip, combine):
    pixels = torch.randn(3, *size, generator=torch.Generator().manual_seed(1))
    forward = run(network())
    got = MultiScale(SCALES, flip, combine=combine, **SMALL).scores(forward, pixels, BLACK, batch_size=3).numpy()
    expected = reference().multi_scale_scores(
        lambda window: forward(torch.from_numpy(window)[None])[0].numpy(),
        pixels.double().numpy(),
        BLACK.numpy(),
        scales=SCALES,
        flip=flip,
        base=26,
        window=24,
        stride=16,
        combine=combine,
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_the_published_sizes_and_windows():
    strategy, seen = MultiScale(), []
    assert (strategy.base_size, strategy.window, strategy.stride, strategy.scales) == (520, 480, 320, SCALES)

    def forward(windows):
        seen.extend(tuple(window.shape) for window in windows)
        return windows[:, :2]

    strategy.labels(forward, torch.zeros(3, 512, 683), torch.ones(3))
    assert set(seen) == {(3, 480, 480)}
    # Long sides 260, 390, 520, 650, 780, 910; short ones 195, 292, 390, 487, 585, 682 (0.5 goes up).
    assert len(seen) == 1 + 1 + 2 + 2 * 2 + 2 * 2 + 2 * 3
    sizes = [strategy._size_at(scale, (512, 683)) for scale in SCALES]
    assert sizes == [(195, 260), (292, 390), (390, 520), (487, 650), (585, 780), (682, 910)]
    assert MultiScale(base_size=10)._size_at(1.0, (1, 4)) == (3, 10)  # 2.5 goes up


@pytest.mark.parametrize(
    ("length", "starts"), [(100, [0]), (480, [0]), (481, [0, 320]), (800, [0, 320]), (801, [0, 320, 640])]
)
def test_windows_start_at_multiples_of_the_stride(length, starts):
    assert window_starts(length, 480, 320) == starts


@given(length=st.integers(1, 500), window=st.integers(1, 100), share=st.floats(0.01, 1))
def test_windows_see_every_pixel_and_each_adds_some(length, window, share):
    stride = max(1, int(window * share))
    starts = window_starts(length, window, stride)
    covered = {pixel for start in starts for pixel in range(start, start + window)}
    assert covered >= set(range(length))
    assert all(start + window < length for start in starts[:-1])


@settings(max_examples=25, deadline=None)
@given(height=SIDES, width=SIDES, flip=st.booleans(), combine=st.sampled_from(COMBINATIONS))
def test_a_network_that_always_says_the_same_wins_everywhere(height, width, flip, combine):
    answer = torch.tensor([0.1, 2.0, -1.0]).view(1, 3, 1, 1)
    strategy = MultiScale((0.5, 1.5), flip, combine=combine, **SMALL)
    scores = strategy.scores(lambda w: answer.expand(len(w), 3, 24, 24), torch.randn(3, height, width), BLACK)
    assert scores.shape == (3, height, width)
    single = answer.softmax(1) if combine == "mean-probability" else 2 * (answer * (1 + flip)).exp()
    torch.testing.assert_close(scores, single[0].expand_as(scores))


@settings(max_examples=25, deadline=None)
@given(height=SIDES, width=SIDES, combine=st.sampled_from(COMBINATIONS))
def test_probabilities_sum_to_one_and_ids_stay_below_the_number_of_classes(height, width, combine):
    strategy, forward = MultiScale((0.5, 1.75), True, combine=combine, **SMALL), run(network(4))
    pixels = torch.randn(3, height, width)
    labels, scores = (method(forward, pixels, BLACK) for method in (strategy.labels, strategy.scores))
    assert labels.shape == (height, width) and labels.dtype == torch.int64
    assert labels.min() >= 0 and labels.max() < 4
    assert torch.equal(labels, scores.argmax(0))
    if combine == "mean-probability":
        torch.testing.assert_close(scores.sum(0), torch.ones(height, width))


@pytest.mark.parametrize("combine", COMBINATIONS)
def test_with_flip_a_mirrored_image_gives_the_mirrored_answer(combine):
    pixels = torch.randn(3, 20, 24)  # one window without a margin: where windows are cut differs otherwise
    strategy, forward = MultiScale((1.0,), True, base_size=24, window=24, combine=combine), run(network())
    straight, mirrored = (strategy.scores(forward, image, BLACK) for image in (pixels, pixels.flip(-1)))
    torch.testing.assert_close(mirrored, straight.flip(-1))


def test_flip_changes_nothing_where_the_network_is_symmetric():
    layers = network()
    for layer in layers[::2]:
        layer.weight.data += layer.weight.data.flip(-1)
    pixels = torch.randn(3, 40, 50)
    plain, mirrored = (
        MultiScale(SCALES, flip, combine="mean-probability", **SMALL).scores(run(layers, 1.0), pixels, BLACK)
        for flip in (False, True)
    )
    torch.testing.assert_close(plain, mirrored)


@pytest.mark.parametrize("batch_size", [2, 5, 100])
def test_windows_that_run_together_change_nothing(batch_size):
    pixels, strategy, forward = torch.randn(3, 50, 70), MultiScale(flip=True, **SMALL), run(network())
    torch.testing.assert_close(
        strategy.scores(forward, pixels, BLACK, batch_size=batch_size), strategy.scores(forward, pixels, BLACK)
    )


def test_more_classes_than_are_resized_at_a_time():
    pixels, strategy, forward = torch.randn(3, 30, 40), MultiScale(flip=True, **SMALL), run(network(150))
    scores = strategy.scores(forward, pixels, BLACK)
    assert len(scores) == 150
    assert torch.equal(strategy.labels(forward, pixels, BLACK), scores.argmax(0))


def test_logits_of_half_the_size_are_resized_as_the_reference_network_does():
    pixels, strategy = torch.randn(3, 30, 40), MultiScale(**SMALL)
    half = run(torch.nn.Sequential(network(), torch.nn.AvgPool2d(2)))

    def full(windows):
        return torch.nn.functional.interpolate(half(windows), (24, 24), mode="bilinear", align_corners=True)

    torch.testing.assert_close(strategy.scores(half, pixels, BLACK), strategy.scores(full, pixels, BLACK))


def test_half_precision_logits_are_added_up_in_float32():
    pixels, forward = torch.randn(3, 50, 70), run(network())
    expected = MultiScale(flip=True, **SMALL).scores(forward, pixels, BLACK)
    got = MultiScale(flip=True, **SMALL).scores(lambda windows: forward(windows).half(), pixels, BLACK)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, rtol=0.02, atol=0)  # exp of logits that are rounded to 11 bits


def test_exponentials_beyond_float32_keep_the_order_of_the_classes():
    pixels, strategy = torch.randn(3, 50, 70), MultiScale(flip=True, **SMALL)
    layers = network()

    def larger(windows):  # the common factor exp(2 * 100) for all classes and pixels
        return run(layers)(windows) + 100

    assert run(layers)(pixels[None]).exp().float().isfinite().all()
    assert larger(pixels[None]).mul(2).float().exp().isinf().all()
    scores = strategy.scores(larger, pixels, BLACK)
    assert scores.isfinite().all() and (scores.sum(0) > 0).all()
    assert torch.equal(strategy.labels(larger, pixels, BLACK), strategy.labels(run(layers), pixels, BLACK))


def test_exponentials_within_float32_are_what_they_are():
    scores = MultiScale((1.0,), True, **SMALL).scores(
        lambda w: 40 * torch.ones(len(w), 2, 24, 24), BLACK.view(3, 1, 1), BLACK
    )
    assert scores.tolist() == [[[torch.tensor(80.0).exp().item()]]] * 2


def test_there_is_room_for_the_sum_of_the_largest_exponentials():
    largest = 44 * torch.ones(1, 2, 24, 24)  # exp(88) fits, but not four of them
    scores = MultiScale(flip=True, **SMALL).scores(
        lambda w: largest.expand(len(w), -1, -1, -1), torch.zeros(3, 50, 70), BLACK
    )
    assert scores.isfinite().all() and (scores > 0).all()


def test_windows_of_different_magnitude_are_weighed_as_in_double_precision():
    """The offset rises from window to window and from scale to scale; earlier sums must follow."""
    calls = iter(range(1000))

    def forward(windows):
        base = torch.randn(len(windows), 3, 24, 24, generator=torch.Generator().manual_seed(next(calls)))
        return base + 45 + 2.0 * (next(calls) % 7)

    pixels, strategy = torch.randn(3, 50, 70), MultiScale(flip=True, **SMALL)
    got = strategy.scores(forward, pixels, BLACK).double()
    calls = iter(range(1000))
    expected = reference().multi_scale_scores(
        lambda window: forward(torch.from_numpy(window)[None])[0].double().numpy(),
        pixels.double().numpy(),
        BLACK.numpy(),
        scales=SCALES,
        flip=True,
        base=26,
        window=24,
        stride=16,
        combine="exp-of-sum",
    )
    assert expected.max() > torch.finfo(torch.float32).max
    ratio = torch.from_numpy(expected) / got
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-3, atol=0)


def test_other_windows_keep_the_published_proportions():
    assert MultiScale.of_window(480) == MultiScale()
    assert MultiScale.of_window(384, flip=True) == MultiScale(flip=True, base_size=416, window=384, stride=256)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=f"logits: must be finite, got {wrong}. Use float32"):
        MultiScale(**SMALL).labels(lambda w: torch.full((len(w), 2, 24, 24), wrong), torch.zeros(3, 9, 9), BLACK)


def test_scores_that_do_not_fit_are_refused_in_a_line_that_names_the_image(monkeypatch):
    monkeypatch.setattr(multi_scale, "MAX_SCORE_BYTES", 1000)
    with pytest.raises(ImageError, match=r"scores of 5 classes must fit .* got 90 x 70 pixels .* Set base_size"):
        MultiScale((1.0,), base_size=None, window=24).labels(run(network()), torch.zeros(3, 90, 70), BLACK)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scales": ()}, "scales: must be one or more positive numbers"),
        ({"scales": (1.0, -0.5)}, "scales: must be one or more positive numbers"),
        ({"base_size": 0}, "base_size: must be 1 pixel or more, got 0"),
        ({"window": 0}, "window: must be 1 pixel or more, got 0"),
        ({"window": None}, "window: must be 1 pixel or more, got None"),
        ({"stride": 481}, r"stride: must be 1 to 480 \(window\), got 481"),
        ({"stride": 0}, r"stride: must be 1 to 480 \(window\), got 0"),
        ({"combine": "sum"}, "combine: must be one of exp-of-sum, mean-probability, got 'sum'"),
    ],
)
def test_impossible_arguments_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        MultiScale(**values)
