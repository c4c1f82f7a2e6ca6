"""Train a relative depth model from scratch on procedural scenes.

    python -m open_dpt.data.procedural.cache --output scenes --count 20000
    python examples/train_depth.py --cache_dir scenes --output_dir runs/tiny --max_train_images 150000

Without --cache_dir the scenes are rendered while training, which is meant for a GPU. Start the same command again
after an interruption and it continues. `accelerate launch` runs it on several devices.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from open_dpt import DPTConfig, DPTForDepthEstimation, DPTImageProcessor
from open_dpt.data.batches import BatchPlan, augmentation_draws
from open_dpt.data.procedural import HELD_OUT_SEED, CachedScenes, render_batch
from open_dpt.data.procedural.augmentation import DRAWS, normalise, random_views
from open_dpt.evaluation.held_out import HeldOutScenes
from open_dpt.modeling_dpt.losses import ScaleShiftInvariantLoss
from open_dpt.training import (
    SCHEDULES,
    Progress,
    StopRequest,
    as_main_process_sees,
    average_weights,
    build_optimizer,
    checkpoints,
    find_checkpoint,
    learning_rate_factor,
    parameter_groups,
    parse_resolution_schedule,
    save_checkpoint,
    set_learning_rate,
    size_at,
)

MAX_SKIPPED = 100  # steps without a finite gradient before training gives up


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_argument_group("model")
    model.add_argument("--preset", default="dpt-tiny", help="Name in open_dpt.configuration.presets.")
    model.add_argument(
        "--config_overrides", nargs="*", default=[], metavar="KEY=JSON", help="fusion_hidden_size=48 ..."
    )
    model.add_argument("--model_name_or_path", help="Start from these weights instead of random ones.")
    model.add_argument("--attn_implementation", default="eager", help="eager is the fastest one on a CPU.")
    model.add_argument("--channels_last", action="store_true")
    data = parser.add_argument_group("data")
    data.add_argument("--cache_dir", help="Folder written by open_dpt.data.procedural.cache; rendered live if absent.")
    data.add_argument("--image_size", type=int, default=192, help="Side of the scenes, and the model's image_size.")
    data.add_argument("--resolution_schedule", help="SIZE:PART,... e.g. 128:0.75,192:0.25; image_size if absent.")
    data.add_argument("--smallest_area", type=float, default=0.4, help="Smallest part of an image that a crop covers.")
    data.add_argument("--colour_jitter", type=float, default=1.0, help="Strength; 0 switches it off.")
    data.add_argument("--dataloader_num_workers", type=int, default=0)
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", default="mae", choices=["trimmed", "mae", "mse"], help="The paper's is trimmed.")
    loss.add_argument("--trim", type=float, default=0.2, help="Part that 'trimmed' leaves out.")
    loss.add_argument("--gradient_weight", type=float, default=0.1, help="The paper's is 0.5.")
    loss.add_argument("--anchor_weight", type=float, default=0.1, help="Holds the free scale; 0 for a trained model.")
    length = parser.add_argument_group("length, whichever ends first")
    length.add_argument("--max_train_images", type=int)
    length.add_argument("--max_train_steps", type=int)
    length.add_argument(
        "--max_minutes", type=float, help="Of training, summed over resumed runs; drives schedules too."
    )
    optimum = parser.add_argument_group("optimisation")
    optimum.add_argument("--per_device_train_batch_size", type=int, default=16)
    optimum.add_argument("--learning_rate", type=float, default=8e-4)
    optimum.add_argument("--encoder_learning_rate", type=float, help="learning_rate if absent.")
    optimum.add_argument("--lr_scheduler_type", default="cosine", choices=sorted(SCHEDULES))
    optimum.add_argument("--num_warmup_steps", type=int, default=300)
    optimum.add_argument("--weight_decay", type=float, default=0.05)
    optimum.add_argument("--max_grad_norm", type=float, default=1.0)
    optimum.add_argument("--mixed_precision", default="no", choices=["no", "bf16", "fp16"])
    optimum.add_argument("--seed", type=int, default=0)
    output = parser.add_argument_group("output")
    output.add_argument("--output_dir", required=True)
    output.add_argument("--checkpointing_steps", type=int, default=1000)
    output.add_argument("--checkpointing_minutes", type=float, help="Also write a checkpoint this often.")
    output.add_argument("--checkpoints_total_limit", type=int, help="Keep the last ones only; average_last if absent.")
    output.add_argument("--average_last", type=int, default=5, help="The model is the mean of so many checkpoints.")
    output.add_argument("--resume_from_checkpoint", default="latest", help="latest, none, or a checkpoint folder.")
    output.add_argument("--eval_every_steps", type=int, default=1000)
    output.add_argument("--eval_scenes", type=int, default=64, help="Held-out scenes of each kind; 0 for none.")
    output.add_argument("--logging_steps", type=int, default=20)
    output.add_argument("--report_to", help="tensorboard, wandb, ...; log.jsonl is always written.")
    output.add_argument("--save_dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    return parser.parse_args(arguments)


def build_model(args: argparse.Namespace) -> DPTForDepthEstimation:
    if args.model_name_or_path:
        model = DPTForDepthEstimation.from_pretrained(args.model_name_or_path)
    else:
        overrides = {"image_size": args.image_size}
        for item in args.config_overrides:
            key, _, value = item.partition("=")
            try:
                overrides[key] = json.loads(value)
            except json.JSONDecodeError:
                overrides[key] = value
        model = DPTForDepthEstimation(DPTConfig.from_preset(args.preset, **overrides))
    model.set_attn_implementation(args.attn_implementation)
    return model.to(memory_format=torch.channels_last) if args.channels_last else model


def training_batches(args: argparse.Namespace, accelerator: Accelerator, first_step: int):
    """Endless (images uint8 (B, 3, H, W), disparities (B, H, W)), a function of the seed and the step alone."""
    batch, rank, world = args.per_device_train_batch_size, accelerator.process_index, accelerator.num_processes
    if args.cache_dir:
        scenes = CachedScenes(args.cache_dir)
        plan = BatchPlan([len(scenes)], batch, args.seed, first_step, rank, world)
        indices = ([draw.index for draw in draws] for draws in plan)
        for sample in DataLoader(scenes, batch_sampler=indices, num_workers=args.dataloader_num_workers):
            yield sample["image"].to(accelerator.device), sample["disparity"].to(accelerator.device)
    step = first_step
    while True:
        first = args.seed * 50_000_000 + (step * world + rank) * batch
        seeds = [seed % HELD_OUT_SEED for seed in range(first, first + batch)]
        yield render_batch(seeds, (args.image_size, args.image_size), accelerator.device)
        step += 1


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision, log_with=args.report_to, project_dir=args.output_dir
    )
    set_seed(args.seed)
    output_dir = Path(args.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    if args.report_to:
        plain = {key: value for key, value in vars(args).items() if isinstance(value, (int, float, str))}
        accelerator.init_trackers("train_depth", plain)

    batch_size = args.per_device_train_batch_size * accelerator.num_processes
    limits = [args.max_train_steps, args.max_train_images and math.ceil(args.max_train_images / batch_size)]
    progress = Progress(min((limit for limit in limits if limit), default=None), args.max_minutes)
    sizes = parse_resolution_schedule(args.resolution_schedule or f"{args.image_size}:1")

    model = build_model(args).train()  # marks the parameters no output depends on, before DDP counts them
    groups = parameter_groups(model, args.learning_rate, args.weight_decay, args.encoder_learning_rate)
    peaks = [group["lr"] for group in groups]
    criterion = ScaleShiftInvariantLoss(
        args.loss, args.gradient_weight, anchor_weight=args.anchor_weight, trim=args.trim
    )
    model, optimizer = accelerator.prepare(model, build_optimizer(groups))
    accelerator.register_for_checkpointing(progress)
    if args.resume_from_checkpoint != "none":
        checkpoint = find_checkpoint(output_dir, args.resume_from_checkpoint)
        if checkpoint:
            accelerator.load_state(str(checkpoint))
            accelerator.print(f"resumed from {checkpoint} at step {progress.step}")

    held_out = HeldOutScenes(args.eval_scenes * accelerator.is_main_process, args.image_size, accelerator.device)
    device, stop, skipped, seen, losses = accelerator.device, StopRequest(), 0, 0, []
    bar = tqdm(total=progress.max_steps, initial=progress.step, disable=not accelerator.is_local_main_process)

    def log(values: dict) -> None:
        if accelerator.is_main_process:
            line = {"step": progress.step, "images": progress.step * batch_size, "minutes": round(progress.minutes, 2)}
            with open(output_dir / "log.jsonl", "a") as file:
                file.write(json.dumps(line | values) + "\n")
        accelerator.log({key: value for key, value in values.items() if value is not None}, step=progress.step)

    def save() -> None:
        keep = max(args.checkpoints_total_limit or args.average_last, args.average_last)
        save_checkpoint(accelerator, output_dir, progress.step, keep)

    model.train()
    window_start = last_checkpoint = time.monotonic()
    for images, disparities in training_batches(args, accelerator, progress.step):
        late = args.checkpointing_minutes and time.monotonic() - last_checkpoint > 60 * args.checkpointing_minutes
        fraction, stopping, late = as_main_process_sees(progress.fraction, bool(stop), bool(late), device=device)
        if late:
            save()
            last_checkpoint = time.monotonic()
        if stopping or fraction >= 1:
            break
        size = size_at(sizes, fraction)
        first = (progress.step * accelerator.num_processes + accelerator.process_index) * len(images)
        draws = augmentation_draws(args.seed, range(first, first + len(images)), DRAWS)
        views, targets = random_views(
            images, disparities, size, draws, smallest_area=args.smallest_area, colour=args.colour_jitter
        )
        pixel_values = normalise(views)
        if args.channels_last:
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
        factor = learning_rate_factor(args.lr_scheduler_type, fraction, progress.step, args.num_warmup_steps)
        set_learning_rate(optimizer, peaks, factor)
        # Rendered disparity is exact everywhere; the sky's 0 is a value like any other.
        loss = criterion(model(pixel_values).predicted_depth, targets, torch.ones_like(targets, dtype=torch.bool))
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
        if torch.isfinite(norm) or args.mixed_precision == "fp16":  # fp16: the loss scaler skips such steps itself
            optimizer.step()
            skipped = 0
        else:
            skipped += 1
            if skipped == MAX_SKIPPED:
                raise FloatingPointError(
                    f"training: {skipped} steps in a row had no finite gradient. Lower --learning_rate."
                )
        optimizer.zero_grad()
        progress.step += 1
        seen += batch_size
        losses.append(loss.detach())
        bar.update()

        if progress.step % args.logging_steps == 0:
            rate = seen / (time.monotonic() - window_start)
            mean = torch.stack(losses).mean().item()
            log({"loss": round(mean, 5), "learning_rate": factor * peaks[-1], "size": size, "images_per_second": rate})
            bar.set_postfix(loss=f"{mean:.4f}", size=size, images_per_s=f"{rate:.1f}")
            window_start, seen, losses = time.monotonic(), 0, []
        if progress.step % args.eval_every_steps == 0 and accelerator.is_main_process and args.eval_scenes:
            results = held_out.score(accelerator.unwrap_model(model))
            log(results)
            tqdm.write(f"step {progress.step}: {results}")
        if progress.step % args.checkpointing_steps == 0:
            save()
            last_checkpoint = time.monotonic()

    bar.close()
    if f"step_{progress.step}" not in [folder.name for folder in checkpoints(output_dir)]:
        save()
    if fraction < 1:
        accelerator.print(f"stopped at step {progress.step}; the same command continues")
        return
    if accelerator.is_main_process:
        trained = accelerator.unwrap_model(model)
        trained.load_state_dict(average_weights(checkpoints(output_dir)[-args.average_last :]))
        results = held_out.score(trained)
        log({f"averaged/{key}": value for key, value in results.items()})
        trained.to(getattr(torch, args.save_dtype)).save_pretrained(output_dir)
        side = {"height": args.image_size, "width": args.image_size}
        DPTImageProcessor.for_model(trained.config, size=side).save_pretrained(output_dir)
        accelerator.print(f"model in {output_dir}: {results}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
