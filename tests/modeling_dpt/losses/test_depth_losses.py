"""`config.depth_loss`: from names in config.json to losses, and what all losses have in common."""

import inspect
import json

import pytest
import torch

from open_dpt import DPTConfig, DPTForDepthEstimation
from open_dpt.configuration.depth_losses import DEPTH_LOSS_OPTIONS
from open_dpt.modeling_dpt.losses import DEPTH_LOSSES, MetricDepthLoss, ScaleShiftInvariantLoss, build_depth_loss
from open_dpt.modeling_dpt.losses.silog import silog_loss

EVERY = [(kind, name) for kind, names in DEPTH_LOSS_OPTIONS.items() for name in names]


def options_of(name):
    keywords = set(inspect.signature(DEPTH_LOSSES[name]).parameters) - {"options"}
    if name == "silog":
        keywords |= {"variance_focus", "form"} & set(inspect.signature(silog_loss).parameters)
    return keywords


def test_the_configuration_knows_every_loss_and_every_option():
    assert {name for _, name in EVERY} == set(DEPTH_LOSSES)
    for kind, name in EVERY:
        assert set(DEPTH_LOSS_OPTIONS[kind][name]) == options_of(name)


def test_defaults_are_those_of_the_papers():
    relative, metric = (build_depth_loss(DPTConfig(depth_estimation_type=kind)) for kind in ("relative", "metric"))
    assert isinstance(relative, ScaleShiftInvariantLoss) and isinstance(metric, MetricDepthLoss)
    assert (relative.kind, relative.trim, relative.gradient_weight, relative.gradient_scales) == (
        "trimmed",
        0.2,
        0.5,
        4,
    )
    assert (metric.term, metric.options, metric.gradient_weight) == ("silog", {}, 0)


def test_a_model_learns_by_the_loss_of_its_config(tiny):
    depth_loss = {"name": "silog", "form": "sqrt", "variance_focus": 0.85, "gradient_weight": 0.5}
    model = DPTForDepthEstimation(tiny(depth_estimation_type="metric", depth_loss=depth_loss)).eval()
    labels = torch.rand(2, 64, 64) + 0.5
    output = model(torch.randn(2, 3, 64, 64), labels=labels)
    criterion = MetricDepthLoss("silog", form="sqrt", variance_focus=0.85, gradient_weight=0.5)
    torch.testing.assert_close(output.loss, criterion(output.predicted_depth, labels, labels > 0))


def test_it_is_saved_only_where_it_is_set(tiny, tmp_path):
    DPTForDepthEstimation(tiny()).save_pretrained(tmp_path / "plain")
    assert "depth_loss" not in json.loads((tmp_path / "plain/config.json").read_text())
    depth_loss = {"name": "ssi", "kind": "mae", "gradient_weight": 0.1, "anchor_weight": 0.1}
    DPTForDepthEstimation(tiny(depth_loss=depth_loss)).save_pretrained(tmp_path / "set")
    loaded = DPTForDepthEstimation.from_pretrained(tmp_path / "set")
    assert loaded.config.depth_loss == depth_loss and loaded.criterion.kind == "mae"


def test_the_stock_class_is_not_told(tmp_path):
    # The stock depth head is 32 wide.
    small = {"hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 1, "intermediate_size": 8}
    small |= {"neck_hidden_sizes": [4, 4, 4, 4], "fusion_hidden_size": 4, "backbone_out_indices": [0, 1, 2, 3]}
    model = DPTForDepthEstimation(DPTConfig(**small, image_size=32, depth_loss={"name": "ssi", "kind": "mse"}))
    model.to_transformers(tmp_path)
    assert "depth_loss" not in json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize(
    ("kind", "depth_loss", "message"),
    [
        ("relative", {"name": "huber"}, r"'ssi' for a relative model, got \{'name': 'huber'\}"),
        ("relative", {"name": "silog"}, "'ssi' for a relative model"),
        ("metric", {"name": "ssi"}, "'silog', 'l1', 'log_l1' for a metric model"),
        ("metric", {"kind": "mae"}, "dictionary with 'name'"),
        ("metric", "silog", "got 'silog'"),
        ("relative", {"name": "ssi", "alpha": 1}, "options of 'ssi' are kind, trim, .*, got 'alpha'"),
        ("metric", {"name": "l1", "form": "sqrt"}, "options of 'l1' are gradient_weight, gradient_scales, got 'form'"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(kind, depth_loss, message):
    with pytest.raises(ValueError, match=r"^depth_loss: .*" + message):
        DPTConfig(depth_estimation_type=kind, depth_loss=depth_loss)


def test_impossible_values_are_named_when_the_model_is_built(tiny):
    with pytest.raises(ValueError, match=r"trim: .*7"):
        DPTForDepthEstimation(tiny(depth_loss={"name": "ssi", "trim": 7}))


@pytest.mark.parametrize(("kind", "name"), EVERY)
class TestEveryLoss:
    """In a model, with everything on: gradient matching at four scales."""

    def model(self, tiny, kind, name, **values):
        values |= {"depth_scale": 0.1, "depth_shift": 0.2, "invert_depth": True} if kind == "metric" else {}
        depth_loss = {"name": name, "gradient_weight": 0.5}
        return DPTForDepthEstimation(tiny(depth_estimation_type=kind, depth_loss=depth_loss, **values)).train()

    def test_learns_from_three_percent_of_the_pixels(self, tiny, kind, name):
        model = self.model(tiny, kind, name)
        generator = torch.Generator().manual_seed(0)
        pixel_values = torch.randn(2, 3, 64, 64, generator=generator)
        smooth = torch.nn.functional.avg_pool2d(pixel_values.mean(1), 17, 1, 8)
        known = torch.rand(smooth.shape, generator=generator) < 0.03
        labels = torch.where(known, 3 + 20 * smooth, torch.nan)
        optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=3e-3)
        losses = []
        for _ in range(20):
            loss = model(pixel_values, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.8 * losses[0]

    @pytest.mark.parametrize("empty", [1, 2])
    def test_images_without_valid_pixels_leave_gradients_finite(self, tiny, kind, name, empty):
        model = self.model(tiny, kind, name).eval()
        pixel_values, labels = torch.randn(2, 3, 64, 64), torch.rand(2, 64, 64) + 0.5
        labels[:empty] = torch.nan
        loss = model(pixel_values, labels=labels).loss
        loss.backward()
        gradients = [value.grad for value in model.parameters() if value.grad is not None]
        assert gradients and all(gradient.isfinite().all() for gradient in gradients)
        if empty == 2:
            assert loss == 0 and all((gradient == 0).all() for gradient in gradients)
        else:
            torch.testing.assert_close(loss, model(pixel_values[1:], labels=labels[1:]).loss)

    def test_is_computed_in_float32_inside_autocast(self, tiny, kind, name):
        model = self.model(tiny, kind, name).eval()
        pixel_values, labels = torch.randn(2, 3, 64, 64), torch.rand(2, 64, 64) + 0.5
        exact = model(pixel_values, labels=labels).loss
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(pixel_values, labels=labels)
        output.loss.backward()
        assert output.loss.dtype == torch.float32
        torch.testing.assert_close(output.loss, exact, rtol=0.1, atol=0.02)
        again = model.criterion(output.predicted_depth.float(), labels, labels > 0)
        torch.testing.assert_close(output.loss, again, rtol=1e-6, atol=1e-7)
