"""examples/train_depth.py in this process, on eight pictures."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[2] / "examples" / "train_depth.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_depth", SCRIPT)
    module = sys.modules["train_depth"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["train_depth"]


@pytest.fixture
def run(script, eight_pictures):
    """Two steps of the debug model: status = run(output_dir, flags ...)."""

    def run(output, *extra, start=("--preset", "debug"), data=None):
        data = data or [
            "--dataset_name",
            "folder",
            "--data_dir",
            eight_pictures,
            "--dataset_config",
            "depth_scale=1000",
        ]
        words = [*start, *data, "--image_size", 32, 48, "--per_device_train_batch_size", 2, "--output_dir", output]
        words += ["--max_train_steps", 2, "--logging_steps", 1, "--report_to", "none", *extra]
        return script.main([str(word) for word in words])

    return run


@pytest.fixture
def validation(eight_pictures):
    options = ["--validation_split", "all", "--max_eval_samples", 2, "--image_panels", 1]
    return [*options, "--eval_steps", 1, "--max_depth", 10]


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_relative_model_with_all_that_belongs_to_it(run, validation, tmp_path):
    from open_dpt import DPTForDepthEstimation, DPTImageProcessor

    assert run(tmp_path, *validation, "--metric_for_best=-aligned/abs_rel") == 0
    model = DPTForDepthEstimation.from_pretrained(tmp_path)
    assert model.config.depth_estimation_type == "relative"
    assert DPTImageProcessor.from_pretrained(tmp_path).size == {"height": 32, "width": 48}
    DPTForDepthEstimation.from_pretrained(tmp_path / "best")
    scored = [line["eval/aligned/abs_rel"] for line in log(tmp_path) if "eval/aligned/abs_rel" in line]
    assert len(scored) == 2
    assert json.loads((tmp_path / "results.json").read_text())["aligned/abs_rel"] == scored[-1]
    assert json.loads((tmp_path / "best" / "results.json").read_text())["aligned/abs_rel"] == min(scored)
    card = (tmp_path / "README.md").read_text()
    assert "disparity up to scale and shift" in card and "aligned/abs_rel" in card and "empty_images" not in card
    assert (tmp_path / "panels" / "validation_0.png").is_file()


def test_the_recipe_that_is_saved_gives_the_same_model(run, script, tmp_path):
    run(tmp_path / "first", "--ema_decay", 0.9, "--flip", 0.3, "--loss", "ssi", "--loss_options", "kind=mae")
    words = ["--recipe", tmp_path / "first" / "recipe.yaml", "--output_dir", tmp_path / "second"]
    assert script.main([str(word) for word in words]) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    config = json.loads((tmp_path / "second" / "config.json").read_text())
    assert config["depth_loss"] == {"name": "ssi", "kind": "mae"}


def test_metres_from_random_weights(run, validation, tmp_path):
    assert run(tmp_path, *validation, "--depth_estimation_type", "metric", "--loss", "l1") == 0
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["head_activation"], config["max_depth"], config["depth_loss"]) == ("sigmoid", 10.0, {"name": "l1"})
    assert any("eval/abs_rel" in line for line in log(tmp_path))


def test_metres_from_a_relative_model_and_on_from_there(run, validation, tiny_depth_folder, tmp_path, capsys):
    flags = [*validation, "--align_first", "--loss", "silog", "--max_train_steps"]
    start = ("--model_name_or_path", tiny_depth_folder)
    assert run(tmp_path, *flags, 1, start=start) == 0
    assert "aligned" in capsys.readouterr().out
    first = json.loads((tmp_path / "config.json").read_text())
    assert (first["depth_estimation_type"], first["invert_depth"], first["max_depth"]) == ("metric", True, 10.0)
    assert first["depth_loss"] == {"name": "silog"}
    assert run(tmp_path, *flags, 3, start=start) == 0
    second = json.loads((tmp_path / "config.json").read_text())
    assert (first["depth_scale"], first["depth_shift"]) == (second["depth_scale"], second["depth_shift"])
    assert "resumed" in json.dumps(log(tmp_path))


def test_several_data_sets(run, eight_pictures, tmp_path):
    names = ["--dataset_name", "folder", "folder", "--data_dir", eight_pictures, eight_pictures]
    assert run(tmp_path, data=[*names, "--dataset_config", "depth_scale=1000"]) == 0
    assert run(tmp_path / "odd", data=names[:-1]) == 2


def test_the_best_model_can_be_the_final_one(run, validation, tmp_path):
    run(
        tmp_path, *validation, "--metric_for_best=-aligned/abs_rel", "--load_best_model_at_end", "--max_train_steps", 3
    )
    final, best = (load_file(folder / "model.safetensors") for folder in (tmp_path, tmp_path / "best"))
    assert all(torch.equal(tensor, best[name]) for name, tensor in final.items())


def test_a_dry_run_tells_and_writes_nothing(run, tmp_path, capsys):
    assert run(tmp_path / "runs", "--dry_run", "--ema_decay", 0.9, "--gradient_accumulation_steps", 3) == 0
    text = capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    for part in (
        "learning_rate: 0.0001",
        "8 samples; 6 images a step = 2 x 1 process x 3",
        "average 0.00",
        "one step: ",
    ):
        assert part in text
    assert "pixel_values (2, 3, 32, 48)" in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--encoder_name_or_path", "x"], "model: give exactly one of"),
        (["--dataset_name", "kity"], "data set: must be one of"),
        (["--data_dir", "no_such_folder"], "no_such_folder"),
        (["--dataset_config", "depthscale=1"], "depthscale: not an option of folder"),
        (["--dataset_config", "depth_scale"], "dataset_config: must be KEY=VALUE, got 'depth_scale'"),
        (["--preset", "dpt-huge"], "preset: unknown name 'dpt-huge'"),
        (["--loss", "l2"], "depth_loss: must be"),
        (["--image_size", "1", "2", "3"], "image_size: must be one positive number or height and width"),
        (["--image_size", "30"], "image_size: must be a multiple of patch_size=16, got [30, 30]"),
        (["--max_train_steps", "0"], "length of training: must be positive"),
        (["--total_train_batch_size", "3"], "per_device_train_batch_size: 3 images a step are asked for"),
        (["--report_to", "tensorbord"], "report_to: must be some of"),
        (["--resume_from_checkpoint", "no_such_step"], "no_such_step"),
        (["--mixed_precision", "fp16"], "fp16"),
        (["--sync_batch_norm"], "sync_batch_norm: works on GPUs only"),
        (["--ema_decay", "1"], "ema_decay: must be between 0 and 1"),
    ],
)
def test_bad_requests_get_one_line(run, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.chdir(tmp_path)
    if "fp16" in flags and torch.cuda.is_available():
        pytest.skip("this machine can do fp16")
    assert run(tmp_path / "runs", *flags) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1] and not any("Traceback" in line for line in lines)
    assert not list(tmp_path.glob("runs/step_*"))


def test_processes_that_do_not_know_of_each_other_are_stopped(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run(tmp_path) == 2
    assert "ACCELERATE_USE_CPU" in capsys.readouterr().err


@pytest.fixture
def hub(monkeypatch):
    from functools import partial

    import huggingface_hub

    spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).parents[1] / "hub_server.py")
    module = sys.modules["hub_server"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with module.HubServer() as server:
        client = partial(huggingface_hub.HfApi, endpoint=server.url)
        monkeypatch.setattr("open_dpt.training.final.HfApi", client)
        yield server


def test_the_final_model_is_pushed_without_its_checkpoints(run, hub, tmp_path, capsys):
    assert run(tmp_path, "--push_to_hub", "--hub_model_id", "tester/mine", "--hub_token", hub.write_token) == 0
    repository = hub.repositories["tester/mine"]
    files = repository.commits[repository.branches["main"]]
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "README.md", "recipe.yaml"} <= set(files)
    assert not any(name.startswith(("step_", "log")) for name in files)
    assert hub.write_token.encode() not in b"".join(files.values())
    assert "pushed to " in capsys.readouterr().out
    assert run(tmp_path, "--push_to_hub", "--hub_model_id", "tester/mine", "--hub_token", "wrong") == 2
    assert "tester/mine: not pushed" in capsys.readouterr().err
