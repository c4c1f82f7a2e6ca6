"""Whole runs: totals, limits, what is left out, stopping and going on, several processes, and bad requests."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.data import make_rows, read_sample
from open_dpt.data.readers import source_name
from open_dpt.evaluation.depth_metrics import image_scores
from open_dpt.evaluation.evaluator import evaluate
from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.results import Result

COUNT = 7
MM = {"depth_scale": 1000}


class Offset:
    """Answers with the true depth plus an offset that grows from image to image; stops when it is told to."""

    name, kind = "offset", "depth"

    def __init__(self, root, *, stop_at=None, kind="depth", fingerprint="sha256:1"):
        self.root, self.stop_at, self.kind, self.fingerprint = root, stop_at, kind, fingerprint
        self.asked = []

    def check(self, rows, protocol):
        self.checked = [source_name(row["image"]) for row in rows]

    def predict(self, samples, inference):
        answers = []
        for sample in samples:
            if len(self.asked) == self.stop_at:
                raise KeyboardInterrupt
            self.asked.append(sample["row_index"])
            stored = np.asarray(Image.open(self.root / "depths" / f"{sample['row_index']}.png"))
            answers.append(torch.from_numpy(stored.astype(np.float32) / 1000) + 0.1 * (1 + sample["row_index"]))
        return answers

    def describe(self):
        return {"name": self.name, "kind": self.kind, "fingerprint": self.fingerprint, "device": "cpu", "notes": []}


@pytest.fixture
def folder(tmp_path):
    """Own images/ and depths/ in millimetres, 20 x 30, with a row of missing depth."""
    root = tmp_path / "mine"
    generator = np.random.default_rng(0)
    for name in ("images", "depths"):
        (root / name).mkdir(parents=True)
    for number in range(COUNT):
        Image.fromarray(generator.integers(0, 255, (20, 30, 3)).astype(np.uint8)).save(root / f"images/{number}.png")
        depth = generator.integers(1000, 9000, (20, 30)).astype(np.uint16)
        depth[0] = 0
        Image.fromarray(depth).save(root / f"depths/{number}.png")
    return root


def run(folder, adapter=None, protocol="own-folder", **more):
    options = {"options": MM, "progress": False, "pictures": False} | more
    return evaluate(protocol, folder, adapter or Offset(folder), **options)


def test_scores_are_means_over_images(folder, tmp_path):
    result = run(folder, output=tmp_path / "out")
    scores = []
    for number in range(COUNT):
        truth = torch.from_numpy(np.asarray(Image.open(folder / f"depths/{number}.png"))[1:] / 1000)
        scores.append(image_scores(truth + 0.1 * (1 + number), truth))
    for name in ("abs_rel", "rmse", "silog", "delta1", "irmse"):
        assert result.metrics[name] == pytest.approx(np.mean([one[name] for one in scores]), rel=1e-5), name
    assert result.counts["images"] == COUNT and result.counts["pixels"] == COUNT * 19 * 30
    assert result.protocol["label"] == "own-folder v1" and result.data["options"]["depth_scale"] == 1000
    rows = result.rows.to_pylist()
    assert [row["index"] for row in rows] == list(range(COUNT))
    assert rows[2]["name"] == "images/2.png" and (rows[2]["height"], rows[2]["width"]) == (20, 30)
    loaded = Result.load(tmp_path / "out")
    assert loaded.metrics == result.metrics and loaded.rows.equals(result.rows)


def test_batches_workers_and_rows_of_ones_own_change_nothing(folder):
    expected = run(folder).metrics
    assert run(folder, batch_size=3, num_workers=1).metrics == expected
    columns = {name: [str(folder / name / f"{n}.png") for n in range(COUNT)] for name in ("images", "depths")}
    rows = make_rows({"image": columns["images"], "depth": columns["depths"], "depth_scale": 1000.0})
    result = run(folder, rows=rows, options={})
    assert result.metrics == expected and result.data["dataset"] == "own rows"
    assert run(folder, rows=list(rows.with_format(None)), options={}).metrics == expected


def test_a_limit_takes_images_from_everywhere(folder):
    adapter = Offset(folder)
    result = run(folder, adapter, limit=3)
    assert adapter.asked == [0, 2, 4] and len(adapter.checked) == 3
    assert (result.data["used"], result.data["listed"], result.data["limit"]) == (3, COUNT, 3)


def test_pictures_of_the_extremes(folder, tmp_path):
    run(folder, output=tmp_path / "out", pictures=True)
    assert {path.stem for path in (tmp_path / "out/pictures").iterdir()} == {"best-1", "median-1", "worst-1"}


def test_a_run_that_was_stopped_goes_on(folder, tmp_path):
    whole = run(folder)
    with pytest.raises(KeyboardInterrupt):
        run(folder, Offset(folder, stop_at=3), output=tmp_path / "out")
    file = tmp_path / "out/rows-0.jsonl"
    lines = file.read_text().splitlines()
    assert len(lines) == 4 and not (tmp_path / "out/result.json").exists()
    file.write_text("\n".join([*lines[:3], lines[3][:40]]))  # torn by a crash
    rest = Offset(folder)
    result = run(folder, rest, output=tmp_path / "out", batch_size=2)
    assert rest.asked == [2, 3, 4, 5, 6]
    assert result.metrics == whole.metrics and result.rows.equals(whole.rows)
    nothing = Offset(folder)
    assert run(folder, nothing, output=tmp_path / "out", limit=4).data["used"] == 4 and not nothing.asked


def test_rows_of_more_processes_are_used_and_a_torn_first_line_is_not(folder, tmp_path):
    run(folder, output=tmp_path / "out", limit=3)
    (tmp_path / "out/rows-0.jsonl").rename(tmp_path / "out/rows-5.jsonl")
    (tmp_path / "out/rows-0.jsonl").write_text('{"settings": {"prot')
    rest = Offset(folder)
    run(folder, rest, output=tmp_path / "out")
    assert rest.asked == [1, 3, 5, 6]
    again = Offset(folder)
    run(folder, again, output=tmp_path / "out")
    assert not again.asked


def test_the_same_weights_from_elsewhere_go_on(folder, tmp_path):
    class Placed(Offset):
        source = "a"

        def describe(self):
            return super().describe() | {"source": self.source}

    run(folder, Placed(folder), output=tmp_path / "out", limit=3)
    moved, unknown = Placed(folder), Placed(folder, fingerprint=None)
    moved.source = "../b"
    run(folder, moved, output=tmp_path / "out")
    assert len(moved.asked) == COUNT - 3
    run(folder, unknown, output=tmp_path / "other", limit=1)
    unknown.source = "../b"
    with pytest.raises(ValueError, match=r"""made with another model's source \(model's source "a", now "../b"\)\."""):
        run(folder, unknown, output=tmp_path / "other")


def test_files_of_a_result_do_not_become_images_or_predictions(folder, tmp_path):
    for output in (folder / "images", folder / "images/new/run"):
        with pytest.raises(
            ValueError, match=r"output must lie outside .*images, whose files are read\. Choose another"
        ):
            run(folder, output=output)
    predictions = Offset(folder)
    predictions.folder = tmp_path / "predictions"
    with pytest.raises(ValueError, match=r"output must lie outside .*predictions,"):
        run(folder, predictions, output=tmp_path / "predictions/run")
    assert not (tmp_path / "predictions").exists() and not (folder / "images/new").exists()
    assert run(folder, output=folder / "run").counts["images"] == COUNT
    assert run(folder, output=folder / "run").counts["images"] == COUNT


def test_results_of_something_else_are_not_mixed_in(folder, tmp_path):
    run(folder, output=tmp_path / "out")
    with pytest.raises(ValueError, match=r"out: holds rows made with another model's fingerprint .*--overwrite"):
        run(folder, Offset(folder, fingerprint="sha256:2"), output=tmp_path / "out")
    changed = load_protocol("own-folder").with_changes({"score.truth_range": [1, 5]})
    with pytest.raises(ValueError, match="holds rows made with another protocol, protocol's rules"):
        run(folder, protocol=changed, output=tmp_path / "out")
    other = run(folder, protocol=changed, output=tmp_path / "out", overwrite=True)
    assert other.counts["pixels"] < COUNT * 19 * 30
    assert Result.load(tmp_path / "out").metrics == other.metrics


def test_unreadable_images_are_counted_and_get_another_chance(folder, tmp_path):
    good = (folder / "images/3.png").read_bytes()
    (folder / "images/3.png").write_bytes(good[:50])
    result = run(folder, output=tmp_path / "out", batch_size=2)
    assert (result.counts["unreadable"], result.counts["images"]) == (1, COUNT - 1)
    row = result.rows.to_pylist()[3]
    assert row["status"] == "unreadable" and "3.png" in row["reason"] and "\n" not in row["reason"]
    with pytest.raises(ValueError, match=r"3\.png"):
        run(folder, on_unreadable="stop")
    (folder / "images/3.png").write_bytes(good)
    rest = Offset(folder)
    assert run(folder, rest, output=tmp_path / "out").counts["unreadable"] == 0
    assert rest.asked == [3]


def test_an_answer_that_cannot_be_read_costs_only_its_own_image(folder):
    (folder / "depths/4.png").rename(folder / "depths/gone.png")
    rows = [{"image": str(folder / f"images/{n}.png"), "depth": str(folder / "depths/0.png")} for n in range(COUNT)]
    result = run(folder, rows=[{**row, "depth_scale": 1000.0} for row in rows], options={}, batch_size=COUNT)
    assert [row["status"] for row in result.rows.to_pylist()] == ["scored"] * 4 + ["unreadable"] + ["scored"] * 2


def test_images_without_truth_are_counted_and_excluded(folder):
    Image.fromarray(np.zeros((20, 30), np.uint16)).save(folder / "depths/6.png")
    result = run(folder)
    assert (result.counts["images"], result.counts["empty"]) == (COUNT - 1, 1)
    assert result.metrics == run(folder, limit=None, rows=_rows(folder, range(6)), options={}).metrics


def _rows(folder, numbers):
    return [
        {"image": str(folder / f"images/{n}.png"), "depth": str(folder / f"depths/{n}.png"), "depth_scale": 1000.0}
        for n in numbers
    ]


def test_nothing_to_score_is_an_error_that_says_why(folder):
    beyond = load_protocol("own-folder").with_changes({"score.truth_range": [100, 200]})
    with pytest.raises(ValueError, match=r"none of 7 images .* 7 empty \(no ground truth between 100 and 200 m\)"):
        run(folder, protocol=beyond)


def test_mixed_units_are_told(folder):
    result = run(folder, options={"depth_scale": 1.0})
    assert "ground truth is about" in result.extra["warning"] and "millimetres" in result.extra["warning"]
    assert "warning" not in run(folder).extra


def test_truth_in_another_unit_stops_the_run_and_names_the_image(folder):
    rows = _rows(folder, range(3))
    rows[1]["depth_kind"] = "disparity"
    with pytest.raises(ValueError, match=r"1\.png: ground truth must be in metres, got disparity"):
        run(folder, rows=rows, options={})


def test_a_relative_model_under_a_metric_protocol(folder, tmp_path):
    with pytest.raises(ValueError, match=r"offset under own-folder v1: .* got disparity\. Use --align"):
        run(folder, Offset(folder, kind="disparity"), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_option_that_the_protocol_states_changes_it(folder):
    rows = {"depth_kind": "metres", **MM}
    assert run(folder, options=rows).protocol["label"] == "own-folder v1"
    with pytest.raises(ValueError, match="got disparity"):
        run(folder, options={**MM, "depth_kind": "disparity"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"limit": 0}, "must be 1 or more, got 1 and 0"),
        ({"on_unreadable": "never"}, "on_unreadable: must be 'stop' or 'skip', got 'never'"),
        ({"rows": [], "options": {}}, "holds no image"),
        ({"rows": iter(()), "options": {}}, "got a stream"),
        ({"rows": []}, "options: are for loading a data set, got depth_scale and rows"),
        ({"protocol": "own-foldr"}, "Did you mean 'own-folder'"),
        ({"options": {"scale": 1}}, "scale: not an option of folder"),
    ],
)
def test_requests_that_cannot_be_met(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        run(folder, **arguments)


def test_the_model_sees_the_crop_and_answers_for_it(tmp_path):
    depth = np.full((375, 1242), 2560, np.uint16)
    Image.fromarray(depth).save(tmp_path / "depth.png")
    image = np.zeros((375, 1242, 3), np.uint8)
    image[23:, 13:1229] = 200
    Image.fromarray(image).save(tmp_path / "image.png")

    class Sees(Offset):
        def predict(self, samples, inference):
            (sample,) = samples
            assert sample["image"].shape == (3, 352, 1216) and (sample["image"] == 200).all()
            assert sample["crop"] == (23, 375, 13, 1229) and sample["image_size"] == (375, 1242)
            assert inference.size == (352, 1216)
            return [torch.full((352, 1216), 11.0)]

    row = {"image": str(tmp_path / "image.png"), "depth": str(tmp_path / "depth.png"), "depth_scale": 256.0}
    result = run(tmp_path, Sees(tmp_path), protocol="kitti-eigen-garg", rows=[row], options={})
    assert result.metrics["abs_rel"] == pytest.approx(0.1) and result.counts["pixels"] == 218 * 1153
    assert read_sample(row)["depth"].shape == (375, 1242)


class Fixed(Offset):
    """One answer for all images."""

    def __init__(self, answer, kind):
        super().__init__(None, kind=kind)
        self.answer = answer

    def predict(self, samples, inference):
        return [self.answer for _ in samples]


def test_pairs_of_points(folder, tmp_path):
    disparity = torch.arange(600.0).view(20, 30)  # what is below is nearer
    rows = [{"image": str(folder / f"images/{n}.png"), "ordinal": [[0, 0, 19, 0, side]]} for n, side in PAIRS]
    more = {"rows": rows, "options": {}, "output": tmp_path / "out", "pictures": True}
    result = run(folder, Fixed(disparity, "disparity"), protocol="zero-shot-diw", **more)
    assert result.metrics == {"whdr": 0.25} and result.counts["pairs"] == 4
    assert (tmp_path / "out/pictures/worst-1.png").is_file()
    assert (
        run(folder, Fixed(-disparity, "depth"), protocol="zero-shot-diw", rows=rows, options={}).metrics["whdr"]
        == 0.25
    )


PAIRS = [(0, 1), (1, 1), (2, -1), (3, 1)]  # 1: the upper point is farther


def test_class_ids(folder, tmp_path):
    (folder / "depths").rename(folder / "masks")
    for number in range(COUNT):
        mask = np.zeros((20, 30), np.uint8)
        mask[:, 15:], mask[0] = 1, 255
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    (folder / "classes.txt").write_text("left\nright\nnowhere\n")
    answer = torch.zeros(20, 30, dtype=torch.int64)
    answer[:, 20:] = 1
    more = {"protocol": "own-folder-labels", "options": {}, "output": tmp_path / "out", "pictures": True}
    result = run(folder, Fixed(answer, "labels"), **more)
    assert result.metrics["pixel_accuracy"] == pytest.approx(25 / 30)
    assert result.metrics["mean_iou"] == pytest.approx((15 / 20 + 10 / 15) / 2)
    assert result.extra["iou_per_class"][2] == ["nowhere", None] and result.data["classes"] == 3
    assert result.confusion().sum() == COUNT * 19 * 30
    assert (tmp_path / "out/pictures/best-1.png").is_file()


TWO_PROCESSES = """
import json, os, sys
from accelerate import Accelerator
from open_dpt.evaluation.adapters.prediction_folder import PredictionFolder
from open_dpt.evaluation.evaluator import evaluate

root, predictions, out = sys.argv[1:]
accelerator = Accelerator(cpu=True)
said = {}
for name, folder in (("good", predictions), ("bad", root + "/images")):
    try:
        adapter = PredictionFolder(folder, "depth", kind="depth", prediction_scale=1000)
        if name == "bad":  # one process alone fails, while it predicts
            adapter.check = lambda rows, protocol: None
            predict = adapter.predict
            adapter.predict = lambda samples, inference: (
                [s["depth"] for s in samples] if accelerator.is_main_process else [s["depth"][:3] for s in samples]
            )
        result = evaluate("own-folder", root, adapter, output=f"{out}/{name}", accelerator=accelerator,
                          options={"depth_scale": 1000}, pictures=False, progress=False)
        said[name] = result.metrics
    except ValueError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def test_two_processes_do_every_image_once_and_fail_together(folder, world, tmp_path):
    predictions = tmp_path / "predictions"
    shutil.copytree(folder / "depths", predictions)
    Image.fromarray(np.full((20, 30), 3000, np.uint16)).save(predictions / "5.png")
    command = [sys.executable, "-c", TWO_PROCESSES, folder, predictions, tmp_path / "out"]
    processes = [
        subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True)
        for variables in world(2)
    ]
    said = [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in processes]
    assert said[0] == said[1]
    assert "prediction must be 20 x 30 as its image is, got 3 x 30" in said[0]["bad"]

    from open_dpt.evaluation.adapters.prediction_folder import PredictionFolder

    alone = run(folder, PredictionFolder(predictions, "depth", prediction_scale=1000))
    assert said[0]["good"] == alone.metrics
    files = [(tmp_path / f"out/good/rows-{rank}.jsonl").read_text().splitlines()[1:] for rank in range(2)]
    shares = [[json.loads(line)["index"] for line in lines] for lines in files]
    assert shares == [[0, 2, 4, 6], [1, 3, 5]]
