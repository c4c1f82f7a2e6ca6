"""The metrics of Hugging Face `evaluate`: loaded from their folders without a network, pushed, by two processes."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from open_dpt.evaluation.crops import crop_mask
from open_dpt.evaluation.depth_metrics import DepthMetrics
from open_dpt.evaluation.hub_metrics import HUB_METRICS, hub_metric, metric_folder
from open_dpt.evaluation.ordinal_metrics import OrdinalMetrics
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

SHARED = Path(__file__).parents[3] / "shared"


@pytest.fixture(autouse=True, scope="module")
def offline(tmp_path_factory):
    """Modules and temporary files of `evaluate` go to a folder of this test, and nothing to the network."""
    import datasets.config
    import evaluate.config

    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.config, "HF_MODULES_CACHE", str(folder / "modules"))
        patch.setattr(evaluate.config, "HF_METRICS_CACHE", str(folder / "metrics"))
        patch.setattr(evaluate.config, "HF_EVALUATE_OFFLINE", True)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.syspath_prepend(str(folder / "modules"))
        yield


def ragged(count=5):
    generator = torch.Generator().manual_seed(0)
    sizes = [(3 + number, 9 - number) for number in range(count)]
    truths = [12 * torch.rand(size, generator=generator) for size in sizes]
    predictions = [one * torch.exp(0.3 * torch.randn(one.shape, generator=generator)) for one in truths]
    predictions[1][0, :3] = torch.tensor([torch.nan, torch.inf, -1.0])
    return predictions, truths


@pytest.mark.parametrize("options", [{}, {"max_depth": 5, "averaging": "pixel", "unusable": "excluded"}])
def test_depth_agrees_with_the_accumulator_however_maps_are_added(options):
    predictions, truths = ragged()
    expected = DepthMetrics(**options)
    expected.update(predictions, truths)
    metric = hub_metric("dpt_depth")
    metric.add_batch(predictions=predictions[:2], references=truths[:2])
    metric.add_batch(predictions=predictions[2][None].numpy(), references=truths[2][None].numpy())
    metric.add(prediction=predictions[3].tolist(), reference=truths[3].tolist())
    metric.add(prediction=predictions[4], reference=truths[4])
    assert metric.compute(**options) == pytest.approx(expected.compute(), rel=1e-12)
    again = metric.compute(predictions=predictions, references=truths, **options)
    assert again == pytest.approx(expected.compute(), rel=1e-12)
    json.dumps(again)


def test_a_disparity_is_aligned_image_by_image():
    _, truths = ragged()
    truths = [truth.clamp(0.1) for truth in truths]
    answers = [(3 + number) / truth - number for number, truth in enumerate(truths)]
    options = {"alignment": "least-squares-disparity", "kind": "disparity", "max_depth": 15}
    got = hub_metric("dpt_depth").compute(predictions=answers, references=truths, **options)
    assert got["abs_rel"] == pytest.approx(0, abs=1e-4) and got["images"] == 5
    with pytest.raises(ValueError, match="needs predictions in metres, got disparity"):
        hub_metric("dpt_depth").compute(predictions=answers, references=truths, kind="disparity")


def test_segmentation_agrees_with_the_accumulator():
    generator = torch.Generator().manual_seed(0)
    predictions, labels = ([torch.randint(0, 4, (3 + n, 5), generator=generator) for n in range(4)] for _ in range(2))
    labels[0][:2], labels[3][:] = 99, 99
    expected = SegmentationMetrics(5, 99)
    expected.update(predictions, labels)
    metric = hub_metric("dpt_segmentation")
    metric.add_batch(predictions=predictions, references=[one.to(torch.uint8) for one in labels])
    got = metric.compute(num_labels=5, ignore_index=99)
    assert got.pop("confusion_matrix") == expected.confusion().tolist()
    iou = got.pop("per_class_iou")
    assert iou[4] is None and iou[:4] == expected.iou_per_class()[:4].tolist()
    assert got == expected.compute()


def test_whdr_agrees_with_the_accumulator():
    maps = [torch.arange(12.0).view(3, 4), torch.ones(2, 2), torch.ones(1, 1)]
    points = [[(0, 0, 2, 3, 1), (0, 0, 2, 3, -1)], [(0, 0, 1, 1, -1)], []]
    for ties in ("as-nearer", "wrong"):
        expected = OrdinalMetrics(ties)
        expected.update(maps, points)
        assert hub_metric("dpt_whdr").compute(predictions=maps, references=points, ties=ties) == expected.compute()


def test_what_cannot_be_is_named():
    metric = hub_metric("dpt_depth")
    with pytest.raises(ValueError, match=r"one shape \(height, width\), got \(2, 3\) and \(3, 2\)"):
        metric.compute(predictions=[np.ones((2, 3))], references=[np.ones((3, 2))])
    with pytest.raises(ValueError, match="rows of a map must be equally long, got 1 to 2 values in map 1"):
        hub_metric("dpt_depth").compute(
            predictions=[[[1.0]], [[1.0, 2.0], [1.0]]], references=[[[1.0]], [[1.0, 2.0], [1.0, 2.0]]]
        )
    with pytest.raises(ValueError, match="dpt_depth, dpt_segmentation, dpt_whdr, got 'dpt_dept'"):
        hub_metric("dpt_dept")


@pytest.mark.parametrize("name", HUB_METRICS)
def test_the_example_of_each_metric_holds(name):
    metric = hub_metric(name)
    calls = [line.split(">>> ")[1] for line in metric.inputs_description.splitlines() if ">>>" in line]
    shown = metric.inputs_description.split(calls[-1])[1].split()[0]
    scope = {"metric": metric}
    exec(calls[1], scope)
    assert repr(eval(calls[2], scope)) == shown
    assert metric.description and metric.citation.startswith("@")


@pytest.mark.skipif(not (SHARED / "golden/metrics").is_dir(), reason="needs the golden metrics beside the project")
def test_depth_agrees_with_the_evaluator_of_the_authors():
    metric, folder = hub_metric("dpt_depth"), SHARED / "golden/metrics"
    for path in sorted((folder / "nyu/pred").glob("*.png")):
        scene, number = path.stem.split("_rgb_")
        truth = SHARED / f"real/nyu/official_splits/test/{scene}/sync_depth_{number}.png"
        maps = [np.array(Image.open(one)) / 1000 for one in (path, truth)]
        metric.add(prediction=maps[0], reference=maps[1] * crop_mask("eigen", 480, 640).numpy())
    expected = {key: value for key, value in json.loads((folder / "expected.json").read_text())["nyu"].items()}
    del expected["protocol"]
    got = metric.compute(min_depth=1e-3, max_depth=10)
    assert {key: got[key] for key in expected} == pytest.approx(expected, abs=2e-6)


SHARE = """
import sys
import torch
from open_dpt.evaluation.hub_metrics import hub_metric

def add_share(rank, cache):
    metric = hub_metric("dpt_depth", num_process=2, process_id=rank, experiment_id="shares", cache_dir=cache)
    generator = torch.Generator().manual_seed(0)
    maps = [1 + torch.rand(2, 3 + number, 4, generator=generator) for number in range(5)]
    for prediction, truth in maps[:1] if rank else maps[1:]:
        metric.add(prediction=prediction, reference=truth)
    return metric.compute(), maps
"""


def clean_environment(home, **values):
    """Of a process of its own, with nothing of ours in its caches."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return environment | {"HF_HOME": str(home), "OMP_NUM_THREADS": "1"} | values


def test_two_processes_share_a_folder(tmp_path):
    code = SHARE + "print('SAID', add_share(1, sys.argv[1])[0])"
    environment = clean_environment(tmp_path, HF_EVALUATE_OFFLINE="1", HF_HUB_OFFLINE="1")
    other = [sys.executable, "-c", code, str(tmp_path / "cache")]
    run = subprocess.Popen(other, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        scope = {}
        exec(SHARE, scope)
        got, maps = scope["add_share"](0, str(tmp_path / "cache"))
        output, errors = run.communicate(timeout=300)
    finally:
        run.kill()
    assert run.returncode == 0 and "SAID None" in output, errors[-2000:]
    expected = DepthMetrics()
    for prediction, truth in maps:
        expected.update(prediction, truth)
    assert got == pytest.approx(expected.compute()) and got["images"] == 5


def test_pushed_as_a_space_it_is_loaded_by_its_name(tmp_path):
    path = Path(__file__).parents[1] / "hub_server.py"
    spec = importlib.util.spec_from_file_location("hub_server", path)
    server = importlib.util.module_from_spec(spec)
    sys.modules["hub_server"] = server
    spec.loader.exec_module(server)
    code = (
        "import evaluate\n"
        "from open_dpt.evaluation.hub_metrics import push_hub_metric\n"
        "space = push_hub_metric('dpt_depth', 'tester', token='hf_write')\n"
        "metric = evaluate.load(space)\n"
        "print('SAID', metric.compute(predictions=[[[1.0, 2.0]]], references=[[[1.0, 4.0]]])['abs_rel'])\n"
    )
    with server.HubServer() as hub:
        environment = clean_environment(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1")
        environment |= {
            "HF_HUB_ETAG_TIMEOUT": "120",
            "HF_HUB_DOWNLOAD_TIMEOUT": "120",
        }  # it may be busy
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300
        )
        assert run.returncode == 0, run.stderr[-2000:]
        assert "SAID 0.25" in run.stdout
        (repository,) = (hub.repositories[name] for name in hub.repositories if name == "tester/dpt_depth")
        files = repository.commits[repository.branches["main"]]
        assert {"dpt_depth.py", "app.py", "README.md", "requirements.txt"} <= set(files)
        assert not any("__pycache__" in name for name in files)
        assert "POST api/repos/create" in hub.requests


@pytest.mark.parametrize("name", HUB_METRICS)
def test_each_folder_is_a_space(name, monkeypatch, tmp_path):
    folder = metric_folder(name)
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["sdk"] == "gradio" and front["app_file"] == "app.py" and {"evaluate", "metric"} <= set(front["tags"])
    assert name in text and "open-dpt" in (folder / "requirements.txt").read_text()
    shown = {}
    fake = types.SimpleNamespace(
        Interface=lambda **values: shown.update(values), Error=type("Error", (Exception,), {}), JSON=dict
    )
    fake.File = fake.Number = fake.Textbox = fake.Radio = lambda *_, **values: values
    monkeypatch.setitem(sys.modules, "gradio", fake)
    spec = importlib.util.spec_from_file_location(f"app_of_{name}", folder / "app.py")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    Image.fromarray(np.array([[1000, 2000]], np.uint16)).save(one)
    Image.fromarray(np.array([[1000, 4000]], np.uint16)).save(other)
    labels = tmp_path / "labels.png"
    Image.fromarray(np.array([[0, 1]], np.uint8)).save(labels)
    files = {
        "dpt_depth": ([str(one), str(other), 1000, 1e-3, 10], "abs_rel", 0.25),
        "dpt_segmentation": ([str(labels), str(labels), 2, 255], "mean_iou", 1.0),
        "dpt_whdr": ([str(one), "0, 0, 0, 1, 1\n0, 0, 0, 1, -1", "wrong"], "whdr", 0.5),
    }
    values, key, expected = files[name]
    assert len(shown["inputs"]) == len(values)
    assert shown["fn"](*values)[key] == expected
    with pytest.raises(fake.Error, match=r"missing\.png"):
        shown["fn"](str(tmp_path / "missing.png"), *values[1:])
