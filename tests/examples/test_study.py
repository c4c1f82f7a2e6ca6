"""The studies: a family of tiny models trained, scored and reported; and one model at several resolutions."""

import importlib.util
import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 24, 32, 40],
    "fusion_hidden_size": 16,
    "head_activation": "none",
}
NAMES = ("pretrain_procedural", "evaluate_zero_shot", "study_report", "study", "study_resolution")


@pytest.fixture(scope="module")
def scripts():
    """The scripts by name; they import each other by their names, as when they are run."""
    modules = {}
    for name in NAMES:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        modules[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    yield modules
    for name in NAMES:
        del sys.modules[name]


@pytest.fixture
def study(scripts):
    return scripts["study"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    from open_dpt.data.procedural import write_cache

    return write_cache(tmp_path_factory.mktemp("study") / "scenes", count=4, size=32, workers=0)


@pytest.fixture
def family(tmp_path):
    """Writes a study of two steps; keyword arguments change it."""

    def write(**changes) -> Path:
        training = {"preset": "dpt-base", "image_size": 32, "max_train_steps": 2, "per_device_train_batch_size": 2}
        members = {"ignore": {"readout_type": "ignore"}, "both words": {"readout_type": "add"}}
        values = {
            "title": "Readout",
            "table": 7,
            "scenes": {"count": 4, "size": 32},
            "held_out_scenes": 2,
            "training": training | {"num_warmup_steps": 1, "average_last": 1, "checkpointing_steps": 1},
            "config": TINY,
            "members": members,
        } | changes
        path = tmp_path / "family.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        return path

    return write


def run(script, *words):
    return script.main([str(word) for word in words])


def forbid_training(scripts, monkeypatch):
    def train(args):
        raise AssertionError("trained again")

    monkeypatch.setattr(scripts["pretrain_procedural"], "train", train)


def test_a_family_is_trained_scored_and_drawn_once(scripts, study, family, scenes, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    words = [family(), "--output_dir", tmp_path / "out", "--scenes", scenes, "--seeds", 0, 1, "--debug"]
    assert run(study, *words) == 0
    result = json.loads((tmp_path / "out" / "study.json").read_text())
    assert [(row["member"], row.get("seed")) for row in result["rows"]] == [
        ("a constant", None),
        ("row coordinate", None),
        ("ignore", 0),
        ("both words", 0),
        ("ignore", 1),
        ("both words", 1),
    ]
    row = result["rows"][2]
    assert row["mean/abs_rel"] == pytest.approx((row["new_seeds/abs_rel"] + row["new_types/abs_rel"]) / 2, abs=1e-4)
    assert row["parameters"] > 0 and row["training"]["images"] == 4
    config = json.loads((tmp_path / "out" / "both_words-seed1" / "config.json").read_text())
    assert config["readout_type"] == "add"
    table = (tmp_path / "out" / "study.md").read_text()
    assert "| both words |" in table and "0, 1" in table and "table 7" in table and "Smallest mean AbsRel" in table
    assert (tmp_path / "out" / "study.png").stat().st_size > 1000

    forbid_training(scripts, monkeypatch)
    assert run(study, *words) == 0  # what is finished is scored, not trained
    assert json.loads((tmp_path / "out" / "study.json").read_text())["rows"] == result["rows"]
    other = [family(members={"the same": {"readout_type": "ignore"}}), "--output_dir", tmp_path / "other"]
    assert run(study, *other, "--scenes", scenes, "--reuse", tmp_path / "out", "--debug") == 0
    assert (
        json.loads((tmp_path / "other" / "study.json").read_text())["rows"][2]["mean/abs_rel"] == row["mean/abs_rel"]
    )
    changed = [family(config=TINY | {"fusion_hidden_size": 8}), *words[1:-1]]
    assert run(study, *changed) == 1  # never mixed with what was trained with other settings
    assert "holds a run with other settings" in capsys.readouterr().err


def test_real_pairs_are_scored_where_they_are_given(scripts, study, family, scenes, tiny_depth_folder, tmp_path):
    data = tmp_path / "real"
    for image, depth, units, _ in scripts["evaluate_zero_shot"].PAIRS:
        image, depth = (data / name if Path(name).suffix else data / name / "0.png" for name in (image, depth))
        for path in (image, depth):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(image)
        metres = np.repeat(8 / np.arange(1, 31)[:, None], 40, 1)  # a plane: disparity is the row
        Image.fromarray((metres * units).astype(np.uint16)).save(depth)
    words = ["--output_dir", tmp_path / "out", "--scenes", scenes, "--data", data, "--debug"]
    assert run(study, family(members={"only": {}}), *words) == 0
    _, row, only = json.loads((tmp_path / "out" / "study.json").read_text())["rows"]
    assert row["real/abs_rel"] < 0.01 < only["real/abs_rel"]
    words = ["--models", f"a={tiny_depth_folder}", "--sizes", 64, "--scenes", 0, "--data", data]
    assert run(scripts["study_resolution"], *words, "--output_dir", tmp_path) == 0
    assert json.loads((tmp_path / "resolution.json").read_text())["a"]["change"] == {"real": {"64": 0}}


def test_a_member_that_fails_is_named_and_the_others_are_there(study, family, scenes, tmp_path, capsys):
    members = {"broken": {"readout_type": "cat"}, "fine": {}}
    words = ["--output_dir", tmp_path / "out", "--scenes", scenes]
    assert run(study, family(members=members), *words) == 1
    result = json.loads((tmp_path / "out" / "study.json").read_text())
    assert "readout_type" in result["failed"]["broken, seed 0"] and "'cat'" in result["failed"]["broken, seed 0"]
    assert result["rows"][-1]["member"] == "fine"
    assert "Failed: broken, seed 0: readout_type" in capsys.readouterr().out


def test_a_wrong_flag_of_the_training_fails_with_its_name(study, family, scenes, tmp_path):
    path = family(training={"preset": "dpt-base", "max_train_step": 2}, members={"only": {}})
    assert run(study, path, "--output_dir", tmp_path / "out", "--scenes", scenes) == 1
    failed = json.loads((tmp_path / "out" / "study.json").read_text())["failed"]
    assert "max_train_step" in failed["only, seed 0"] and "max_train_steps" in failed["only, seed 0"]


def test_a_run_that_was_stopped_continues_from_its_checkpoint(
    scripts, study, family, scenes, tmp_path, monkeypatch, capsys
):
    pretrain = scripts["pretrain_procedural"]
    real, length = pretrain.fit, []

    def stopped(*args, **options):
        def before_step(fraction):
            if fraction > 0:
                os.kill(os.getpid(), signal.SIGTERM)

        return real(*args, **options | {"before_step": before_step})

    monkeypatch.setattr(pretrain, "fit", stopped)
    words = [family(), "--output_dir", tmp_path / "out", "--scenes", scenes, "--debug"]
    path = family(training=yaml.safe_load(words[0].read_text())["training"] | {"max_train_steps": 4})
    assert run(study, path, *words[1:]) == 0
    result = json.loads((tmp_path / "out" / "study.json").read_text())
    assert result["missing"] == ["ignore, seed 0", "both words, seed 0"]
    assert "The same command continues" in capsys.readouterr().err

    def counted(*args, **options):
        return real(*args, **options | {"before_step": length.append})

    monkeypatch.setattr(pretrain, "fit", counted)
    assert run(study, path, *words[1:]) == 0
    assert len(json.loads((tmp_path / "out" / "study.json").read_text())["rows"]) == 4
    assert length[0] == pytest.approx(0.5) and len(length) == 2 + 4


def test_no_member_is_started_after_the_minutes(study, family, scenes, tmp_path):
    words = ["--output_dir", tmp_path / "out", "--scenes", scenes, "--max_minutes", 0]
    assert run(study, family(), *words) == 0
    table = (tmp_path / "out" / "study.md").read_text()
    assert "Not trained yet: ignore, seed 0; both words, seed 0." in table and "Nothing is trained yet" in table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"member": {}}, r"'member' is not a key of a study. Did you mean members"),
        ({"members": {}}, "needs a title and members"),
        ({"members": ["ignore"]}, "members must be a mapping"),
        ({"members": {"a": "ignore"}}, "member 'a' must be a mapping of DPTConfig keys"),
    ],
)
def test_a_study_that_cannot_be_is_refused_with_its_file(study, family, tmp_path, capsys, changes, message):
    assert run(study, family(**changes), "--output_dir", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "family.yaml" in error and re.search(message, error) and len(error.splitlines()) == 1


def test_the_spread_decides_what_is_set_apart(scripts):
    report = scripts["study_report"]
    rows = [
        {"member": name, "seed": seed, "parameters": 1.0, "mean/abs_rel": value}
        for name, values in {"a": (0.20, 0.22), "b": (0.225, 0.225), "c": (0.30, 0.30)}.items()
        for seed, value in enumerate(values)
    ]
    members = report.summary(rows)
    assert members["a"]["scores"]["mean/abs_rel"] == pytest.approx({"mean": 0.21, "spread": 0.01})
    assert report.verdict(members).endswith("not set apart from it by more than that: b.")
    assert "One seed only, so even less sure: c." in report.verdict(report.summary(rows[:-1]))
    assert "nothing is known about chance" in report.verdict(report.summary(rows[::2]))


@pytest.mark.parametrize("path", sorted((EXAMPLES / "studies").glob("[!_]*.yaml")), ids=lambda path: path.stem)
def test_the_members_of_our_studies_are_models_of_one_size(study, path):
    from open_dpt import DPTConfig, DPTForDepthEstimation

    family = study.read_study(path)
    size = family.training["image_size"]
    with torch.device("meta"):
        for member in family.members:
            overrides = family.settings(member, 0)["config_overrides"]
            config = DPTConfig.from_preset(family.training["preset"], image_size=size, **overrides)
            parameters = sum(each.numel() for each in DPTForDepthEstimation(config).parameters())
            assert 3e6 < parameters < 5e6, member


def test_the_error_at_two_resolutions_is_put_beside_that_of_training(scripts, tiny_depth_folder, tmp_path):
    pytest.importorskip("matplotlib")
    models = ["--models", f"twice={tiny_depth_folder}", f"twice={tiny_depth_folder}", f"once={tiny_depth_folder}"]
    words = [*models, "--sizes", 32, 96, "--scenes", 2, "--render_size", 64, "--output_dir", tmp_path]
    assert run(scripts["study_resolution"], *words) == 0
    result = json.loads((tmp_path / "resolution.json").read_text())
    assert result["once"]["trained_at"] == 64 and len(result["twice"]["errors"]["scenes"]) == 2
    errors, change = result["once"]["errors"]["scenes"][0], result["once"]["change"]["scenes"]
    assert change["64"] == 0 and set(change) == {"32", "64", "96"}
    assert change["96"] == pytest.approx(100 * (errors["96"] - errors["64"]) / errors["64"])
    assert change == pytest.approx(result["twice"]["change"]["scenes"])
    assert "| 64 | **" in (tmp_path / "resolution.md").read_text()
    assert (tmp_path / "resolution.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--models", "folder"], "must be LABEL=FOLDER, got 'folder'"),
        (["--models", "a={tiny}", "--sizes", "40"], "must be multiples of 16"),
        (["--models", "a={tiny}", "--scenes", "0"], "nothing to score on"),
    ],
)
def test_a_resolution_study_that_cannot_be_is_refused(scripts, tiny_depth_folder, tmp_path, capsys, words, message):
    words = [word.format(tiny=tiny_depth_folder) for word in words]
    defaults = ["--scenes", 1, "--render_size", 32, "--output_dir", tmp_path / "out"]
    assert run(scripts["study_resolution"], *defaults, *words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
