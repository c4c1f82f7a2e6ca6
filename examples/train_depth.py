"""Fine-tune a depth model on data as its publishers pack it, or on a folder of your own.

    python examples/train_depth.py --recipe examples/recipes/nyuv2_hybrid.yaml --data_dir nyu --output_dir runs/nyu
    python examples/train_depth.py --model_name_or_path bundled --dataset_name folder --data_dir mine \\
        --align_first --max_depth 10 --num_train_epochs 20 --output_dir runs/mine

Start the same command again after an interruption and it continues. `accelerate launch` runs it on several devices;
`--dry_run` shows what a run would be. `open-dpt data check DIR --dataset NAME` looks at the data first.
"""

import argparse
import sys
from pathlib import Path

from datasets import concatenate_datasets

from open_dpt.data.loading import TrainingLoader
from open_dpt.data.transforms import TrainTransform
from open_dpt.evaluation.validation import validate_depth
from open_dpt.processing.panels import depth_panel
from open_dpt.training import RunLog, Settings, fit, images_with_depth, run_script
from open_dpt.training import arguments as flags
from open_dpt.training.data_flags import training_sets, validation_set
from open_dpt.training.dry_run import dry_run
from open_dpt.training.ending import end_training
from open_dpt.training.final import ModelWriter, save_final_model
from open_dpt.training.metric_alignment import align_to_metric, make_metric
from open_dpt.training.panels import SpreadPanels
from open_dpt.training.recipes import effective_recipe, parse_with_recipe
from open_dpt.training.setting_up import (
    loader_options,
    make_accelerator,
    make_optimizer,
    name_of_start,
    plan_run,
    samples_to_evaluate,
    tracker_names,
)
from open_dpt.training.starting import start_model, start_processor, training_size


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    parser = flags.script_parser(__doc__)
    flags.add_model_arguments(parser)
    depth = parser.add_argument_group("depth")
    depth.add_argument(
        "--depth_estimation_type", choices=["relative", "metric"], help="Metric models answer in metres."
    )
    depth.add_argument("--align_first", action="store_true", help="Make a relative model metric before training.")
    depth.add_argument("--align_samples", type=int, help="Training samples to align with; all if absent.")
    depth.add_argument("--targets", choices=["depth", "disparity"], help="Depth for metric models, else disparity.")
    depth.add_argument("--min_depth", type=float, default=1e-3, help="Metres; nearer ground truth is not used.")
    depth.add_argument(
        "--max_depth", type=float, help="Metres; farther is not used. Evaluation cuts off there, or 80."
    )
    depth.add_argument("--eval_crop", choices=["eigen", "garg"], help="Benchmark window that is scored.")
    depth.add_argument("--loss", help="ssi, silog, l1, log_l1 (open_dpt.modeling_dpt.losses); by the model if absent.")
    depth.add_argument(
        "--loss_options", nargs="*", default=[], metavar="KEY=JSON", help="kind=mae gradient_weight=0.5 ..."
    )
    flags.add_data_arguments(parser)
    flags.add_length_arguments(parser)
    flags.add_optimisation_arguments(parser)
    flags.add_output_arguments(parser)
    return parse_with_recipe(parser, words)


def depth_loss(args: argparse.Namespace) -> dict:
    """The loss flags as a configuration value."""
    options = flags.json_items(args.loss_options, "loss_options")
    return {"depth_loss": {"name": args.loss, **options}} if args.loss else {}


def config_values(args: argparse.Namespace) -> dict:
    """What the depth flags mean for the model's configuration."""
    if args.align_first:
        return {}  # a relative model until it is aligned
    values = depth_loss(args)
    if args.depth_estimation_type:
        values["depth_estimation_type"] = args.depth_estimation_type
        if args.depth_estimation_type == "metric" and not args.model_name_or_path:
            # A new head: metres in 0 to max_depth from the first step on.
            values |= {"head_activation": "sigmoid", "max_depth": args.max_depth or 80.0}
    return values


def align(args: argparse.Namespace, accelerator, model, processor, train_sets: list) -> None:
    """Turn a relative model into one that answers in metres; a run that continues reads what it has found before."""
    alignment = align_to_metric(
        model,
        processor,
        concatenate_datasets(train_sets),
        accelerator,
        min_depth=args.min_depth,
        max_depth=args.max_depth,
        limit=8 if args.dry_run else args.align_samples,
        journal=None if args.dry_run else Path(args.output_dir) / "alignment",
        batch_size=args.per_device_eval_batch_size,
        num_workers=args.dataloader_num_workers,
        on_unreadable=args.on_unreadable,
    )
    accelerator.print(f"aligned: {alignment}")
    make_metric(model, *alignment, max_depth=args.max_depth)
    model.config.update(depth_loss(args))
    model.configuration_changed()


def train(args: argparse.Namespace) -> int:
    accelerator = make_accelerator(args)
    train_sets, described = training_sets(args)
    plan = plan_run(args, accelerator, samples=sum(map(len, train_sets)))
    val_rows, val_name = validation_set(args)
    model = start_model(args, "depth", **config_values(args))
    processor = start_processor(args, model)
    max_depth = args.max_depth or 80.0
    if args.align_first:
        align(args, accelerator, model, processor, train_sets)
    is_metric = model.config.depth_estimation_type == "metric"
    transform = TrainTransform(
        training_size(args, model, processor),
        targets=args.targets or ("depth" if is_metric else "disparity"),
        min_depth=args.min_depth,
        max_depth=args.max_depth,
        image_mean=processor.image_mean,
        image_std=processor.image_std,
        **flags.augmentation(args),
    )
    loader = TrainingLoader(train_sets, transform, **loader_options(args, accelerator))
    optimizer = make_optimizer(args, model)
    if args.dry_run:
        dry_run(args, accelerator, model, optimizer, loader, plan, count=images_with_depth)
        return 0
    log = RunLog(accelerator, args.output_dir, tracker_names(args))

    def evaluate(model, step: int) -> dict[str, float]:
        panels = SpreadPanels(depth_panel, args.image_panels, samples_to_evaluate(args, accelerator, val_rows))
        scores = validate_depth(
            model,
            processor,
            val_rows,
            accelerator,
            batch_size=args.per_device_eval_batch_size,
            min_depth=args.min_depth,
            max_depth=max_depth,
            crop=args.eval_crop,
            limit=args.max_eval_samples,
            on_unreadable=args.on_unreadable,
            on_sample=panels,
        )
        log.images(step, panels.pictures)
        return scores

    writer = ModelWriter(accelerator, processor, args.save_dtype)
    outcome = fit(
        accelerator,
        model,
        optimizer,
        loader,
        plan,
        Settings.from_args(args),
        count=images_with_depth,
        run_log=log,
        evaluate=evaluate if val_rows is not None else None,
        save_model=writer,
        recipe=effective_recipe(args),
    )
    if outcome.finished:
        unit = "depth in metres" if is_metric else "disparity up to scale and shift (larger is nearer)"
        save_final_model(
            args,
            writer,
            outcome,
            task="depth",
            data=described,
            base_model=name_of_start(args),
            license=args.licence,
            evaluated_on=val_name,
            output=f"It answers with {unit}.",
        )
    end_training(accelerator)
    return 0


def main(words: list[str] | None = None) -> int:
    return run_script(train, parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
