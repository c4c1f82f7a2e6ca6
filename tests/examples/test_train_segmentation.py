"""examples/train_segmentation.py in this process, on eight pictures."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "examples" / "train_segmentation.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_segmentation", SCRIPT)
    module = sys.modules["train_segmentation"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["train_segmentation"]


@pytest.fixture
def words(eight_pictures):
    def words(output, *extra, start=("--preset", "debug")):
        data = ["--dataset_name", "folder", "--data_dir", eight_pictures, "--validation_split", "all"]
        data += ["--dataset_config", "depth_scale=1000"]  # of the depth maps that lie there too
        common = ["--image_size", 32, 48, "--per_device_train_batch_size", 4, "--output_dir", output]
        length = ["--max_train_steps", 2, "--logging_steps", 1, "--report_to", "none", "--max_eval_samples", 2]
        return [str(word) for word in (*start, *data, *common, *length, *extra)]

    return words


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_model_that_knows_its_classes(script, words, tmp_path):
    from open_dpt import DPTForSemanticSegmentation, DPTImageProcessor

    assert script.main(words(tmp_path, "--per_class", "--image_panels", 1)) == 0
    model = DPTForSemanticSegmentation.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "wall", 1: "near", 2: "far"}
    assert model.config.label2id["far"] == 2
    assert (model.config.auxiliary_loss_weight, model.config.use_auxiliary_head) == (0.2, True)
    assert DPTImageProcessor.from_pretrained(tmp_path).size == {"height": 32, "width": 48}
    assert {"eval/mean_iou", "eval/pixel_accuracy", "eval/iou/wall"} <= log(tmp_path)[-2].keys()
    assert (tmp_path / "panels" / "validation_0.png").is_file() and (tmp_path / "best" / "config.json").is_file()
    assert "It knows 3 classes" in (tmp_path / "README.md").read_text()


def test_sgd_with_the_power_schedule_and_a_faster_decoder(script, words, tmp_path):
    flags = ["--learning_rate", 0.01, "--decoder_lr_multiple", 10, "--max_train_steps", 4]
    assert script.main(words(tmp_path, *flags)) == 0
    lines = [line for line in log(tmp_path) if "loss" in line]
    rates = [0.01 * (1 - step / 4) ** 0.9 for step in range(4)]
    assert [line["encoder_learning_rate"] for line in lines] == pytest.approx(rates, rel=1e-5)
    assert [line["learning_rate"] for line in lines] == pytest.approx([10 * rate for rate in rates], rel=1e-5)


def test_from_a_depth_model_encoder_and_neck_are_used(script, words, tiny_depth_folder, tmp_path):
    from open_dpt import DPTForDepthEstimation
    from open_dpt.training.starting import start_model

    args = script.parse_args(words(tmp_path, start=("--model_name_or_path", str(tiny_depth_folder))))
    model = start_model(args, "segmentation", **script.config_values(args))
    depth = DPTForDepthEstimation.from_pretrained(tiny_depth_folder).state_dict()
    for name, tensor in model.state_dict().items():
        if name.startswith(("dpt.", "neck.")):
            assert torch.equal(tensor, depth[name]), name
    assert model.head.head[4].out_channels == 3
    assert script.train(args) == 0


def test_other_classes_get_a_new_head(script, words, tiny_segmentation_folder, tmp_path):
    assert script.main(words(tmp_path, start=("--model_name_or_path", str(tiny_segmentation_folder)))) == 0
    assert len(json.loads((tmp_path / "config.json").read_text())["id2label"]) == 3


def test_without_the_auxiliary_head(script, words, tmp_path):
    assert script.main(words(tmp_path, "--auxiliary_loss_weight", 0)) == 0
    assert json.loads((tmp_path / "config.json").read_text())["use_auxiliary_head"] is False


def test_too_few_classes_are_refused(script, words, tmp_path, capsys):
    assert script.main(words(tmp_path, "--num_labels", 2)) == 2
    assert "at least the 3 classes that the data set names, got 2" in capsys.readouterr().err
