"""Segmentation rows: what counts, what does not fit, and that they add up to the published scores."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.evaluation.aggregate import aggregate, counts
from open_dpt.evaluation.protocol import ProtocolError, load_protocol, protocol_names
from open_dpt.evaluation.score_segmentation import check_classes, score
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

CAMVID = load_protocol("camvid")
OWN = load_protocol("own-folder-labels")


def of_classes(classes, absent_class="zero"):
    return replace(CAMVID, score=replace(CAMVID.score, classes=classes, absent_class=absent_class))


def sample(labels, **more):
    return {"name": "street.png", "label": torch.tensor(labels), **more}


def test_by_hand():
    scored = score(torch.tensor([[0, 1, 1, 9]]), "labels", sample([[0, 0, 1, 255]]), of_classes(3))
    assert scored.row == {
        "status": "scored",
        "reason": None,
        "pixels": 3,
        "correct": 2,
        "confusion": [[0, 0, 1], [0, 1, 1], [1, 1, 1]],  # what is predicted at the pixel without a label is nothing
        "pixel_accuracy": 2 / 3,
        "mean_iou": 0.5,
    }
    assert scored.used.tolist() == [[True, True, True, False]]
    assert scored.prediction.dtype == torch.int64 and scored.truth.tolist() == [[0, 0, 1, 255]]


def test_an_image_without_labels_is_empty_and_leaves_the_total_alone():
    full = score(torch.tensor([[1, 1]]), "labels", sample([[1, 0]]), of_classes(2)).row
    empty = score(torch.tensor([[1, 1]]), "labels", sample([[255, 255]]), of_classes(2)).row
    assert (empty["status"], empty["reason"], empty["pixels"]) == ("empty", "no pixel has a label", 0)
    assert aggregate([full, empty], of_classes(2)) == aggregate([full], of_classes(2))
    found = counts([full, empty])
    assert (found["images"], found["empty"], found["pixels"]) == (1, 1, 2)


def _random_images(count=5, classes=6):
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        size = (7 + number, 11)
        labels = torch.randint(0, classes - 1, size, generator=generator)  # the last class is never labelled
        labels[torch.rand(size, generator=generator) < 0.3] = 255
        yield torch.randint(0, classes, size, generator=generator), labels


def test_rows_add_up_to_the_scores_of_the_whole_set(reference):
    images = list(_random_images())
    rows = [score(p, "labels", {"label": labels}, of_classes(7)).row for p, labels in images]
    metrics = SegmentationMetrics(7)
    for prediction, labels in images:
        metrics.update(prediction, labels)
    total = aggregate(rows, of_classes(7))
    for name in ("mean_iou", "mean_iou_present", "pixel_accuracy"):
        assert total[name] == pytest.approx(metrics.compute()[name], abs=1e-12)
    flat = [torch.cat([maps[k].flatten() for maps in images]).numpy()[None, None] for k in (0, 1)]
    expected = reference.segmentation_scores(flat[0], flat[1], 7, 255)
    assert {name: total[name] for name in expected} == pytest.approx(expected)
    left_out = aggregate(rows, of_classes(7, "left-out"))
    assert left_out["mean_iou"] == pytest.approx(
        total["mean_iou"] * 7 / 6
    )  # class 6 is neither labelled nor predicted


def test_the_scores_of_one_image_are_those_of_a_set_of_one():
    for prediction, labels in _random_images():
        row = score(prediction, "labels", {"label": labels}, of_classes(7)).row
        metrics = SegmentationMetrics(7)
        metrics.update(prediction, labels)
        total = metrics.compute()
        assert row["mean_iou"] == pytest.approx(total["mean_iou_present"])
        assert row["pixel_accuracy"] == pytest.approx(total["pixel_accuracy"])


def test_a_perfect_prediction_and_renamed_classes():
    (prediction, labels), protocol = next(_random_images()), of_classes(7)
    known = torch.where(labels == 255, 0, labels)
    assert score(known, "labels", {"label": labels}, protocol).row["mean_iou"] == 1
    renaming = torch.tensor([3, 0, 6, 2, 1, 5, 4])
    renamed = torch.where(labels == 255, 255, renaming[known])
    rows = [
        score(prediction, "labels", {"label": labels}, protocol).row,
        score(renaming[prediction], "labels", {"label": renamed}, protocol).row,
    ]
    assert rows[0]["mean_iou"] == pytest.approx(rows[1]["mean_iou"]) and rows[0]["correct"] == rows[1]["correct"]


def test_a_cropped_prediction_is_scored_on_the_crop():
    labels = torch.arange(20).view(4, 5) % 3
    scored = score(labels[1:3, 2:4], "labels", {"label": labels, "crop": (1, 3, 2, 4)}, of_classes(3))
    assert scored.row["pixels"] == scored.row["correct"] == 4


def test_whole_numbers_of_any_type():
    labels = torch.tensor([[0, 1]])
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert score(labels.to(dtype), "labels", {"label": labels}, of_classes(2)).row["correct"] == 2


def test_without_a_number_of_classes_any_id_counts():
    row = score(torch.tensor([[254, 3]]), "labels", sample([[254, 7]]), OWN).row
    assert row["confusion"] == [[7, 3, 1], [254, 254, 1]]
    assert aggregate([row], OWN, classes=255)["mean_iou"] == pytest.approx(1 / 3)  # 3, 7 and 254 occur


@pytest.mark.parametrize(
    ("prediction", "kind", "given", "message"),
    [
        (
            [[0, 11]],
            "labels",
            sample([[0, 0]]),
            r"ids of the prediction must be 0 to 10 for camvid, got 11\. Subtract 1",
        ),
        ([[0, -1]], "labels", sample([[0, 0]]), r"ids of the prediction must be 0 to 10 for camvid, got -1"),
        ([[0, 255]], "labels", sample([[0, 0]]), r"ids of the prediction must be 0 to 10 for camvid, got 255"),
        ([[0, 0]], "labels", sample([[0, 11]]), r"ids of the labels must be 0 to 10 .* got 11\. Check .* num_classes"),
        (
            [[0, 0]],
            "labels",
            sample([[0, 0], [0, 0]]),
            r"the size of its labels, 2 x 2, got 1 x 2\. Resize the logits",
        ),
        ([[0, 0]], "depth", sample([[0, 0]]), r"scores class ids .* got depth \(int64\)\. Name a segmentation model"),
        ([[0.0, 0.5]], "labels", sample([[0, 0]]), r"scores class ids .* got labels \(float32\)"),
        ([[0, 0]], "labels", {"name": "street.png"}, r"must have a label map to be scored, got none"),
    ],
)
def test_what_does_not_belong_together_is_told_in_one_line(prediction, kind, given, message):
    with pytest.raises(ValueError, match=rf"^street\.png: .*{message}") as error:
        score(torch.tensor(prediction), kind, given, CAMVID)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("protocol", "classes", "other"),
    [
        ("pascal-context-60", 59, "pascal-context-59"),
        ("pascal-context-59-multiscale", 60, "pascal-context-60-multiscale"),
        ("pascal-context-60-multiscale-flip", 59, "pascal-context-59-multiscale-flip"),
        ("camvid", 150, "ade20k"),
    ],
)
def test_a_model_of_other_classes_is_told_its_protocol(protocol, classes, other):
    wanted = load_protocol(protocol).score.classes
    with pytest.raises(
        ProtocolError,
        match=rf"^Intel/dpt: must have {wanted} classes for {protocol}, got {classes}\. Use --protocol {other}\.$",
    ):
        check_classes(classes, load_protocol(protocol), "Intel/dpt")


def test_classes_that_fit_or_fit_nothing():
    check_classes(59, load_protocol("pascal-context-59"), "mine")
    check_classes(7, OWN, "mine")
    with pytest.raises(ProtocolError, match=r"got 19\. Fine-tune it on this data set"):
        check_classes(19, CAMVID, "mine")


def test_the_paper_leaves_two_readings_and_both_are_there():
    for name in ("ade20k", "pascal-context-59", "pascal-context-60"):
        single, plain, mirrored = (load_protocol(name + tail) for tail in ("", "-multiscale", "-multiscale-flip"))
        assert (single.inference.scales, single.inference.size) == (None, (480, 480))
        assert single.inference.output_resize == "bicubic" and plain.inference.output_resize == "bilinear-corners"
        assert (plain.inference.flip, mirrored.inference.flip) == (False, True)
        assert plain.with_changes({"inference.flip": True}).sha256 == mirrored.sha256
        for one in (plain, mirrored):
            rule = one.inference
            assert rule.scales == (0.5, 0.75, 1.0, 1.25, 1.5, 1.75) and rule.combine == "exp-of-sum"
            assert (rule.base_size, rule.window, rule.stride) == (520, 480, 320)


def test_classes_and_images_of_the_protocols():
    found = {
        name: (protocol.score.classes, protocol.data.images, protocol.data.split, protocol.data.options)
        for name in protocol_names()
        if (protocol := load_protocol(name)).task == "segmentation" and "multiscale" not in name
    }
    assert found == {
        "ade20k": (150, 2000, "validation", {}),
        "camvid": (11, 233, "test", {}),
        "own-folder-labels": (None, None, "all", {"label_rule": "as-is"}),
        "pascal-context-59": (59, 5105, "val", {"num_classes": 59}),
        "pascal-context-60": (60, 5105, "val", {"num_classes": 60}),
    }


@pytest.mark.parametrize("name", [name for name in protocol_names() if load_protocol(name).task == "segmentation"])
def test_a_protocols_inference_can_be_run(name):
    from open_dpt.processing import MultiScale

    rule = load_protocol(name).inference
    if rule.scales is not None:
        strategy = MultiScale(rule.scales, rule.flip, rule.base_size, rule.window, rule.stride, rule.combine)
        assert strategy == MultiScale(flip=rule.flip)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    from open_dpt import DPTConfig, DPTForSemanticSegmentation, DPTImageProcessor

    torch.manual_seed(0)
    values = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    values |= {"neck_hidden_sizes": [16, 24, 32, 40], "fusion_hidden_size": 16, "backbone_out_indices": [0, 1, 2, 3]}
    config = DPTConfig(**values, image_size=64, patch_size=16, num_labels=11)
    folder = tmp_path_factory.mktemp("model")
    model = DPTForSemanticSegmentation(config).eval()
    with torch.no_grad():  # as it is initialised it says the same everywhere
        answers = model(pixel_values=torch.rand(1, 3, 64, 64) * 2 - 1).logits
        classifier, spread = model.head.head[-1], answers.std((0, 2, 3))
        classifier.bias -= answers.mean((0, 2, 3))
        classifier.weight /= spread.view(-1, 1, 1, 1)
        classifier.bias /= spread
    model.save_pretrained(folder)
    DPTImageProcessor.for_model(config).save_pretrained(folder)
    return folder


def test_a_whole_run_answers_as_the_protocol_in_numpy_does(tmp_path, model_folder):
    """The published protocol with windows of 64, not 480, from files to numbers: NumPy's answers are the truth."""
    from open_dpt import DPTForSemanticSegmentation
    from open_dpt.evaluation.adapters.loading import load_adapter
    from open_dpt.evaluation.evaluator import evaluate

    path = Path(__file__).parents[1] / "reference" / "multi_scale.py"
    spec = importlib.util.spec_from_file_location("reference_multi_scale", path)
    twin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twin)
    model = DPTForSemanticSegmentation.from_pretrained(model_folder).eval()

    def network(window):
        with torch.no_grad():
            return model(pixel_values=torch.from_numpy(window)[None].float()).logits[0].double().numpy()

    rule = load_protocol("camvid-multiscale-flip").inference
    generator = np.random.default_rng(0)
    for folder in ("test", "testannot"):
        (tmp_path / folder).mkdir()
    for number, size in enumerate(((36, 48), (40, 30), (20, 90))):
        pixels = generator.integers(0, 255, (*size, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"test/Seq_{number}.png")
        normalised = (pixels.transpose(2, 0, 1) / 255 - 0.5) / 0.5
        smaller = {"base": 69, "window": 64, "stride": 42}
        scores = twin.multi_scale_scores(
            network, normalised, [-1] * 3, scales=rule.scales, flip=rule.flip, combine=rule.combine, **smaller
        )
        labels = scores.argmax(0).astype(np.uint8)
        labels[5:] = 11 if number == 2 else labels[5:]  # void
        labels[:5] = 11
        Image.fromarray(labels).save(tmp_path / f"testannot/Seq_{number}.png")

    changes = {"inference.base_size": 69, "inference.window": 64, "inference.stride": 42}
    protocol = load_protocol("camvid-multiscale-flip").with_changes(changes)
    adapter = load_adapter(str(model_folder), "segmentation")
    result = evaluate(protocol, tmp_path, adapter, progress=False)
    assert result.metrics["pixel_accuracy"] > 0.998  # float32 against float64
    assert (result.counts["images"], result.counts["empty"]) == (2, 1)
    assert result.counts["pixels"] == 31 * 48 + 35 * 30
    for other in ({"inference.flip": False}, {"inference.scales": [1.0]}, {"inference.stride": 32}):
        assert (
            evaluate(protocol.with_changes(other), tmp_path, adapter, progress=False).metrics["pixel_accuracy"] < 0.99
        )
