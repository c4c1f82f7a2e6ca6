"""FSDP2 in two processes on the CPU: sharded weights, their moving average, checkpoints, the model that is saved.

accelerate offers FSDP on accelerators only, so the program below claims to run on one; all else is its real code.
"""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys, torch
from pathlib import Path
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.utils import DistributedType
from safetensors.torch import load_file

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTImageProcessor
from open_dpt.training import Plan, RunLog, Settings, fit, images_with_depth
from open_dpt.training.final import ModelWriter
from open_dpt.training.optimizers import build_optimizer, parameter_groups

folder = Path(sys.argv[1])


class Loader:
    def __init__(self, accelerator):
        self.accelerator = accelerator

    def batches(self, first=0):
        while True:
            at = first * self.accelerator.num_processes + self.accelerator.process_index
            generator = torch.Generator().manual_seed(at)
            image = torch.rand(2, 3, 32, 32, generator=generator)
            valid = torch.rand(2, 32, 32, generator=generator) < 0.5
            valid[1] &= at % 3 > 0
            yield {"pixel_values": image, "labels": image.mean(1), "valid_mask": valid}
            first += 1


def run(name, steps, sharded):
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    assert accelerator.num_processes == 2
    if sharded:
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, auto_wrap_policy="transformer_based_wrap", transformer_cls_names_to_wrap=["ViTLayer"],
            state_dict_type="SHARDED_STATE_DICT", cpu_ram_efficient_loading=False,
        )
        accelerator.state.distributed_type = DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    torch.manual_seed(0)
    model = DPTForDepthEstimation(DPTConfig.from_preset("debug")).train()
    settings = Settings(folder / name, ema_decay=0.9, checkpointing_steps=2, eval_steps=2, metric_for_best="score",
                        lr_scheduler_type="constant")
    outcome = fit(
        accelerator, model, build_optimizer(parameter_groups(model, 1e-5, 0.01)), Loader(accelerator),
        Plan(16, 2, 2, 2, steps), settings, count=images_with_depth,
        run_log=RunLog(accelerator, folder / name, "none"),
        evaluate=lambda model, step: {"score": float(step)},
        save_model=ModelWriter(accelerator, DPTImageProcessor.for_model(model)),
    )
    accelerator.wait_for_everyone()
    return load_file(folder / name / "best" / "model.safetensors")


def distance(first, second):
    return max((first[name] - second[name]).abs().max().item() for name in first)


plain = run("plain", 4, False)
whole = run("whole", 4, True)
run("parts", 2, True)
parts = run("parts", 4, True)
start = DPTForDepthEstimation.from_pretrained(folder / "whole" / "best")  # it is a model folder like any other
if PartialState().is_main_process:
    sharded = (folder / "whole" / "step_4" / "pytorch_model_fsdp_0").is_dir()
    print(json.dumps({"plain": distance(whole, plain), "parts": distance(whole, parts), "sharded": sharded}))
"""


@pytest.mark.slow
def test_sharded_weights_end_where_whole_ones_do_also_when_resumed(tmp_path):
    import json

    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", program, tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    assert result["sharded"]
    assert result["parts"] == 0
    assert result["plain"] < 1e-5
