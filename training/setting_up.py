"""Before the first step: processes, precision, and how many images make a step."""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from .checkpoints import read_manifest, resumable, whole_checkpoints
from .optimizers import build_optimizer, parameter_groups
from .plan import Plan, make_plan


def make_accelerator(args: argparse.Namespace) -> Accelerator:
    """Join the other processes, and seed what is not a function of the step: new weights.

    Raises:
        ValueError: the device cannot do this --mixed_precision, or the processes do not know of each other.
    """
    accelerator = Accelerator(mixed_precision=args.mixed_precision, project_dir=args.output_dir)
    launched = int(os.environ.get("WORLD_SIZE", 1))
    if launched != accelerator.num_processes:  # each would train alone and write over the others
        raise ValueError(
            f"processes: {launched} were launched, but accelerate joins {accelerator.num_processes}. Without GPUs set "
            "ACCELERATE_USE_CPU=true."
        )
    set_seed(args.seed)
    return accelerator


def plan_run(args: argparse.Namespace, accelerator: Accelerator, samples: int) -> Plan:
    """The plan, with the images in a step of the run that is resumed; tells the accelerator about the accumulation.

    Raises:
        ValueError: see `make_plan`; or two kinds of average are asked for, or one that sharded checkpoints cannot do.
    """
    accelerator.wait_for_everyone()
    choice = args.resume_from_checkpoint
    folders = whole_checkpoints(args.output_dir)[::-1] if choice == "latest" else resumable(args.output_dir, choice)
    resumed = read_manifest(folders[0]) if folders else {}
    plan = make_plan(args, samples, accelerator.num_processes, resumed.get("total_batch"))
    if resumed and resumed.get("processes") != plan.processes:
        accelerator.print(
            f"resumed with {plan.processes} instead of {resumed.get('processes')} processes: "
            f"{plan.accumulation} batches are accumulated, so that a step keeps its {plan.total_batch} images"
        )
    if args.ema_decay and args.average_last > 1:
        raise ValueError(f"average_last: not together with ema_decay, got {args.average_last}. Leave one out.")
    is_sharded = str(accelerator.distributed_type).rsplit(".", 1)[-1] in ("FSDP", "DEEPSPEED")
    if is_sharded and args.average_last > 1:
        raise ValueError("average_last: checkpoints of FSDP and DeepSpeed are sharded. Use --ema_decay instead.")
    accelerator.gradient_accumulation_steps = plan.accumulation
    plugin = accelerator.state.deepspeed_plugin
    if plugin is not None:  # it reads these when the model is prepared
        plugin.deepspeed_config |= {
            "train_micro_batch_size_per_gpu": plan.batch_size,
            "gradient_accumulation_steps": plan.accumulation,
            "train_batch_size": plan.total_batch,
            "gradient_clipping": args.max_grad_norm or 0.0,
        }
    return plan


def make_optimizer(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the flags: encoder at its own rate, neck and head at --decoder_lr_multiple times theirs."""
    model.train()  # marks the parameters that no output depends on
    encoder = args.learning_rate if args.encoder_learning_rate is None else args.encoder_learning_rate
    groups = parameter_groups(model, args.learning_rate * args.decoder_lr_multiple, args.weight_decay, encoder)
    betas = (args.adam_beta1, args.adam_beta2)
    return build_optimizer(groups, args.optimizer, betas=betas, momentum=args.momentum)


def samples_to_evaluate(args: argparse.Namespace, accelerator: Accelerator, rows: Any) -> int:
    """Of the validation set, on this process."""
    return min(len(rows), args.max_eval_samples or len(rows)) // accelerator.num_processes


def tracker_names(args: argparse.Namespace) -> list[str] | None:
    """What --report_to and --with_tracking mean for `RunLog`."""
    return args.report_to if args.with_tracking else ["none"]


def loader_options(args: argparse.Namespace, accelerator: Accelerator) -> dict[str, Any]:
    """Keyword arguments of `TrainingLoader` that follow from the flags."""
    return {
        "batch_size": args.per_device_train_batch_size,
        "seed": args.seed,
        "rank": accelerator.process_index,
        "world_size": accelerator.num_processes,
        "num_workers": args.dataloader_num_workers,
        "on_unreadable": args.on_unreadable,
        "max_unreadable": args.max_unreadable,
    }


def name_of_start(args: argparse.Namespace) -> str | None:
    """For people: what the weights came from; None for random ones."""
    name = args.model_name_or_path or args.encoder_name_or_path
    return Path(name).name if name and Path(name).exists() else name
