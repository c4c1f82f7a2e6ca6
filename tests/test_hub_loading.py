"""Checkpoints from the hub and to it, through the real client and a hub on this machine (hub_server.py)."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Runs in the client process: one JSON-encoded piece of code a line in, what it left in `result` or its error out.
# Whatever libraries print goes to stderr, so that standard output holds answers only.
_CLIENT = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    scope = {}
    try:
        exec(json.loads(line), scope)
        answer = {"result": scope.get("result")}
    except BaseException as error:
        answer = {"error": [type(error).__name__, str(error), isinstance(error, (OSError, ValueError))]}
    print(json.dumps(answer), file=answers, flush=True)
"""

_PREDICTION = """
import torch
from open_dpt import DPTForDepthEstimation
from transformers.utils import logging
logging.disable_progress_bar()
logging.set_verbosity_error()

def prediction(*arguments, **options):
    model = DPTForDepthEstimation.from_pretrained(*arguments, **options)
    pixels = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        return model(pixels).predicted_depth[0, ::16, ::16].tolist()
"""


class _Client:
    """A process whose huggingface_hub knows only the given hub, with a cache of its own. A context manager."""

    def __init__(self, endpoint: str, home: Path, **environment: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        clean |= {"HF_HUB_ETAG_TIMEOUT": "120", "HF_HUB_DOWNLOAD_TIMEOUT": "120"}  # a busy machine may take its time
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CLIENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"} | environment,
        )

    def __call__(self, code: str):
        """Run `code` and return its `result`."""
        answer = self._ask(code)
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, code: str) -> str:
        """Run `code`, which must raise an error meant for people, and return its one line."""
        answer = self._ask(code)
        assert "error" in answer, "no error was raised"
        kind, message, for_people = answer["error"]
        assert for_people, f"{kind}: {message}"
        assert len(message.splitlines()) == 1, message
        return message

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, code: str) -> dict:
        self._process.stdin.write(json.dumps(_PREDICTION + code) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the client process ended"
        return json.loads(answer)


@pytest.fixture(scope="module")
def hub():
    # Loaded by path: tests are no package.
    spec = importlib.util.spec_from_file_location("hub_server", Path(__file__).with_name("hub_server.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["hub_server"] = module
    spec.loader.exec_module(module)
    with module.HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("hf_home")


@pytest.fixture(scope="module")
def client(hub, home):
    with _Client(hub.url, home) as process:
        yield process


@pytest.fixture(scope="module")
def expected(client, tiny_depth_folder):
    """Prediction of the tiny model from its folder."""
    return client(f"result = prediction({str(tiny_depth_folder)!r})")


def test_a_model_its_configuration_and_processor_by_id(hub, client, tiny_depth_folder, expected):
    hub.add("owner/plain", tiny_depth_folder)
    assert client("result = prediction('owner/plain')") == expected
    assert (
        client("from open_dpt import DPTConfig; result = DPTConfig.from_pretrained('owner/plain').hidden_size") == 32
    )
    assert (
        client(
            "from open_dpt import DPTImageProcessor\n"
            "result = DPTImageProcessor.from_pretrained('owner/plain').size['height']"
        )
        == 64
    )


def test_revisions(hub, client, tiny_depth_folder, tiny_metric_folder, expected):
    first = hub.add("owner/revised", tiny_depth_folder)
    hub.add("owner/revised", tiny_metric_folder, branch="metric")
    hub.add("owner/revised", tiny_metric_folder)  # main moves on
    metric = client("result = prediction('owner/revised', revision='metric')")
    assert metric != expected
    assert client("result = prediction('owner/revised')") == metric
    assert client(f"result = prediction('owner/revised', revision={first!r})") == expected
    message = client.error("prediction('owner/revised', revision='v9')")
    assert "owner/revised" in message and "v9" in message


def test_tokens(hub, client, tiny_depth_folder, expected):
    hub.add("owner/private", tiny_depth_folder, token="hf_secret")
    assert client("result = prediction('owner/private', token='hf_secret')") == expected
    hub.add("owner/hidden", tiny_depth_folder, token="hf_secret")
    assert "owner/hidden" in client.error("prediction('owner/hidden')")
    hub.add("owner/gated", tiny_depth_folder, token="hf_granted", gated=True)
    message = client.error("prediction('owner/gated', token='hf_stranger')")
    assert "owner/gated" in message and "gated" in message
    assert client("result = prediction('owner/gated', token='hf_granted')") == expected


def test_a_repository_that_does_not_exist(client):
    for loader in (
        "DPTForDepthEstimation",
        "DPTForSemanticSegmentation",
        "DPTModel",
        "DPTConfig",
        "DPTImageProcessor",
    ):
        message = client.error(f"import open_dpt; open_dpt.{loader}.from_pretrained('nobody/nothing')")
        assert "nobody/nothing" in message and "token" in message, message


def test_a_repository_without_a_model(hub, client, tmp_path):
    (tmp_path / "README.md").write_text("# nothing here")
    hub.add("owner/empty", tmp_path)
    assert "config.json" in client.error("prediction('owner/empty')")
    (tmp_path / "config.json").write_text('{"model_type": "open_dpt"}')
    hub.add("owner/weightless", tmp_path)
    message = client.error("prediction('owner/weightless')")
    assert "owner/weightless" in message and "model.safetensors" in message


def test_cache_dir_is_used_and_nothing_is_fetched_twice(hub, client, tiny_depth_folder, tmp_path, expected):
    hub.add("owner/cached", tiny_depth_folder)
    load = f"result = prediction('owner/cached', cache_dir={str(tmp_path / 'cache')!r})"
    assert client(load) == expected
    assert list((tmp_path / "cache").rglob("model.safetensors"))
    fetched = _weights_fetched(hub, "owner/cached")
    assert client(load) == expected
    assert _weights_fetched(hub, "owner/cached") == fetched == 1


def test_sharded_weights(hub, client, tmp_path, tiny_depth_folder, expected):
    shards = str(tmp_path / "shards")
    client(
        f"model = DPTForDepthEstimation.from_pretrained({str(tiny_depth_folder)!r})\n"
        f"model.save_pretrained({shards!r}, max_shard_size='100KB')"
    )
    assert len(list(Path(shards).glob("model-*.safetensors"))) > 1
    hub.add("owner/sharded", Path(shards))
    _assert_close(client("result = prediction('owner/sharded')"), expected)


def test_stock_layout_by_id(hub, client, tmp_path, tiny_depth_folder, expected):
    stock = str(tmp_path / "stock")
    client(f"DPTForDepthEstimation.from_pretrained({str(tiny_depth_folder)!r}).to_transformers({stock!r})")
    hub.add("owner/stock", Path(stock))
    _assert_close(client("result = prediction('owner/stock')"), expected)


def test_push_and_load_again(hub, client, tiny_depth_folder, expected):
    folder = str(tiny_depth_folder)
    client(
        "from open_dpt import DPTImageProcessor\n"
        f"DPTForDepthEstimation.from_pretrained({folder!r}).push_to_hub('tester/pushed', token='hf_write')\n"
        f"DPTImageProcessor.from_pretrained({folder!r}).push_to_hub('tester/pushed', token='hf_write')\n"
    )
    repository = hub.repositories["tester/pushed"]
    files = repository.commits[repository.branches["main"]]
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "modeling_open_dpt.py"} <= set(files)
    assert "auto_map" in json.loads(files["config.json"])
    assert client("result = prediction('tester/pushed')") == expected


def test_pushing_without_permission_is_one_line(client, tiny_depth_folder):
    code = (
        f"DPTForDepthEstimation.from_pretrained({str(tiny_depth_folder)!r}).push_to_hub('tester/x', token='hf_reader')"
    )
    assert client._ask(code)["error"]


_LOAD_OFFLINE = (
    "from open_dpt import DPTImageProcessor; DPTImageProcessor.from_pretrained('owner/offline')\n"
    "result = prediction('owner/offline')"
)


@pytest.fixture
def cached(hub, client, tiny_depth_folder, expected):
    """The client's cache holds owner/offline."""
    hub.add("owner/offline", tiny_depth_folder)
    assert client(_LOAD_OFFLINE) == expected


def test_offline_mode(hub, home, cached, expected):
    before = len(hub.requests)
    with _Client(hub.url, home, HF_HUB_OFFLINE="1") as offline:
        assert offline(_LOAD_OFFLINE) == expected
        message = offline.error("prediction('owner/never')")
        assert "owner/never" in message and "offline" in message
    assert len(hub.requests) == before


def test_no_network(home, cached, expected):
    no_waiting = "import time; time.sleep = lambda seconds: None\n"
    with _Client("http://127.0.0.1:9", home) as unplugged:  # nobody listens there
        assert unplugged(no_waiting + _LOAD_OFFLINE) == expected
        for loader in ("DPTForDepthEstimation", "DPTConfig", "DPTImageProcessor"):
            code = f"{no_waiting}import open_dpt; open_dpt.{loader}.from_pretrained('owner/never')"
            message = unplugged.error(code)
            assert "owner/never" in message and "network" in message, message


def test_the_remote_code_stub_finds_the_package(hub, client, tiny_depth_folder, expected):
    hub.add("owner/remote", tiny_depth_folder)
    code = (
        "from transformers import AutoModelForDepthEstimation\n"
        "found = [AutoModelForDepthEstimation.from_pretrained('owner/remote', trust_remote_code=True)]\n"
        "try:\n"
        "    from transformers import AutoImageProcessor\n"
        "    found.append(AutoImageProcessor.from_pretrained('owner/remote', trust_remote_code=True))\n"
        "except ImportError as error:  # older transformers have no AutoImageProcessor without torchvision\n"
        "    assert 'Torchvision' in str(error), error\n"
        "result = sorted({type(each).__module__.split('.')[0] for each in found})\n"
    )
    assert client(code) == ["open_dpt"]


@pytest.mark.parametrize("task", ["depth-estimation", "image-segmentation"])
def test_pipelines_by_id(hub, client, task, tiny_depth_folder, tiny_segmentation_folder, photo):
    folder = tiny_depth_folder if task == "depth-estimation" else tiny_segmentation_folder
    hub.add(f"owner/{task}", folder)
    code = (
        "import open_dpt, transformers\n"
        f"pipeline = transformers.pipeline({task!r}, model='owner/{task}')\n"
        f"found = pipeline({str(photo)!r})\n"
        "result = list((found['depth'] if isinstance(found, dict) else found[0]['mask']).size)\n"
    )
    assert client(code) == [600, 400]


def test_the_command_line_takes_an_id(hub, client, tiny_depth_folder, photo, tmp_path):
    weights_only = shutil.copytree(tiny_depth_folder, tmp_path / "model")
    (weights_only / "preprocessor_config.json").unlink()
    hub.add("owner/command", weights_only)
    code = (
        "from open_dpt.cli.main import main\n"
        f"result = main(['predict', {str(photo)!r}, '--model', 'owner/command', '--output', {str(tmp_path)!r}])\n"
    )
    assert client(code) == 0
    assert (tmp_path / "photo_color.png").is_file()


def _weights_fetched(hub, repo_id: str) -> int:
    return sum(line.startswith(f"GET {repo_id}/resolve") and line.endswith(".safetensors") for line in hub.requests)


def _assert_close(rows, expected_rows) -> None:
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5, abs=1e-6)


def test_what_is_evaluated_by_its_hub_id_records_the_commit(client, hub, tiny_depth_folder, tmp_path):
    import open_dpt

    model = open_dpt.DPTForDepthEstimation.from_pretrained(tiny_depth_folder)
    model.to_transformers(tmp_path, processor=open_dpt.DPTImageProcessor.from_pretrained(tiny_depth_folder))
    old = hub.add("tests/evaluated", tmp_path, branch="old")
    new = hub.add("tests/evaluated", tmp_path)
    described = client(
        "from open_dpt.evaluation.adapters.loading import load_adapter\n"
        "specs = ['tests/evaluated', 'stock:tests/evaluated']\n"
        "adapters = [load_adapter(spec, 'depth', revision=branch) for spec in specs for branch in ('old', None)]\n"
        "result = [[type(one).__name__, one.describe()['revision'], one.name] for one in adapters]\n"
    )
    own, stock = ["OwnModel", "tests/evaluated"], ["StockModel", "tests/evaluated"]
    assert [[kind, name] for kind, _, name in described] == [own, own, stock, stock]
    assert [revision for _, revision, _ in described] == [old, new, old, new]
    for spec in ("tests/nowhere", "stock:tests/nowhere"):
        message = client.error(
            f"from open_dpt.evaluation.adapters.loading import load_adapter\nload_adapter({spec!r}, 'depth')"
        )
        assert message.startswith("tests/nowhere: no such folder, and no such repository on the hub")
