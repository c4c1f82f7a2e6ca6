import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.evaluation.held_out import score_scenes
from open_dpt.evaluation.zero_shot import (
    DepthPair,
    constant_predictor,
    evaluate_pairs,
    mean_score,
    model_predictor,
    row_predictor,
    score_affine_aligned,
)


def test_an_affine_map_of_the_truth_is_perfect():
    depth = 1 + torch.rand(5, 7, generator=torch.Generator().manual_seed(0))
    score = score_affine_aligned(7 / depth - 3, depth, cap=10)
    assert score.abs_rel == pytest.approx(0, abs=1e-6) and score.delta1 == 1 and score.pixels == 35


def test_constant_by_hand():
    # 1/depth is 1 and 1/2, mean 3/4: both become 4/3 m. Errors 1/3 of 1 and 2/3 of 2; ratios 4/3 and 3/2.
    score = score_affine_aligned(torch.ones(1, 2), torch.tensor([[1.0, 2.0]]), cap=10)
    assert score.abs_rel == pytest.approx((1 / 3 + 1 / 3) / 2) and score.delta1 == 0


def test_the_cap_bounds_truth_and_prediction():
    # Pixels at 0 m, nan, inf and beyond 8 m do not count. The fit through (0, 1), (1, 1/4), (2, 1/4) is 7/8 - 3/8 x,
    # so 7/8, 1/2 and 1/8: the last one, 8 m, is capped at 5 m with cap 5.
    disparity = torch.tensor([[0.0, 1.0, 2.0, 9.0, 9.0, 9.0, 9.0]])
    depth = torch.tensor([[1.0, 4.0, 4.0, 0.0, torch.nan, torch.inf, 5.5]])
    score = score_affine_aligned(disparity, depth, cap=5)
    assert score.pixels == 3
    assert score.abs_rel == pytest.approx((1 / 7 + 2 / 4 + 1 / 4) / 3)
    assert score.delta1 == pytest.approx(1 / 3)  # ratios 8/7, 2, and exactly 1.25, which is not below 1.25


def test_unusable_ground_truth_is_named():
    with pytest.raises(ValueError, match="cap of 10 m"):
        score_affine_aligned(torch.ones(2, 2), torch.zeros(2, 2), cap=10)
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 3\)"):
        score_affine_aligned(torch.ones(2, 2), torch.ones(2, 3), cap=10)


def test_mean_counts_images_not_pixels():
    pairs = [
        DepthPair("small", Image.new("RGB", (2, 1)), np.array([[1.0, 2.0]]), cap=10),
        DepthPair("large", Image.new("RGB", (20, 10)), np.full((10, 20), 3.0), cap=10),
    ]
    scores = evaluate_pairs(constant_predictor, pairs)
    assert scores["large"].abs_rel == pytest.approx(0)
    assert mean_score(scores.values()).abs_rel == pytest.approx(1 / 6)
    assert mean_score(scores.values()).pixels == 202


def test_rows_explain_a_ground_plane():
    rows = np.arange(1, 11)[:, None].repeat(4, 1)
    scores = evaluate_pairs(row_predictor, [DepthPair("ground", Image.new("RGB", (4, 10)), 10 / rows, cap=80)])
    assert scores["ground"].abs_rel == pytest.approx(0, abs=1e-6)


def test_model_predictions_reach_the_size_of_the_truth(tiny_depth_folder):
    from open_dpt import DPTForDepthEstimation, DPTImageProcessor

    model = DPTForDepthEstimation.from_pretrained(tiny_depth_folder).eval()
    predict = model_predictor(model, DPTImageProcessor.from_pretrained(tiny_depth_folder))
    assert predict(Image.new("RGB", (120, 90)), (45, 61)).shape == (45, 61)


def test_scenes_score_like_photographs_and_skip_pure_sky():
    class Oracle(torch.nn.Module):
        def forward(self, images):
            return type("Output", (), {"predicted_depth": 2 * images[:, 0] + 1})

    disparities = torch.rand(5, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.1
    disparities[1] = 0
    disparities[2, 0] = 0
    score = score_scenes(Oracle(), disparities[:, None].expand(-1, 3, -1, -1), disparities, batch_size=2)
    assert score.abs_rel == pytest.approx(0, abs=1e-5) and score.pixels == 3 * 16 + 12
    with pytest.raises(ValueError, match="80"):
        score_scenes(Oracle(), torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4))
