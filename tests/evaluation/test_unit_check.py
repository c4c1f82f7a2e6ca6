import pytest
import torch

from open_dpt.evaluation.unit_check import median_ratio, unit_problem


def test_the_ratio_leaves_out_what_is_no_depth():
    prediction = torch.tensor([2.0, 4.0, 6.0, torch.nan, 0.0, -1.0, torch.inf])
    assert median_ratio(prediction, torch.full((7,), 2.0)) == 2
    assert median_ratio(prediction[3:], torch.ones(4)) is None


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1000, "predictions are about 900 times the ground truth (median of 3 images). 1000 is the factor of millim"),
        (1 / 1000, "ground truth is about 1,111 times the predictions (median of 3 images). 1000 is the factor of"),
        (256, "predictions are about 230 times the ground truth (median of 3 images). 256 is the factor of KITTI's"),
        (1 / 5000, "5000 is the factor of TUM's depth PNG"),
        (100, "100 is the factor of centimetres"),
        (25, "predictions are about 22 times the ground truth (median of 3 images). Check --prediction-scale"),
    ],
)
def test_a_wrong_unit_is_called_by_its_factor(factor, said):
    rows = [{"median_ratio": factor * model} for model in (0.7, 0.9, 1.4)] + [{"median_ratio": None}, {}]
    assert said in unit_problem(rows) and "\n" not in unit_problem(rows)


@pytest.mark.parametrize("ratio", [0.3, 1.0, 4.0])
def test_a_bad_model_is_no_wrong_unit(ratio):
    assert unit_problem([{"median_ratio": ratio}]) is None
    assert unit_problem([]) is None and unit_problem([{"median_ratio": None}]) is None
