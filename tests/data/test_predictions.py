"""predict_rows over several processes: each row once, nobody waits for ever, whatever the input shapes are."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation, DPTImageProcessor
from open_dpt.data.predictions import predict_rows
from open_dpt.data.samples import make_rows

SIZES = [(48, 64), (64, 48), (48, 64), (64, 120), (48, 64)]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Five rows of three sizes with depth and labels."""
    folder, generator = tmp_path_factory.mktemp("rows"), np.random.default_rng(0)
    columns = {"image": [], "depth": [], "label": []}
    for number, size in enumerate(SIZES):
        maps = {"image": generator.integers(0, 255, (*size, 3), dtype=np.uint8)}
        maps["depth"] = generator.integers(500, 9000, size).astype(np.uint16)
        maps["label"] = generator.integers(0, 5, size, dtype=np.uint8)
        for kind, values in maps.items():
            columns[kind].append(str(folder / f"{kind}_{number}.png"))
            Image.fromarray(values).save(columns[kind][-1])
    return make_rows({**columns, "depth_scale": 1000.0, "depth_kind": "metres", "label_rule": "as-is"})


@pytest.fixture
def model(tiny_depth_folder):
    return DPTForDepthEstimation.from_pretrained(tiny_depth_folder)


def test_rows_come_at_the_size_of_their_ground_truth(rows, model, tiny_depth_folder):
    processor = DPTImageProcessor.from_pretrained(tiny_depth_folder)
    entries = {entry.index: entry for entry in predict_rows(model, processor, rows, batch_size=2)}
    assert sorted(entries) == [0, 1, 2, 3, 4]
    assert all(entry.values.shape == entry.sample["depth"].shape == SIZES[index] for index, entry in entries.items())


def test_what_is_skipped_is_not_read(rows, model, tiny_depth_folder):
    processor = DPTImageProcessor.from_pretrained(tiny_depth_folder)
    rows = [{**row, "image": "missing.png"} if index == 1 else row for index, row in enumerate(rows)]
    assert [entry.index for entry in predict_rows(model, processor, rows, skip={1, 3})] == [0, 2, 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_unreadable": "ignore"}, "'ignore'"),
        ({"batch_size": 0}, "got 0 and None"),
        ({"limit": 0}, "got 1 and 0"),
    ],
)
def test_impossible_options_are_named(rows, model, options, message):
    with pytest.raises(ValueError, match=message):
        next(predict_rows(model, None, rows, **options))


SCRIPT = """
import json, sys
from accelerate import Accelerator
from datasets import load_from_disk
from open_dpt import DPTForDepthEstimation, DPTForSemanticSegmentation, DPTImageProcessor
from open_dpt.evaluation.validation import validate_depth, validate_segmentation
from open_dpt.training.metric_alignment import align_to_metric
accelerator, rows, results = Accelerator(cpu=True), load_from_disk(sys.argv[1]), {}
for folder, task, validate in (
    (sys.argv[2], DPTForDepthEstimation, validate_depth),
    (sys.argv[3], DPTForSemanticSegmentation, validate_segmentation),
):
    plain, processor = task.from_pretrained(folder), DPTImageProcessor.from_pretrained(folder)
    if validate is validate_depth:
        results["alignment"] = list(align_to_metric(plain, processor, rows, accelerator, journal=sys.argv[4]))
    # Under DDP the batch norms of a forward call are synchronised: all must call equally often.
    results |= validate(accelerator.prepare(plain.train()), processor, rows, accelerator, batch_size=2)
print("RESULTS" + json.dumps(results))
"""


def test_two_processes_give_the_results_of_one(rows, world, tiny_depth_folder, tiny_segmentation_folder, tmp_path):
    from open_dpt.evaluation.validation import validate_depth, validate_segmentation
    from open_dpt.training.metric_alignment import align_to_metric

    rows.save_to_disk(tmp_path / "rows")
    folders = [str(tiny_depth_folder), str(tiny_segmentation_folder)]
    found = _run_two(world, SCRIPT, str(tmp_path / "rows"), *folders, str(tmp_path / "journal"))
    assert found[0] == found[1]
    expected = {}
    for folder, task, validate in zip(
        folders,
        (DPTForDepthEstimation, DPTForSemanticSegmentation),
        (validate_depth, validate_segmentation),
        strict=True,
    ):
        model, processor = task.from_pretrained(folder), DPTImageProcessor.from_pretrained(folder)
        expected |= validate(model, processor, rows)
        if validate is validate_depth:
            alignment = found[0].pop("alignment")
            assert alignment == pytest.approx(list(align_to_metric(model, processor, rows)), rel=1e-6)
            # Continued by another number of processes: nothing is left to do, so no image is even read.
            left = [{**row, "image": "missing.png"} for row in rows]
            assert list(align_to_metric(model, processor, left, journal=tmp_path / "journal")) == alignment
    assert found[0] == pytest.approx(expected, rel=1e-6)


def _run_two(world, script: str, *arguments: str) -> list[dict]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for variables in world(2)
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs[0][1] + outputs[1][1]
    return [json.loads(output.split("RESULTS")[1]) for output, _ in outputs]
