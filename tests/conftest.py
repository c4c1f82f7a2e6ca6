"""Fixtures that several folders of tests share: tiny checkpoints with random weights, and a photo."""

import os
import random
import socket
from collections.abc import Callable
from itertools import count
from pathlib import Path

import hypothesis
import pytest

# One thread a process: tiny models gain nothing from more, and two test processes would fight over the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test reaches the network. Those that talk to the local hub server do so in processes of their own.
os.environ["HF_HUB_OFFLINE"] = "1"
# Every test draws the same numbers whatever ran before it. Another seed shows which tests depend on them.
SEED = int(os.environ.get("OPEN_DPT_TEST_SEED", "0"))
# A busy machine may take its time, and what an earlier run found is not tried again in this one.
hypothesis.settings.register_profile("open_dpt", deadline=None, database=None)
hypothesis.settings.load_profile("open_dpt")

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 64,
    "patch_size": 16,
    "backbone_out_indices": [0, 1, 2, 3],
    "neck_hidden_sizes": [16, 24, 32, 40],
    "fusion_hidden_size": 16,
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Examples of property tests are drawn from the seed, too."""
    test = getattr(item, "obj", None)
    if getattr(test, "is_hypothesis_test", False):
        hypothesis.seed(SEED)(test)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Seed before the fixtures of a test, those of its module and session among them."""
    import numpy as np
    import torch

    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


@pytest.fixture(scope="session")
def tiny_depth_folder(tmp_path_factory) -> Path:
    """Checkpoint of a relative depth model with its processor (64 x 64, aspect kept). Do not change it."""
    return _save_tiny(tmp_path_factory.mktemp("tiny") / "depth", "DPTForDepthEstimation")


@pytest.fixture(scope="session")
def tiny_metric_folder(tmp_path_factory) -> Path:
    """Checkpoint of a metric depth model with its processor. Do not change it."""
    values = {"depth_estimation_type": "metric", "depth_scale": 0.01, "depth_shift": 0.1, "invert_depth": True}
    return _save_tiny(tmp_path_factory.mktemp("tiny") / "metric", "DPTForDepthEstimation", **values)


@pytest.fixture(scope="session")
def tiny_segmentation_folder(tmp_path_factory) -> Path:
    """Checkpoint of a segmentation model (5 classes) with its processor. Do not change it."""
    names = dict(enumerate(["wall", "floor", "tree", "sky", "car"]))
    return _save_tiny(tmp_path_factory.mktemp("tiny") / "segmentation", "DPTForSemanticSegmentation", id2label=names)


@pytest.fixture(scope="session")
def world() -> Callable[[int], list[dict[str, str]]]:
    """From a number of processes to the environment variables by which each of them finds the others (gloo)."""
    # Ports below those that the system gives to whoever asks for any: one stays free while the processes import torch.
    # Test processes begin at different ones.
    ports = count(10_000 + 10 * (os.getpid() % 2_000))

    def is_free(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    def world(size: int) -> list[dict[str, str]]:
        port = next(filter(is_free, ports))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(size)}
        shared |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
        return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(size)]

    return world


@pytest.fixture
def photo() -> Path:
    """The bundled photo, 600 x 400 pixels. Do not change it."""
    from open_dpt.assets import bundled_photo_path

    return bundled_photo_path()


def _save_tiny(folder: Path, class_name: str, **values) -> Path:
    import torch

    import open_dpt

    torch.manual_seed(0)
    config = open_dpt.DPTConfig(**TINY, **values)
    getattr(open_dpt, class_name)(config).save_pretrained(folder)
    open_dpt.DPTImageProcessor.for_model(config).save_pretrained(folder)
    return folder
