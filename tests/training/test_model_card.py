import pytest
from huggingface_hub import ModelCard

from open_dpt.training.model_card import write_model_card


@pytest.fixture
def card(tmp_path):
    def write(**options):
        values = {"task": "depth", "recipe": {"learning_rate": 1e-4}, "data": ["nyuv2-labeled"], "metrics": {}}
        return ModelCard.load(write_model_card(tmp_path / "my-model", **{**values, **options}))

    (tmp_path / "my-model").mkdir()
    return write


def test_the_hub_reads_its_metadata(card):
    data = [{"name": "nyuv2-labeled", "split": "train", "images": 795, "license": "research only"}, "redweb"]
    metrics = {"val/abs_rel": 0.11, "val/delta1": 0.9, "val/broken": float("nan")}
    read = card(data=data, metrics=metrics, base_model="Intel/dpt-large", license="mit", evaluated_on="nyuv2, test")
    metadata = read.data.to_dict()
    assert (metadata["library_name"], metadata["pipeline_tag"], metadata["license"]) == (
        "open_dpt",
        "depth-estimation",
        "mit",
    )
    assert metadata["base_model"] == "Intel/dpt-large"
    assert metadata["datasets"] == ["nyuv2-labeled", "redweb"]
    assert [(result.metric_name, result.metric_value) for result in read.data.eval_results] == [
        ("val/abs_rel", 0.11),
        ("val/delta1", 0.9),
    ]
    assert read.data.model_name == "my-model"
    assert "- nyuv2-labeled: train, 795 images, licence: research only" in read.text
    assert "| val/abs_rel | 0.11 |" in read.text


def test_nothing_of_the_machine_is_told(card):
    places = {"data_dir": "/data/alice", "model_name_or_path": "/data/alice/start", "dataset_config": ["a", "/data/b"]}
    read = card(recipe={"learning_rate": 0.1, "hub_token": "secret", **places}, base_model="/data/alice/start")
    assert "/data" not in read.content
    assert "secret" not in read.content
    assert "Started from start." in read.text
    assert "learning_rate: 0.1" in read.text


def test_what_is_unknown_is_said(card):
    read = card()
    assert read.data.license == "unknown"
    for sentence in ("Not stated by whoever trained it", "Started from random weights.", "Not evaluated."):
        assert sentence in read.text


def test_unknown_task(card):
    with pytest.raises(ValueError, match="task: must be one of depth, segmentation, got 'flow'"):
        card(task="flow")
