"""DPTForDepthEstimation: sizes, units, losses, errors."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from open_dpt import DPTConfig, DPTForDepthEstimation
from open_dpt.modeling_dpt.losses import ScaleShiftInvariantLoss, silog_loss

SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 8}
SMALL |= {"neck_hidden_sizes": [4, 4, 4, 4], "fusion_hidden_size": 4, "head_hidden_size": 2, "num_hidden_layers": 4}


@settings(max_examples=12, deadline=None)
@given(
    patch=st.sampled_from([8, 14, 16]),
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    grid=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    readout=st.sampled_from(["ignore", "add", "project"]),
)
def test_output_is_as_large_as_the_input(patch, rows, columns, grid, readout):
    config = DPTConfig(
        **SMALL,
        patch_size=patch,
        image_size=[grid[0] * patch, grid[1] * patch],
        backbone_out_indices=[0, 1, 2, 3],
        readout_type=readout,
    )
    with torch.no_grad():
        output = DPTForDepthEstimation(config).eval()(torch.randn(1, 3, rows * patch, columns * patch))
    assert output.predicted_depth.shape == (1, rows * patch, columns * patch)
    assert output.predicted_depth.isfinite().all()


def test_not_square_is_not_scrambled(tiny):
    """64 x 256 has as many tokens as 128 x 128: a change on the left must show on the left."""
    model = DPTForDepthEstimation(tiny(head_activation="none")).eval()
    pixel_values = torch.randn(1, 3, 64, 256)
    changed = pixel_values.clone()
    changed[..., :32] += 3
    with torch.no_grad():
        change = (model(changed).predicted_depth - model(pixel_values).predicted_depth).abs()[0]
    assert change[:, :32].mean() > 5 * change[:, 128:].mean()


def test_a_batch_is_its_images_one_by_one(tiny):
    model, images = DPTForDepthEstimation(tiny()).eval(), torch.randn(3, 3, 48, 80)
    with torch.no_grad():
        one_by_one = torch.cat([model(image[None]).predicted_depth for image in images])
        torch.testing.assert_close(model(images).predicted_depth, one_by_one, rtol=1e-4, atol=1e-5)


class TestUnits:
    def heads(self, tiny, **values):
        plain = DPTForDepthEstimation(tiny(head_activation="none")).eval()
        other = DPTForDepthEstimation(tiny(**{"head_activation": "none", **values})).eval()
        other.load_state_dict(plain.state_dict())
        pixel_values = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            return plain(pixel_values).predicted_depth, other(pixel_values).predicted_depth

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"head_activation": "relu"}, lambda net: net.relu()),
            ({"head_activation": "sigmoid", "max_depth": 80}, lambda net: 80 * net.sigmoid()),
            ({"depth_scale": 2.0, "depth_shift": 0.5}, lambda net: 2 * net + 0.5),
            (
                {"depth_scale": 0.000305, "depth_shift": 0.1378, "invert_depth": True},
                lambda net: 1 / (0.000305 * net + 0.1378),
            ),
        ],
        ids=["relu", "sigmoid", "affine", "inverse"],
    )
    def test_by_formula(self, tiny, values, expected):
        net, got = self.heads(tiny, depth_estimation_type="metric", **values)
        torch.testing.assert_close(got, expected(net))

    def test_inversion_never_divides_by_zero(self, tiny):
        values = {"depth_scale": 1.0, "depth_shift": -1e4, "invert_depth": True}
        _, got = self.heads(tiny, depth_estimation_type="metric", **values)
        torch.testing.assert_close(got, torch.full_like(got, 1e8))

    def test_max_depth_is_the_farthest_answer_and_no_dead_end(self, tiny):
        values = {"depth_scale": 1.0, "depth_shift": -1e4, "invert_depth": True, "depth_estimation_type": "metric"}
        _, got = self.heads(tiny, **values, max_depth=10.0)
        torch.testing.assert_close(got, torch.full_like(got, 10.0))
        head = DPTForDepthEstimation(tiny(head_activation="none", **values, max_depth=10.0)).head
        raw = torch.tensor([9.5e3, 1e4, 1e4 + 0.5], requires_grad=True)  # 0.5 below, at and above 1 / infinity
        depth = head._to_unit(raw)
        depth.log().sum().backward()
        torch.testing.assert_close(depth, torch.tensor([10.0, 10.0, 2.0]))
        # d ln(depth) / d raw = -depth, below the limit as if it were there: too far is pulled nearer.
        torch.testing.assert_close(raw.grad, torch.tensor([-10.0, -10.0, -2.0]))

    def test_metric_constants_survive_half_precision(self, tiny):
        values = {"depth_estimation_type": "metric", "depth_scale": 6e-5, "depth_shift": 0.00579, "invert_depth": True}
        model = DPTForDepthEstimation(tiny(**values)).eval()
        pixel_values = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            full = model(pixel_values).predicted_depth
            half = model.to(torch.bfloat16)(pixel_values.bfloat16()).predicted_depth
        torch.testing.assert_close(half.float(), full, rtol=2e-2, atol=0)


class TestLoss:
    def prediction_and_loss(self, model, labels, valid_mask=None):
        output = model(torch.randn(2, 3, 64, 64), labels=labels, valid_mask=valid_mask)
        return output.predicted_depth, output.loss

    def test_relative_models_learn_up_to_scale_and_shift(self, tiny):
        labels = torch.rand(2, 64, 64) + 0.1
        prediction, loss = self.prediction_and_loss(DPTForDepthEstimation(tiny()), labels)
        expected = ScaleShiftInvariantLoss(kind="trimmed", gradient_weight=0.5)(prediction, labels, labels > 0)
        torch.testing.assert_close(loss, expected)

    def test_metric_models_learn_metres(self, tiny):
        labels = torch.rand(2, 64, 64) + 0.1
        model = DPTForDepthEstimation(tiny(depth_estimation_type="metric"))
        prediction, loss = self.prediction_and_loss(model, labels)
        torch.testing.assert_close(loss, silog_loss(prediction, labels, labels > 0))

    @pytest.mark.parametrize("unknown", [0.0, -1.0, float("nan"), float("inf")])
    @pytest.mark.parametrize("kind", ["relative", "metric"])
    def test_unknown_pixels_do_not_count(self, tiny, unknown, kind):
        model = DPTForDepthEstimation(tiny(depth_estimation_type=kind)).eval()
        pixel_values, labels = torch.randn(1, 3, 64, 64), torch.rand(1, 64, 64) + 0.1
        mask = torch.rand(1, 64, 64) > 0.3
        by_mask = model(pixel_values, labels=labels, valid_mask=mask).loss
        by_value = model(pixel_values, labels=labels.masked_fill(~mask, unknown)).loss
        torch.testing.assert_close(by_value, by_mask)
        model(pixel_values, labels=labels.masked_fill(~mask, unknown)).loss.backward()
        assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)

    @pytest.mark.parametrize("kind", ["relative", "metric"])
    def test_nothing_known_costs_nothing(self, tiny, kind):
        model = DPTForDepthEstimation(tiny(depth_estimation_type=kind))
        _, loss = self.prediction_and_loss(model, torch.zeros(2, 64, 64))
        loss.backward()
        assert loss == 0
        assert all((value.grad == 0).all() for value in model.parameters() if value.grad is not None)

    def test_a_few_steps_reduce_it(self, tiny):
        model = DPTForDepthEstimation(tiny()).train()
        optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=3e-3)
        pixel_values = torch.randn(2, 3, 64, 64)
        labels = torch.nn.functional.avg_pool2d(pixel_values.mean(1), 9, 1, 4) + 1
        losses = []
        for _ in range(25):
            loss = model(pixel_values, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.7 * losses[0]


def test_head_and_loss_follow_a_changed_configuration(tiny):
    model = DPTForDepthEstimation(tiny(head_activation="none")).eval()
    pixel_values = torch.randn(1, 3, 64, 64)
    before = model(pixel_values).predicted_depth
    model.config.update({"depth_estimation_type": "metric", "depth_scale": 2.0, "depth_shift": 50.0})
    model.config.depth_loss = {"name": "l1"}
    model.configuration_changed()
    after = model(pixel_values, labels=torch.ones(1, 64, 64))
    torch.testing.assert_close(after.predicted_depth, 2 * before + 50)
    torch.testing.assert_close(after.loss, (after.predicted_depth - 1).abs().mean())
    model.config.depth_scale, model.config.invert_depth = 0.0, True
    with pytest.raises(ValueError, match=r"depth_scale: must be positive .*0\.0"):
        model.configuration_changed()


class TestErrors:
    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((1, 3, 50, 70), r"multiples of 16, got 50 x 70\. Resize to 48 x 64"),
            ((1, 3, 64, 5), r"multiples of 16, got 64 x 5\. Resize to 64 x 16"),
            ((1, 3, 0, 64), r"multiples of 16, got 0 x 64\. Resize to 16 x 64"),
            ((1, 4, 64, 64), r"\(batch, 3, height, width\), got \(1, 4, 64, 64\)"),
            ((3, 64, 64), r"\(batch, 3, height, width\), got \(3, 64, 64\)"),
        ],
    )
    def test_pixel_values_of_another_shape(self, tiny, shape, message):
        with pytest.raises(ValueError, match=r"^pixel_values: .*" + message):
            DPTForDepthEstimation(tiny())(torch.zeros(shape))

    def test_pixel_values_that_are_no_normalised_tensor(self, tiny):
        model = DPTForDepthEstimation(tiny())
        with pytest.raises(TypeError, match=r"^pixel_values: .*uint8"):
            model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
        with pytest.raises(TypeError, match=r"^pixel_values: .*list"):
            model([[0.0]])

    def test_targets_of_another_size(self, tiny):
        model, pixel_values = DPTForDepthEstimation(tiny()), torch.zeros(1, 3, 64, 64)
        with pytest.raises(ValueError, match=r"^labels: .*\(1, 64, 64\), got \(1, 32, 32\)"):
            model(pixel_values, labels=torch.ones(1, 32, 32))
        with pytest.raises(ValueError, match=r"^valid_mask: .*\(1, 64, 64\), got \(64, 64\)"):
            model(pixel_values, labels=torch.ones(1, 64, 64), valid_mask=torch.ones(64, 64))
        with pytest.raises(ValueError, match=r"^valid_mask: needs labels"):
            model(pixel_values, valid_mask=torch.ones(1, 64, 64))
        with pytest.raises(TypeError, match=r"^labels: .*ndarray"):
            model(pixel_values, labels=torch.ones(1, 64, 64).numpy())
