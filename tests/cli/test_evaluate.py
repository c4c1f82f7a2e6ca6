"""`open-dpt evaluate` from the command line: what it prints and writes, what it refuses, and in which words."""

import json

import numpy as np
import pytest
from PIL import Image

from open_dpt.cli.main import main
from open_dpt.evaluation.protocol import protocol_names
from open_dpt.evaluation.results import Result

SIZE = (30, 40)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mine(tmp_path):
    """mine/images, mine/depths and predictions/ of metres * 1000, the last 10 percent too far."""
    generator = np.random.default_rng(0)
    for folder in ("mine/images", "mine/depths", "predictions"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(3):
        image = generator.integers(0, 255, (*SIZE, 3)).astype(np.uint8)
        depth = generator.integers(1000, 5000, SIZE).astype(np.uint16)
        Image.fromarray(image).save(tmp_path / f"mine/images/{number}.png")
        Image.fromarray(depth).save(tmp_path / f"mine/depths/{number}.png")
        Image.fromarray((depth * 1.1).astype(np.uint16)).save(tmp_path / f"predictions/{number}.png")
    return tmp_path


def evaluate(*words):
    return main(["evaluate", *map(str, words)])


def on_predictions(*words, protocol="own-folder", scale=1000):
    scales = ("--prediction-scale", scale) if scale else ()
    common = ("--data", "mine", "--model", "predictions", "--option", "depth_scale=1000", "--device", "cpu")
    return evaluate("--protocol", protocol, *common, *scales, *words)


def test_every_protocol_is_listed(capsys):
    assert evaluate("--list") == 0
    listed = [line.split(" v")[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == protocol_names()


def test_every_rule_of_one_is_shown(capsys):
    assert evaluate("--show", "kitti-eigen-garg") == 0
    shown = capsys.readouterr().out
    for rule in ("window: garg", "grid: image", "quantisation: {scale: 256.0}", "size: [352, 1216]", "sha256: "):
        assert rule in shown


def test_predictions_of_another_program(mine, capsys):
    assert on_predictions("--output", "out") == 0
    printed = capsys.readouterr().out
    assert "own-folder v1" in printed and "predictions" in printed and "0.100" in printed
    assert "images: 3 scored of 3 used of 3" in printed and "pixels: 3,600" in printed
    result = Result.load(mine / "out")
    assert result.metrics["abs_rel"] == pytest.approx(0.1, abs=1e-3)
    assert len(list((mine / "out/pictures").glob("*.png"))) == 3
    assert str(mine) not in json.dumps(result.rows.to_pylist())


def test_without_output_the_folder_is_named_after_protocol_and_model(mine):
    assert on_predictions() == 0
    assert (mine / "open_dpt_output/own-folder/predictions/result.json").is_file()


def test_the_bundled_model_is_aligned(mine, capsys):
    words = ("--data", "mine", "--option", "depth_scale=1000", "--device", "cpu", "--limit", 2, "--batch-size", 2)
    assert evaluate("--protocol", "own-folder-aligned", *words, "--output", "out") == 0
    assert "images: 2 scored of 2 used of 3" in capsys.readouterr().out
    assert all(row["scale"] is not None for row in Result.load(mine / "out").rows.to_pylist())


def test_changes_are_part_of_the_name(mine, capsys):
    changes = ("--change", "score.truth_range=[0.001, 3]", "--change", "score.prediction_range=[0.001, 3]")
    assert on_predictions(*changes, "--align", "median", "--output", "out") == 0
    label = Result.load(mine / "out").protocol["label"]
    assert label.startswith(
        "own-folder v1 with alignment=median, score.prediction_range=[0.001, 3], score.truth_range"
    )
    assert label in capsys.readouterr().out


def test_another_split_is_part_of_the_name(mine):
    (mine / "mine/val").mkdir()
    for folder in ("images", "depths"):
        (mine / "mine" / folder).rename(mine / "mine/val" / folder)
    assert on_predictions("--split", "val", "--output", "out") == 0
    assert Result.load(mine / "out").protocol["label"] == "own-folder v1 with data.split=val"


def test_an_unreadable_image_is_named_and_the_exit_status_tells(mine, capsys):
    (mine / "mine/images/1.png").write_bytes(b"no image")
    assert on_predictions("--output", "out") == 1
    said = capsys.readouterr()
    assert "2 scored of 3 used of 3, 1 unreadable" in said.out
    assert "left out:" in said.err and "1.png" in said.err


def test_a_second_run_has_nothing_to_do_and_another_model_is_refused(mine, capsys):
    assert on_predictions("--output", "out") == 0
    rows = (mine / "out/rows-0.jsonl").read_bytes()
    assert on_predictions("--output", "out") == 0
    assert (mine / "out/rows-0.jsonl").read_bytes() == rows
    Image.fromarray(np.full(SIZE, 2000, np.uint16)).save(mine / "predictions/0.png")
    assert on_predictions("--output", "out") == 2
    assert "holds rows made with another model's fingerprint" in capsys.readouterr().err
    assert on_predictions("--output", "out", "--overwrite") == 0


def test_bad_predictions_are_counted(mine, capsys):
    values = np.full(SIZE, 3.0, np.float32)
    values[0, :5], values[1, :4], values[2, :3] = np.nan, -1, np.inf
    (mine / "predictions/0.png").unlink()
    np.save(mine / "predictions/0.npy", values)
    assert on_predictions("--kind", "depth", "--output", "out") == 0
    assert "predictions among them: 5 NaN, 4 not positive, 3 infinite" in capsys.readouterr().out


def test_units_that_were_mixed_up(mine, capsys):
    assert on_predictions("--output", "out", scale=1) == 0
    assert "millimetres" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--protocol: is needed"),
        (("--protocol", "nyu-eigen"), "--data: is needed"),
        (("--protocol", "nyu-egen", "--data", "mine"), "Did you mean 'nyu-eigen'"),
        (("--show", "nyu"), "nothing is called 'nyu'"),
        (("--protocol", "nyu-eigen", "--data", "mine", "--align", "best"), "alignment must be one of none, median"),
        (("--protocol", "nyu-eigen", "--data", "mine", "--change", "score.crop=x"), "score.crop is no key"),
        (("--protocol", "nyu-eigen", "--data", "mine", "--device", "cpu"), "Use --align least-squares-disparity"),
        (("--protocol", "zero-shot-kitti", "--data", "mine", "--device", "cpu"), "no drive with raw images found"),
        (("--protocol", "zero-shot-kitti", "--data", "nowhere", "--device", "cpu"), "nowhere"),
    ],
)
def test_requests_that_cannot_be_met(mine, capsys, words, message):
    assert evaluate(*words) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and said.startswith("open-dpt evaluate: ")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "predictions/2.png").unlink(), "1 of 3 images have no prediction"),
        (
            lambda root: Image.fromarray(np.full((10, 40), 9, np.uint16)).save(root / "predictions/2.png"),
            "2.png: prediction must be 30 x 40 as its image is, got 10 x 40",
        ),
        (
            lambda root: [
                Image.fromarray(np.zeros(SIZE, np.uint16)).save(path) for path in (root / "mine/depths").iterdir()
            ],
            "none of 3 images could be scored: 3 empty (ground truth has no known pixel)",
        ),
        (lambda root: (root / "mine/depths/0.png").unlink(), "0.png"),
    ],
)
def test_bad_input_is_told_in_one_line(mine, capsys, spoil, message):
    spoil(mine)
    assert on_predictions("--output", "out") == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_stopping_says_how_to_go_on(mine, capsys, monkeypatch):
    from open_dpt.evaluation.adapters.prediction_folder import PredictionFolder

    predict, asked = PredictionFolder.predict, []

    def stops(self, samples, inference=None):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(samples)
        return predict(self, samples, inference)

    monkeypatch.setattr(PredictionFolder, "predict", stops)
    assert on_predictions("--output", "out") == 130
    assert "out: keeps what is finished; the same command continues" in capsys.readouterr().err
    monkeypatch.setattr(PredictionFolder, "predict", predict)
    assert on_predictions("--output", "out") == 0
    assert len((mine / "out/rows-0.jsonl").read_text().splitlines()) == 4
