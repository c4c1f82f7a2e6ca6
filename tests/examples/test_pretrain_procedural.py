import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).parents[2] / "examples" / "pretrain_procedural.py"
TINY = [
    "hidden_size=32",
    "num_hidden_layers=4",
    "num_attention_heads=2",
    "intermediate_size=64",
    "backbone_out_indices=[0,1,2,3]",
    "neck_hidden_sizes=[16,24,32,40]",
    "fusion_hidden_size=16",
    "head_activation=none",
]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pretrain_procedural", SCRIPT)
    module = sys.modules["pretrain_procedural"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["pretrain_procedural"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    from open_dpt.data.procedural import write_cache

    return write_cache(tmp_path_factory.mktemp("scenes"), count=4, size=32, workers=0)


def arguments(cache, output, *extra):
    common = ["--image_size", 32, "--per_device_train_batch_size", 4, "--num_warmup_steps", 2, "--logging_steps", 1]
    model = ["--preset", "dpt-base", "--config_overrides", *TINY]
    items = ["--cache_dir", cache, "--output_dir", output, "--eval_scenes", 0, *common, *model, *extra]
    return [str(item) for item in items]


def log(output):
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def test_three_steps_make_a_model_with_its_processor(script, cache, tmp_path):
    from open_dpt import DPTForDepthEstimation, DPTImageProcessor

    schedule = ["--resolution_schedule", "16:0.5,32:0.5", "--save_dtype", "float16"]
    script.main(arguments(cache, tmp_path, "--max_train_images", 12, "--eval_scenes", 1, "--eval_steps", 2, *schedule))
    model = DPTForDepthEstimation.from_pretrained(tmp_path)
    assert next(model.parameters()).dtype == torch.float16
    assert DPTImageProcessor.from_pretrained(tmp_path).size == {"height": 32, "width": 32}
    lines = log(tmp_path)
    scored = [line for line in lines if "eval/new_types/delta1" in line]
    assert [line["step"] for line in scored] == [2, 3]
    assert 0 <= scored[-1]["eval/new_types/delta1"] <= 1
    assert "procedural scenes" in (tmp_path / "README.md").read_text()


def test_the_size_of_the_views_follows_the_schedule(script, cache, tmp_path, monkeypatch):
    sizes = []
    real = script.fit

    def fit(*args, count, **options):
        return real(*args, count=lambda batch: sizes.append(batch["labels"].shape[-1]) or count(batch), **options)

    monkeypatch.setattr(script, "fit", fit)
    script.main(arguments(cache, tmp_path, "--max_train_steps", 3, "--resolution_schedule", "16:0.5,32:0.5"))
    assert sizes == [16, 16, 32]


def test_it_continues_where_it_was_stopped_with_the_same_bits(script, cache, tmp_path):
    length = ["--checkpointing_steps", 2, "--average_last", 2, "--lr_scheduler_type", "constant"]
    script.main(arguments(cache, tmp_path / "whole", "--max_train_steps", 5, *length))
    script.main(arguments(cache, tmp_path / "parts", "--max_train_steps", 3, *length))
    assert script.main(arguments(cache, tmp_path / "parts", "--max_train_steps", 5, *length)) == 0
    states = [load_file(tmp_path / name / "step_5" / "model.safetensors") for name in ("whole", "parts")]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())
    assert [line["step"] for line in log(tmp_path / "parts") if "loss" in line] == [1, 2, 3, 4, 5]


def test_four_images_are_learned_by_heart(script, cache, tmp_path):
    still = ["--smallest_area", 1, "--colour_jitter", 0, "--learning_rate", 3e-3, "--average_last", 1]
    script.main(arguments(cache, tmp_path, "--max_train_steps", 60, "--checkpointing_steps", 1000, *still))
    losses = [line["loss"] for line in log(tmp_path) if "loss" in line]
    assert sum(losses[-5:]) / 5 < 0.5 * losses[0]


def test_live_rendering_needs_no_cache(script, tmp_path):
    items = arguments("", tmp_path, "--max_train_steps", 1, "--smallest_area", 1)
    del items[:2]
    script.main(items)
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.slow
def test_two_processes_stop_together_by_the_clock_of_one(cache, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(SCRIPT)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    words = arguments(cache, tmp_path, "--max_minutes", 0.03)
    subprocess.run([*command, *words], check=True, timeout=900, env=environment, capture_output=True)
    assert (tmp_path / "model.safetensors").is_file()
