"""What holds for every prediction: of depth, segmentation, boundaries and pairs of points."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_dpt.evaluation.boundary_metrics import boundary_f1
from open_dpt.evaluation.depth_metrics import METRICS, DepthMetrics
from open_dpt.evaluation.ordinal_metrics import whdr_counts
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

SEEDS = st.integers(0, 2**31)
IDEAL = {name: 1.0 if name.startswith("delta") else 0.0 for name in METRICS}
modest = settings(max_examples=25, deadline=None)


def depth_maps(seed, count=3):
    """Predictions, ground truth in 1 to 9 m with holes, masks; of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    predictions, truths, masks = [], [], []
    for _ in range(count):
        size = torch.randint(2, 9, (2,), generator=generator).tolist()
        truths.append(1 + 8 * torch.rand(size, generator=generator, dtype=torch.float64))
        predictions.append(truths[-1] * torch.exp(0.4 * torch.randn(size, generator=generator)))
        masks.append(torch.rand(size, generator=generator) < 0.7)
        masks[-1][0, 0] = True
    return predictions, truths, masks


def depth_scores(predictions, truths, masks=None, **options):
    metrics = DepthMetrics(1e-3, 1e6, **options)
    metrics.update(predictions, truths, masks)
    return metrics.compute()


both_averages = pytest.mark.parametrize("averaging", ["image", "pixel"])


@both_averages
@modest
@given(seed=SEEDS)
def test_a_perfect_prediction_has_the_ideal_value(averaging, seed):
    _, truths, masks = depth_maps(seed)
    scores = depth_scores(truths, truths, masks, averaging=averaging)
    assert {name: scores[name] for name in METRICS} == IDEAL


@both_averages
@modest
@given(seed=SEEDS, factor=st.floats(0.2, 5).filter(lambda factor: abs(factor - 1) > 0.01))
def test_a_global_scale_changes_all_but_silog(averaging, seed, factor):
    predictions, truths, _ = depth_maps(seed)
    plain = depth_scores(predictions, truths, averaging=averaging)
    scaled = depth_scores([factor * one for one in predictions], truths, averaging=averaging)
    assert scaled["silog"] == pytest.approx(plain["silog"], rel=1e-6, abs=1e-6)
    assert scaled["log_bias"] == pytest.approx(plain["log_bias"] + math.log(factor), abs=1e-9)
    assert scaled["abs_rel"] != pytest.approx(plain["abs_rel"], rel=1e-9)
    of_truth = depth_scores([factor * one for one in truths], truths, averaging=averaging)
    assert of_truth["silog"] == pytest.approx(0, abs=1e-5)
    assert of_truth["abs_rel"] == pytest.approx(abs(factor - 1)) == pytest.approx(of_truth["abs_error_rel"] / 100)
    assert of_truth["sq_error_rel"] == pytest.approx(100 * (factor - 1) ** 2)
    assert of_truth["delta1"] == (max(factor, 1 / factor) < 1.25)


@modest
@given(seed=SEEDS, factor=st.floats(0.1, 10))
def test_scaling_both_scales_what_has_a_unit(seed, factor):
    predictions, truths, _ = depth_maps(seed)
    plain = depth_scores(predictions, truths)
    scaled = depth_scores([factor * one for one in predictions], [factor * one for one in truths])
    powers = {"sq_rel": 1, "rmse": 1, "irmse": -1}
    expected = {name: factor ** powers.get(name, 0) * plain[name] for name in METRICS}
    assert {name: scaled[name] for name in METRICS} == pytest.approx(expected, rel=1e-6)


@both_averages
@modest
@given(seed=SEEDS)
def test_the_order_of_images_and_pixels_does_not_matter(averaging, seed):
    maps = depth_maps(seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(3, generator=generator).tolist()
    shuffles = [torch.randperm(maps[0][image].numel(), generator=generator) for image in order]
    shuffled = [
        [every[image].flatten()[shuffle][None] for image, shuffle in zip(order, shuffles, strict=True)]
        for every in maps
    ]
    assert depth_scores(*shuffled, averaging=averaging) == pytest.approx(depth_scores(*maps, averaging=averaging))


@both_averages
@modest
@given(seed=SEEDS, hidden=st.sampled_from([math.nan, math.inf, -math.inf, -5.0, 0.0, 1e9]))
def test_masked_pixels_never_matter(averaging, seed, hidden):
    predictions, truths, masks = depth_maps(seed)
    expected = depth_scores(predictions, truths, masks, averaging=averaging)
    dirty = [[one.where(mask, hidden) for one, mask in zip(e, masks, strict=True)] for e in (predictions, truths)]
    assert depth_scores(*dirty, masks, averaging=averaging) == expected
    unknown = [one.where(mask, 0) for one, mask in zip(truths, masks, strict=True)]
    assert depth_scores(dirty[0], unknown, averaging=averaging) == expected


@both_averages
@modest
@given(seed=SEEDS, cut=st.integers(0, 6), processes=st.integers(1, 4))
def test_batches_and_processes_do_not_matter(averaging, seed, cut, processes):
    maps = depth_maps(seed, count=6)
    expected = depth_scores(*maps, averaging=averaging)
    parts = [DepthMetrics(1e-3, 1e6, averaging) for _ in range(processes)]
    for number, start, end in ((0, 0, cut), (processes - 1, cut, 6)):
        parts[number].update(*(every[start:end] for every in maps))
    total = DepthMetrics(1e-3, 1e6, averaging)
    for part in parts:
        total.merge(part.state())
    assert total.compute() == pytest.approx(expected)


@modest
@given(seed=SEEDS)
def test_segmentation(seed):
    generator = torch.Generator().manual_seed(seed)
    classes = int(torch.randint(1, 9, (1,), generator=generator))
    predictions, labels = torch.randint(0, classes, (2, 4, 5, 6), generator=generator)
    ignored = torch.rand(labels.shape, generator=generator) < 0.3
    ignored[:, 0, 0] = False
    labels[ignored] = 255

    def scores(predictions, labels):
        metrics = SegmentationMetrics(classes)
        metrics.update(predictions, labels)
        return metrics.compute() | {"iou": metrics.iou_per_class().nan_to_num(-1).tolist()}

    perfect = scores(labels.where(~ignored, 77), labels)  # whatever is predicted where nothing counts
    assert perfect["pixel_accuracy"] == perfect["mean_iou_present"] == 1
    assert perfect["mean_iou"] == pytest.approx(len(labels[~ignored].unique()) / classes)
    got = scores(predictions, labels)
    order = torch.randperm(labels.numel(), generator=generator)
    shuffled = [every.flatten()[order].view(2, 10, 6) for every in (predictions, labels)]
    assert scores(*shuffled) | {"images": 4} == got
    renamed = torch.randperm(classes, generator=generator)
    names = [renamed[predictions], torch.where(ignored, 255, renamed[labels.where(~ignored, 0)])]
    assert scores(*names)["mean_iou"] == pytest.approx(got["mean_iou"])
    assert scores(*names)["iou"] == pytest.approx([got["iou"][place] for place in renamed.argsort().tolist()])


@modest
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_boundaries_and_pairs_know_no_scale(seed, factor):
    generator = torch.Generator().manual_seed(seed)
    prediction, truth = 1 + torch.rand(2, 6, 7, generator=generator, dtype=torch.float64)
    score = boundary_f1(prediction, truth)
    assert 0 <= score <= 1
    assert boundary_f1(factor * prediction, truth) == pytest.approx(score, abs=0.02)  # a ratio may round over a step
    assert boundary_f1(prediction.flip(0, 1), truth.flip(0, 1)) == pytest.approx(score)
    assert boundary_f1(1 / prediction, 1 / truth) == pytest.approx(score, abs=0.02)

    ends = torch.tensor([6, 7, 6, 7])
    points = (torch.rand(30, 4, generator=generator) * ends).long()
    disparity = 1 / truth
    farther = truth[points[:, 0], points[:, 1]] > truth[points[:, 2], points[:, 3]]
    pairs = torch.cat([points, torch.where(farther, 1, -1)[:, None]], 1)
    assert whdr_counts(factor * disparity + 3, pairs)[0] == 0
    wrong, ties, count = whdr_counts(prediction, pairs)
    swapped = pairs[:, [2, 3, 0, 1, 4]] * torch.tensor([1, 1, 1, 1, -1])
    assert whdr_counts(prediction, swapped, ties="wrong")[0] == whdr_counts(prediction, pairs, ties="wrong")[0]
    assert 0 <= wrong <= count == 30 and ties <= count
