"""What a person may name, and what becomes of it."""

import json
import shutil

import numpy as np
import pytest
import transformers
from PIL import Image

import open_dpt
from open_dpt.evaluation import evaluate
from open_dpt.evaluation.adapters.base import AdapterError, short_name
from open_dpt.evaluation.adapters.loading import load_adapter
from open_dpt.evaluation.adapters.own_model import OwnModel
from open_dpt.evaluation.adapters.prediction_folder import PredictionFolder
from open_dpt.evaluation.adapters.python_adapter import PythonAdapter
from open_dpt.evaluation.adapters.stock_model import StockModel
from open_dpt.processing.loading import load_model


@pytest.fixture(scope="module")
def stock_folder(tiny_depth_folder, tmp_path_factory):
    """The tiny depth model as transformers stores it."""
    folder = tmp_path_factory.mktemp("stock")
    model = open_dpt.DPTForDepthEstimation.from_pretrained(tiny_depth_folder)
    model.to_transformers(folder, processor=open_dpt.DPTImageProcessor.from_pretrained(tiny_depth_folder))
    return folder


@pytest.mark.parametrize("spec", [None, "bundled"])
def test_nothing_is_the_bundled_model(spec):
    adapter = load_adapter(spec, "depth")
    assert isinstance(adapter, OwnModel)
    assert (adapter.name, adapter.kind) == ("dpt-tiny (bundled)", "disparity")
    with pytest.raises(AdapterError, match=r"no segmentation model is bundled\. Name a folder"):
        load_adapter(spec, "segmentation")


def test_int8_is_for_our_class_on_a_cpu(tiny_depth_folder):
    assert load_adapter(str(tiny_depth_folder), "depth", dtype="int8").describe()["dtype"] == "int8"
    with pytest.raises(AdapterError, match=r"int8 is for our own class, got transformers'"):
        load_adapter("stock:Intel/dpt-large", "depth", dtype="int8")
    with pytest.raises(ValueError, match="int8: is for the CPU, got device cuda"):
        load_adapter(str(tiny_depth_folder), "depth", device="cuda", dtype="int8")


def test_our_folders_and_authors_files_are_run_by_our_classes(
    tiny_depth_folder, tiny_segmentation_folder, pytestconfig
):
    adapter = load_adapter(str(tiny_depth_folder), "ordinal", dtype="bfloat16")
    assert isinstance(adapter, OwnModel)
    assert (adapter.kind, adapter.describe()["dtype"]) == ("disparity", "bfloat16")
    assert load_adapter(str(tiny_segmentation_folder), "segmentation").kind == "labels"
    metric = load_adapter(
        str(pytestconfig.rootpath / "tests" / "golden" / "vit_project_depth.pt"), "depth", kind="depth"
    )
    assert isinstance(metric, OwnModel)
    assert metric.kind == "depth"


def test_stock_gives_the_class_of_transformers_although_ours_could_read_it(stock_folder):
    ours, theirs = load_adapter(str(stock_folder), "depth"), load_adapter(f"stock:{stock_folder}", "depth")
    assert isinstance(ours, OwnModel)
    assert type(ours.model) is open_dpt.DPTForDepthEstimation
    assert isinstance(theirs, StockModel)
    assert type(theirs.model) is transformers.DPTForDepthEstimation
    assert type(theirs.processor).__module__.startswith("transformers.models.dpt.")


def test_other_model_types_are_run_by_transformers_unless_ours_is_asked_for(tmp_path):
    backbone = transformers.Dinov2Config(
        hidden_size=24, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=28, patch_size=14,
        out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False,
    )  # fmt: skip
    config = transformers.DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=24, patch_size=14, neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8, head_hidden_size=8,
    )  # fmt: skip
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(tmp_path)
    settings = {"image_processor_type": "DPTImageProcessor", "size": {"height": 56, "width": 56}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert isinstance(load_adapter(str(tmp_path), "depth"), StockModel)
    assert isinstance(load_adapter(f"own:{tmp_path}", "depth"), OwnModel)


def test_tables_have_the_last_part_of_a_path(tiny_depth_folder, stock_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_depth_folder)
    (tmp_path / "m.py").write_text("def f(image): ...\nf.kind = 'depth'\n")
    for spec in (str(tiny_depth_folder), f"{tiny_depth_folder}/", "."):
        assert load_adapter(spec, "depth").name == tiny_depth_folder.name
    assert load_adapter(f"stock:{stock_folder}/", "depth").name == stock_folder.name
    assert load_adapter(f"{tmp_path}/m.py:f", "depth").name == "m.py:f"
    assert short_name("Intel/dpt-large") == "Intel/dpt-large" and short_name("package.module:f") == "package.module:f"
    described = load_adapter(str(tiny_depth_folder), "depth").describe()
    assert described["source"] == str(tiny_depth_folder)


def test_a_folder_of_files_and_python(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    (tmp_path / "m.py").write_text("def f(image): ...\nf.kind = 'depth'\n")
    folder = load_adapter(str(tmp_path), "depth", kind="depth")
    assert isinstance(folder, PredictionFolder)
    assert folder.name == tmp_path.name
    assert isinstance(load_adapter(f"{tmp_path / 'm.py'}:f", "depth"), PythonAdapter)
    with pytest.raises(AdapterError, match=r"m\.py: must name a function, too, such as .*m\.py:predict"):
        load_adapter(str(tmp_path / "m.py"), "depth")


@pytest.mark.parametrize("spec", ["no/such/folder", "./missing", "weights.pt", "stock:no/such/folder", "a b"])
def test_what_does_not_exist_is_told_with_all_that_could_be_named(spec):
    with pytest.raises(
        AdapterError, match=r"does not exist\. Name a folder .* hub id .* stock:HUB_ID .* file\.py:name"
    ):
        load_adapter(spec, "depth")


def test_a_hub_id_out_of_reach_is_told_in_one_line():
    for spec in ("nobody/nothing", "stock:nobody/nothing", "own:nobody/nothing"):
        with pytest.raises(OSError, match="nobody/nothing: not in the cache, and offline mode is on"):
            load_adapter(spec, "depth")


def test_a_checkpoint_of_another_task_is_refused(tiny_depth_folder):
    with pytest.raises(AdapterError, match=r"made for depth, not for segmentation\. Choose a protocol for depth"):
        load_adapter(str(tiny_depth_folder), "segmentation")


def test_our_own_storage_has_no_stock_class(tiny_depth_folder):
    with pytest.raises(AdapterError, match=r"stored as open_dpt, .* --to transformers`, or leave out stock:"):
        load_adapter(f"stock:{tiny_depth_folder}", "depth")


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"model_type": "unheard_of"}', '{"model_type": "bert"}'])
def test_configurations_of_nothing_known_are_told_in_one_line(tiny_depth_folder, tmp_path, content):
    folder = shutil.copytree(tiny_depth_folder, tmp_path / "model")
    (folder / "config.json").write_text(content)
    with pytest.raises((AdapterError, OSError)) as caught:
        load_adapter(str(folder), "depth")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_descriptions_have_one_form(tiny_depth_folder, stock_folder, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 3), np.float32))
    (tmp_path / "m.py").write_text("def f(image): ...\nf.kind = 'depth'\n")
    specs = [str(tiny_depth_folder), f"stock:{stock_folder}", str(tmp_path), f"{tmp_path / 'm.py'}:f"]
    described = [load_adapter(spec, "depth", kind="depth").describe() for spec in specs]
    assert len({tuple(one) for one in described}) == 1
    assert [one["uses_protocol_inference"] for one in described] == [True, False, False, False]
    assert all(one["fingerprint"] for one in described)
    assert json.loads(json.dumps(described)) == described


@pytest.fixture
def own_data(tmp_path):
    """Folders of images, of depths in millimetres, and of masks with five classes."""
    random = np.random.default_rng(0)
    for folder in ("images", "depths", "masks"):
        (tmp_path / folder).mkdir()
    for name in range(3):
        colours = random.integers(0, 256, (5, 7, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((160, 120), Image.Resampling.BICUBIC).save(tmp_path / f"images/{name}.png")
        Image.fromarray(random.integers(1000, 5000, (120, 160)).astype(np.uint16)).save(
            tmp_path / f"depths/{name}.png"
        )
        Image.fromarray(random.integers(0, 5, (120, 160)).astype(np.uint8)).save(tmp_path / f"masks/{name}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("model", "protocol"),
    [
        ("bundled", "own-folder-aligned"),  # folds its stem's weights
        ("tiny_metric_folder", "own-folder"),
        ("tiny_segmentation_folder", "own-folder-labels"),  # folds batch norms
    ],
)
def test_our_models_are_prepared_for_inference_and_score_the_same(model, protocol, own_data, request):
    task = "segmentation" if "labels" in protocol else "depth"
    spec = model if model == "bundled" else str(request.getfixturevalue(model))
    prepared = load_adapter(spec, task)
    plain = load_model(spec, task)
    plain = OwnModel(plain.model, plain.processor, name=prepared.name, source=prepared.describe()["source"])
    assert prepared.describe() == plain.describe()  # of the same weights, so runs of both can be continued
    assert not any(parameter.requires_grad for parameter in prepared.model.parameters())
    assert all(parameter.requires_grad for parameter in plain.model.head.parameters())
    assert prepared.model.has_folded_weights == (model != "tiny_metric_folder")
    options = {"depth_scale": 1000}
    if task == "segmentation":
        options = {}
        shutil.rmtree(own_data / "depths")  # whose scale nobody tells
    one, other = (evaluate(protocol, own_data, adapter, options=options) for adapter in (prepared, plain))
    assert one.counts == other.counts
    shares = [result.metrics.pop("delta_outliers1", 0) for result in (one, other)]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)  # percent
    # To five digits; where pixels are counted, two of them may fall on the other side.
    counted = 2 / (3 * 120 * 160)
    for name, value in one.metrics.items():
        spare = counted if name.startswith("delta") or task == "segmentation" else 0
        assert value == pytest.approx(other.metrics.pop(name), rel=5e-6, abs=spare), name
    assert not other.metrics
