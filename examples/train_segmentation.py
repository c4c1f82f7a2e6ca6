"""Fine-tune semantic segmentation on data as its publishers pack it, or on a folder of your own.

    python examples/train_segmentation.py --recipe examples/recipes/ade20k_hybrid.yaml --data_dir ade \\
        --output_dir runs/ade20k
    python examples/train_segmentation.py --model_name_or_path bundled --dataset_name camvid --data_dir camvid \\
        --image_size 320 --num_train_epochs 20 --output_dir runs/camvid

Of a depth model encoder and neck are used, and the head is new. Start the same command again after an interruption and
it continues. `accelerate launch` runs it on several devices; `--dry_run` shows what a run would be.
"""

import argparse
import sys
from functools import partial

from open_dpt.data.loading import TrainingLoader
from open_dpt.data.transforms import TrainTransform
from open_dpt.evaluation.validation import validate_segmentation
from open_dpt.processing.panels import segmentation_panel
from open_dpt.training import RunLog, Settings, fit, labelled_pixels, run_script
from open_dpt.training import arguments as flags
from open_dpt.training.data_flags import label_names, training_sets, validation_set
from open_dpt.training.dry_run import dry_run
from open_dpt.training.ending import end_training
from open_dpt.training.final import ModelWriter, save_final_model
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
    heads = parser.add_argument_group("segmentation")
    heads.add_argument("--num_labels", type=int, help="Classes; those that the data set names if absent.")
    heads.add_argument("--auxiliary_loss_weight", type=float, default=0.2, help="0 leaves the auxiliary head out.")
    heads.add_argument("--per_class", action="store_true", help="Also log the IoU of each class.")
    flags.add_data_arguments(parser)
    flags.add_length_arguments(parser)
    flags.add_optimisation_arguments(parser)
    flags.add_output_arguments(parser)
    # The paper's: SGD with momentum 0.9, polynomial decay with power 0.9.
    parser.set_defaults(optimizer="sgd", lr_scheduler_type="polynomial", learning_rate=2e-3, max_grad_norm=0.0)
    parser.set_defaults(metric_for_best="mean_iou")
    return parse_with_recipe(parser, words)


def config_values(args: argparse.Namespace) -> dict:
    """Classes and auxiliary head for the model's configuration.

    Raises:
        ValueError: neither the data set nor --num_labels says how many classes there are.
    """
    names = label_names(args)
    count = args.num_labels or len(names)
    if count < 2 or (names and count < len(names)):
        raise ValueError(
            f"num_labels: must be 2 or more and at least the {len(names)} classes that the data set names, got "
            f"{count}. Pass --num_labels."
        )
    id2label = {index: names[index] if index < len(names) else f"class_{index}" for index in range(count)}
    return {
        "id2label": id2label,
        "label2id": {name: index for index, name in id2label.items()},
        "use_auxiliary_head": args.auxiliary_loss_weight > 0,
        "auxiliary_loss_weight": args.auxiliary_loss_weight,
    }


def train(args: argparse.Namespace) -> int:
    accelerator = make_accelerator(args)
    train_sets, described = training_sets(args)
    plan = plan_run(args, accelerator, samples=sum(map(len, train_sets)))
    val_rows, val_name = validation_set(args)
    model = start_model(args, "segmentation", **config_values(args))
    processor = start_processor(args, model)
    transform = TrainTransform(
        training_size(args, model, processor),
        targets="label",
        image_mean=processor.image_mean,
        image_std=processor.image_std,
        **flags.augmentation(args),
    )
    loader = TrainingLoader(train_sets, transform, **loader_options(args, accelerator))
    optimizer = make_optimizer(args, model)
    if args.dry_run:
        dry_run(args, accelerator, model, optimizer, loader, plan, count=labelled_pixels)
        return 0
    log = RunLog(accelerator, args.output_dir, tracker_names(args))
    draw = partial(segmentation_panel, num_labels=model.config.num_labels)

    def evaluate(model, step: int) -> dict[str, float]:
        panels = SpreadPanels(draw, args.image_panels, samples_to_evaluate(args, accelerator, val_rows))
        scores = validate_segmentation(
            model,
            processor,
            val_rows,
            accelerator,
            batch_size=args.per_device_eval_batch_size,
            limit=args.max_eval_samples,
            on_unreadable=args.on_unreadable,
            per_class=args.per_class,
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
        count=labelled_pixels,
        run_log=log,
        evaluate=evaluate if val_rows is not None else None,
        save_model=writer,
        recipe=effective_recipe(args),
    )
    if outcome.finished:
        save_final_model(
            args,
            writer,
            outcome,
            task="segmentation",
            data=described,
            base_model=name_of_start(args),
            license=args.licence,
            evaluated_on=val_name,
            output=f"It knows {model.config.num_labels} classes.",
        )
    end_training(accelerator)
    return 0


def main(words: list[str] | None = None) -> int:
    return run_script(train, parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
