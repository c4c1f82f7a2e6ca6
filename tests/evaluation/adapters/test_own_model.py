"""Our own models under a protocol's inference rule."""

import json

import pytest
import torch
import torch.nn.functional as F

import open_dpt
from open_dpt.evaluation.adapters.base import AdapterError
from open_dpt.evaluation.adapters.own_model import OwnModel
from open_dpt.evaluation.protocol import load_protocol
from open_dpt.modeling_dpt.fingerprint import fingerprint
from open_dpt.processing.multi_scale import MultiScale, segment_image
from open_dpt.processing.resize import target_size


@pytest.fixture
def depth_model(tiny_depth_folder):
    return _loaded(open_dpt.DPTForDepthEstimation, tiny_depth_folder)


@pytest.fixture
def segmentation_model(tiny_segmentation_folder):
    return _loaded(open_dpt.DPTForSemanticSegmentation, tiny_segmentation_folder)


def _loaded(model_class, folder) -> OwnModel:
    model, processor = model_class.from_pretrained(folder), open_dpt.DPTImageProcessor.from_pretrained(folder)
    return OwnModel(model, processor, name="tiny")


def _input_sizes(adapter: OwnModel) -> list[tuple[int, ...]]:
    """Shapes that the network sees from now on."""
    seen: list[tuple[int, ...]] = []

    def note(module, arguments, keywords):
        seen.append(tuple(keywords["pixel_values"].shape))

    adapter.model.register_forward_pre_hook(note, with_kwargs=True)
    return seen


@pytest.mark.parametrize("method", ["minimal", "lower_bound", "upper_bound"])
def test_the_network_sees_the_size_of_the_rule(depth_model, rule, sample, method):
    seen = _input_sizes(depth_model)
    depth_model.predict([sample(60, 110)], rule(size=(96, 128), resize_method=method))
    expected = target_size(60, 110, (96, 128), method=method, multiple_of=32)
    assert seen == [(1, 3, *expected)]


def test_without_a_size_the_processor_stays_as_it_is(depth_model, rule):
    assert depth_model.processor_for(rule()) is depth_model.processor


def test_the_rule_resizes_as_the_authors_do_and_leaves_the_processor_alone(depth_model, rule):
    depth_model.processor.antialias = True
    before = depth_model.describe()
    processor = depth_model.processor_for(rule(size=(96, 128), keep_aspect_ratio=False))
    assert (processor.antialias, processor.resample, processor.ensure_multiple_of) == (False, 3, 32)
    assert processor.geometry(50, 300).output == (96, 128)
    assert depth_model.describe() == before


def test_an_encoder_of_another_stride_gets_multiples_of_its_own(rule):
    config = open_dpt.DPTConfig(
        backbone_config={"model_type": "dinov2", "hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2,
                         "image_size": 56, "patch_size": 14, "out_indices": [1, 2, 3, 4],
                         "reshape_hidden_states": False},
        patch_size=14, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
    )  # fmt: skip
    adapter = OwnModel(
        open_dpt.DPTForDepthEstimation(config), open_dpt.DPTImageProcessor.for_model(config), name="dinov2"
    )
    assert adapter.processor_for(rule(size=(480, 640))).geometry(480, 640).output == (476, 644)


def test_a_fixed_grid_keeps_its_own_rule_and_says_so(rule):
    config = open_dpt.DPTConfig(
        backbone_config={"model_type": "swinv2", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1],
                         "window_size": 2, "image_size": 64, "out_indices": [1, 2, 3, 4]},
        neck_hidden_sizes=[8, 16, 32, 64], fusion_hidden_size=8, readout_type="ignore",
    )  # fmt: skip
    processor = open_dpt.DPTImageProcessor.for_model(config)
    adapter = OwnModel(open_dpt.DPTForDepthEstimation(config), processor, name="swin")
    assert adapter.processor_for(rule(size=(480, 640))) is processor
    assert adapter.describe()["notes"] == ["a swinv2 encoder keeps its processor's size and resize rule"]


def test_answers_do_not_depend_on_the_batch_and_keep_their_order(depth_model, rule, sample):
    samples = [sample(60, 80, 1), sample(64, 64, 2), sample(60, 80, 3), sample(90, 50, 4)]
    together = depth_model.predict(samples, rule(size=(96, 128)))
    assert [answer.shape for answer in together] == [one["image"].shape[-2:] for one in samples]
    for one, answer in zip(samples, together, strict=True):
        (alone,) = depth_model.predict([one], rule(size=(96, 128)))
        assert alone.std() > 0
        torch.testing.assert_close(answer, alone, rtol=1e-4, atol=1e-5 * alone.abs().max().item())


def test_flip_is_the_mean_with_the_mirrored_prediction_of_the_mirrored_image(depth_model, rule, sample):
    one = sample(60, 80)
    mirrored = {**one, "image": one["image"].flip(-1)}
    plain = rule(size=(96, 128), output_resize="bilinear")
    straight, reverse = depth_model.predict([one, mirrored], plain)
    (flipped,) = depth_model.predict([one], rule(size=(96, 128), output_resize="bilinear", flip=True))
    assert not torch.allclose(straight, reverse.flip(-1), rtol=1e-3)
    torch.testing.assert_close(flipped, (straight + reverse.flip(-1)) / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        ("bicubic", {"mode": "bicubic", "align_corners": False}),
        ("bilinear", {"mode": "bilinear", "align_corners": False}),
        ("bilinear-corners", {"mode": "bilinear", "align_corners": True}),
    ],
)
def test_output_resize(depth_model, rule, sample, mode, options):
    one = sample(75, 100)
    chosen = rule(size=(96, 128), output_resize=mode)
    pixels = depth_model.processor_for(chosen)(one["image"], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        network = depth_model.model.eval()(pixels).predicted_depth[:, None]
    expected = F.interpolate(network, size=(75, 100), **options)[0, 0].clamp(network.min(), network.max())
    torch.testing.assert_close(depth_model.predict([one], chosen)[0], expected)


def test_kinds(depth_model, segmentation_model, tiny_metric_folder):
    metric = _loaded(open_dpt.DPTForDepthEstimation, tiny_metric_folder)
    assert (depth_model.kind, metric.kind, segmentation_model.kind) == ("disparity", "depth", "labels")
    given = OwnModel(depth_model.model, depth_model.processor, name="tiny", kind="depth")
    assert given.describe()["notes"] == ["kind was given as depth; the checkpoint says disparity"]
    with pytest.raises(AdapterError, match=r"tiny: for segmentation, the kind .* labels .*; got 'depth'"):
        OwnModel(segmentation_model.model, segmentation_model.processor, name="tiny", kind="depth")


def test_segmentation_at_one_size_and_at_several(segmentation_model, rule, sample):
    samples = [sample(60, 80, 1), sample(50, 50, 2)]
    single = segmentation_model.predict(samples, rule(size=(64, 64)))
    assert [(one.dtype, tuple(one.shape)) for one in single] == [(torch.int64, (60, 80)), (torch.int64, (50, 50))]
    several = rule(scales=(0.5, 1.0), base_size=80, window=64, stride=32, combine="mean-probability", flip=True)
    strategy = MultiScale((0.5, 1.0), True, 80, 64, 32, "mean-probability")
    answers = segmentation_model.predict(samples, several)
    for one, answer in zip(samples, answers, strict=True):
        expected = segment_image(segmentation_model.model, segmentation_model.processor, one["image"], strategy)
        assert (answer == expected).float().mean() > 0.999  # ties may fall otherwise in another batch
    assert (answers[0] != single[0]).any()


def test_the_number_of_classes_must_be_that_of_the_protocol(segmentation_model):
    with pytest.raises(ValueError, match="tiny: must have 150 classes for ade20k, got 5"):
        segmentation_model.check([], load_protocol("ade20k"))


def test_the_description_tells_what_answers_depend_on(depth_model):
    described = json.loads(json.dumps(depth_model.describe()))
    assert described["fingerprint"] == fingerprint(depth_model.model)
    assert described["processor"]["size"] == {"height": 64, "width": 64}
    assert (described["dtype"], described["device"]) == ("float32", "cpu")
    assert described["uses_protocol_inference"] is True
    with torch.no_grad():
        next(depth_model.model.parameters()).add_(1)
    assert depth_model.describe()["fingerprint"] != described["fingerprint"]
