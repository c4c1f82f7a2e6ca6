"""Whole runs over the predictions that the field's reference evaluator has scored."""

import json
from pathlib import Path

import pytest

from open_dpt.evaluation.adapters.prediction_folder import PredictionFolder
from open_dpt.evaluation.evaluator import evaluate
from open_dpt.evaluation.protocol import load_protocol

SHARED = Path(__file__).parents[3] / "shared"


@pytest.mark.parametrize(("name", "protocol"), [("nyu", "nyu-eigen"), ("kitti", "kitti-eigen-garg")])
def test_the_reference_evaluators_numbers_to_five_digits(name, protocol):
    golden, real = SHARED / "golden" / "metrics", SHARED / "real" / name
    if not golden.is_dir() or not real.is_dir():
        pytest.skip(
            "the reference predictions and their images are not here (../shared/golden/metrics, ../shared/real)"
        )
    # The images are not those of the test split; every other rule is the protocol's.
    changed = load_protocol(protocol).with_changes({"data.split": "all"})
    adapter = PredictionFolder(golden / name / "pred", "depth", prediction_scale=changed.quantisation.scale)
    result = evaluate(changed, real, adapter, progress=False)
    expected = json.loads((golden / "expected.json").read_text())[name]
    del expected["protocol"]
    assert len(expected) == 9 and result.counts["images"] == 3
    for metric, value in expected.items():
        assert result.metrics[metric] == pytest.approx(value, abs=1e-5), metric
