"""Every recipe parses with its script, and says of the paper's runs what the paper says."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from open_dpt.training import arguments as flags

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
RUNNABLE = [name for name in RECIPES if not name.startswith("_")]
ACCELERATE = sorted((ROOT / "examples" / "accelerate").glob("*.yaml"))

# Beginning of a recipe's name: its script.
SCRIPTS = {
    "nyuv2": "train_depth",
    "kitti": "train_depth",
    "relative": "train_depth",
    "own_depth": "train_depth",
    "ade20k": "train_segmentation",
    "pascal_context": "train_segmentation",
    "segmentation": "train_segmentation",
    "own_segmentation": "train_segmentation",
    "camvid": "train_segmentation",
    "procedural": "pretrain_procedural",
}


def script_of(name):
    return next(script for start, script in SCRIPTS.items() if name.lstrip("_").startswith(start))


@pytest.fixture(scope="module")
def parse():
    modules = {}

    def parse(name, *words):
        script = script_of(name)
        if script not in modules:
            spec = importlib.util.spec_from_file_location(script, ROOT / "examples" / f"{script}.py")
            modules[script] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(modules[script])
        recipe = str(FOLDER / f"{name}.yaml")
        return modules[script].parse_args(["--recipe", recipe, "--output_dir", "runs/test", *words])

    return parse


def has(args, **facts):
    assert {key: getattr(args, key) for key in facts} == facts


def test_there_are_recipes():
    assert len(RUNNABLE) >= 18


@pytest.mark.parametrize("name", RECIPES)
def test_it_parses_and_names_things_that_exist(parse, name):
    from open_dpt import DPTConfig
    from open_dpt.configuration.presets import PRESETS
    from open_dpt.data import DATASETS
    from open_dpt.data.transforms import TrainTransform
    from open_dpt.modeling_dpt.losses import build_depth_loss

    args = parse(name)
    assert args.preset is None or args.preset in PRESETS
    config = DPTConfig(**flags.json_items(args.config_overrides, "config_overrides"))
    if script_of(name) != "pretrain_procedural":
        TrainTransform(flags.image_size(args), **flags.augmentation(args))
        for data_set in args.dataset_name or ():
            options = flags.json_items(args.dataset_config, "dataset_config")
            assert options.keys() <= set(DATASETS[data_set].options)
    if script_of(name) == "train_depth":
        config.depth_loss = {"name": args.loss, **flags.json_items(args.loss_options, "loss_options")}
        build_depth_loss(config)
        scores = {"abs_rel", "aligned/abs_rel"}
    else:
        scores = {"mean_iou", None}
    assert args.metric_for_best is None or args.metric_for_best.lstrip("-") in scores


@pytest.mark.parametrize("name", RUNNABLE)
def test_it_can_be_started(parse, name):
    """It says what it starts from and how long it takes; the user says where the data are and where results go."""
    args = parse(name)
    assert sum(map(bool, (args.preset, args.model_name_or_path, args.encoder_name_or_path))) == 1
    assert any((args.num_train_epochs, args.max_train_steps, args.max_train_images, args.max_minutes))
    assert getattr(args, "data_dir", None) is None
    text = (FOLDER / f"{name}.yaml").read_text()
    assert "output_dir:" not in text
    assert "data_dir:" not in text


@pytest.mark.parametrize("name", RUNNABLE)
def test_what_is_not_in_the_paper_says_so(name):
    head = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    paper = {"nyuv2_hybrid", "kitti_hybrid", "ade20k_hybrid", "ade20k_large", "pascal_context_hybrid"}
    if name.startswith(("nyuv2", "kitti", "ade20k", "pascal")):
        assert ("Not in the paper" in head) == (name not in paper), head


@pytest.mark.parametrize("name", [name for name in RUNNABLE if name.startswith(("ade20k", "pascal"))])
def test_segmentation_of_the_paper(parse, name):
    """arXiv:2103.13413, section 4.2."""
    args = parse(name)
    has(args, optimizer="sgd", momentum=0.9, learning_rate=0.002, lr_scheduler_type="polynomial", num_warmup_steps=0)
    has(args, total_train_batch_size=48, auxiliary_loss_weight=0.2, image_size=[480], rescale=[0.5, 2.0], flip=0.5)
    has(args, rescale_to="520", rotation=0.0, colour=0.0, num_train_epochs=240 if "ade20k" in name else 50)
    overrides = flags.json_items(args.config_overrides, "config_overrides")
    assert overrides == {"use_batch_norm_in_fusion_residual": True, "semantic_classifier_dropout": 0.1}
    if "ade20k" in name:
        assert args.encoder_name_or_path.startswith("google/vit-")
    else:
        has(args, model_name_or_path=f"runs/ade20k_{name.rsplit('_', 1)[1]}", dataset_config=["num_classes=59"])


def test_metric_depth_of_the_paper(parse):
    """arXiv:2103.13413, section 4.1: Eigen's loss, gradient matching on dense ground truth only, alignment first."""
    for data, dataset, gradient_weight, crop, max_depth in (
        ("nyuv2", "nyuv2-bts", 0.5, "eigen", 10),
        ("kitti", "kitti-eigen", 0, "garg", 80),
    ):
        args = parse(f"{data}_hybrid")
        has(args, model_name_or_path="Intel/dpt-hybrid-midas", dataset_name=[dataset], loss="silog", align_first=True)
        has(args, eval_crop=crop, max_depth=max_depth, encoder_learning_rate=1e-5, learning_rate=1e-4)
        options = flags.json_items(args.loss_options, "loss_options")
        assert options == {"variance_focus": 0.5, "gradient_weight": gradient_weight}


def test_relative_depth_of_the_paper(parse):
    """arXiv:2103.13413, section 4.1."""
    args = parse("relative_base")
    has(args, dataset_name=["redweb", "hrwsi", "blendedmvs"], optimizer="adam", weight_decay=0.0, loss="ssi")
    has(args, encoder_learning_rate=1e-5, learning_rate=1e-4, total_train_batch_size=16, max_train_images=60 * 72_000)
    has(args, image_size=[384], rescale_to="384", rescale=[1.0, 1.0], flip=0.5, colour=0.0)
    assert flags.json_items(args.loss_options, "loss_options") == {"kind": "trimmed", "gradient_weight": 0.5}


def test_the_command_line_wins_over_a_recipe(parse):
    has(parse("ade20k_large", "--num_train_epochs", "1", "--learning_rate", "3"), num_train_epochs=1, learning_rate=3)


def test_every_recipe_is_in_the_document():
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(\w+)\.yaml`", text)) & set(RUNNABLE) == set(RUNNABLE)


@pytest.mark.parametrize("path", ACCELERATE, ids=lambda path: path.stem)
def test_accelerate_reads_its_configurations(path, monkeypatch):
    """As `accelerate launch` does, up to the environment that it would start the script in."""
    import torch
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    args = launch_command_parser().parse_args(["--config_file", str(path), "examples/train_depth.py"])
    args, *_ = _validate_launch_command(args)
    assert args.num_processes == {"cpu": 1, "one_gpu": 1, "multi_node": 16}.get(path.stem, 8)
    assert (args.use_deepspeed, args.use_fsdp) == (path.stem.startswith("deepspeed"), path.stem.startswith("fsdp"))
    if args.use_deepspeed:
        settings = json.loads(Path(args.deepspeed_config_file).read_text())
        assert settings["zero_optimization"]["stage"] == 2
    elif args.use_fsdp:
        environment = prepare_multi_gpu_env(args)
        assert environment["FSDP_VERSION"] == "2"
        assert environment["FSDP_AUTO_WRAP_POLICY"] == "TRANSFORMER_BASED_WRAP"
    else:
        assert (args.multi_gpu, args.use_cpu) == (path.stem.startswith("multi"), path.stem == "cpu")
