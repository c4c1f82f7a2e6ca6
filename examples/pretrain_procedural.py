"""Train a relative depth model from scratch on procedural scenes.

    python -m open_dpt.data.procedural.cache --output scenes --count 20000
    python examples/pretrain_procedural.py --cache_dir scenes --output_dir runs/tiny --max_train_images 150000

Without --cache_dir the scenes are rendered while training, which is meant for a GPU. Start the same command again
after an interruption and it continues. `accelerate launch` runs it on several devices.
"""

import argparse
import sys

from open_dpt.data.procedural import HELD_OUT_SEED
from open_dpt.data.procedural.loading import ProceduralLoader
from open_dpt.evaluation.held_out import HeldOutScenes
from open_dpt.training import RunLog, Settings, fit, images_with_depth, parse_resolution_schedule, run_script, size_at
from open_dpt.training import arguments as flags
from open_dpt.training.dry_run import dry_run
from open_dpt.training.ending import end_training
from open_dpt.training.final import ModelWriter, save_final_model
from open_dpt.training.recipes import effective_recipe, parse_with_recipe
from open_dpt.training.setting_up import make_accelerator, make_optimizer, name_of_start, plan_run, tracker_names
from open_dpt.training.starting import start_model, start_processor


def parse_args(words: list[str] | None = None) -> argparse.Namespace:
    parser = flags.script_parser(__doc__)
    flags.add_model_arguments(parser)
    data = parser.add_argument_group("data")
    data.add_argument("--cache_dir", help="Folder written by open_dpt.data.procedural.cache; rendered live if absent.")
    data.add_argument("--image_size", type=int, nargs="+", default=[192], help="Side of the scenes and the model's.")
    data.add_argument("--resolution_schedule", help="SIZE:PART,... e.g. 128:0.75,192:0.25; image_size if absent.")
    data.add_argument("--smallest_area", type=float, default=0.4, help="Smallest part of an image that a crop covers.")
    data.add_argument("--colour_jitter", type=float, default=1.0, help="Strength; 0 switches it off.")
    data.add_argument("--dataloader_num_workers", type=int, default=0)
    data.add_argument("--eval_scenes", type=int, default=64, help="Held-out scenes of each kind; 0 for none.")
    loss = parser.add_argument_group("loss")
    loss.add_argument("--loss", default="mae", choices=["trimmed", "mae", "mse"], help="The paper's is trimmed.")
    loss.add_argument("--trim", type=float, default=0.2, help="Part that 'trimmed' leaves out.")
    loss.add_argument("--gradient_weight", type=float, default=0.1, help="The paper's is 0.5.")
    loss.add_argument("--anchor_weight", type=float, default=0.1, help="Holds the free scale; 0 for a trained model.")
    flags.add_length_arguments(parser)
    flags.add_optimisation_arguments(parser)
    flags.add_output_arguments(parser)
    parser.set_defaults(attn_implementation="eager", learning_rate=8e-4, num_warmup_steps=300, weight_decay=0.05)
    parser.set_defaults(per_device_train_batch_size=16, average_last=5, checkpoints_total_limit=5, eval_steps=1000)
    parser.set_defaults(eval_image_size=None, report_to=["none"])
    args = parse_with_recipe(parser, words)
    if not (args.preset or args.model_name_or_path or args.encoder_name_or_path):
        args.preset = "dpt-tiny"
    return args


def train(args: argparse.Namespace) -> int:
    accelerator = make_accelerator(args)
    side = flags.image_size(args)[0]
    sizes = parse_resolution_schedule(args.resolution_schedule or f"{side}:1")
    now = {"size": sizes[0][0]}
    loader = ProceduralLoader(
        args.cache_dir,
        batch_size=args.per_device_train_batch_size,
        size=lambda batch: now["size"],
        seed=args.seed,
        rank=accelerator.process_index,
        world_size=accelerator.num_processes,
        num_workers=args.dataloader_num_workers,
        device=accelerator.device,
        render_size=side,
        smallest_area=args.smallest_area,
        colour=args.colour_jitter,
    )
    plan = plan_run(args, accelerator, samples=len(loader) if args.cache_dir else HELD_OUT_SEED)
    options = {name: getattr(args, name) for name in ("trim", "gradient_weight", "anchor_weight")}
    depth_loss = {"name": "ssi", "kind": args.loss, **options}
    model = start_model(args, "depth", image_size=side, depth_loss=depth_loss)
    processor = start_processor(args, model)
    optimizer = make_optimizer(args, model)
    if args.dry_run:
        dry_run(args, accelerator, model, optimizer, loader, plan, count=images_with_depth)
        return 0
    held_out = HeldOutScenes(args.eval_scenes, side, accelerator.device)
    writer = ModelWriter(accelerator, processor, args.save_dtype)
    outcome = fit(
        accelerator,
        model,
        optimizer,
        loader,
        plan,
        Settings.from_args(args),
        count=images_with_depth,
        run_log=RunLog(accelerator, args.output_dir, tracker_names(args)),
        evaluate=(lambda model, step: held_out.score(accelerator.unwrap_model(model))) if args.eval_scenes else None,
        save_model=writer,
        before_step=lambda fraction: now.update(size=size_at(sizes, fraction)),
        recipe=effective_recipe(args),
    )
    if outcome.finished:
        save_final_model(
            args,
            writer,
            outcome,
            task="depth",
            data=[{"name": "procedural scenes", "images": plan.samples if args.cache_dir else None}],
            base_model=name_of_start(args),
            license=args.licence,
            evaluated_on="held-out procedural scenes",
            output="It answers with disparity up to scale and shift (larger is nearer).",
        )
    end_training(accelerator)
    return 0


def main(words: list[str] | None = None) -> int:
    return run_script(train, parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
