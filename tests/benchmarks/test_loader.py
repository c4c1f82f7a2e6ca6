import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "loader.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("loader_benchmark", SCRIPT)
    module = sys.modules["loader_benchmark"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["loader_benchmark"]


def test_every_layout_is_measured_with_every_number_of_workers(script, tmp_path, capsys, monkeypatch):
    some = [name for name in script.LAYOUTS if name.startswith(("NYUv2, JPEG", "ADE20K"))]
    monkeypatch.setattr(script, "LAYOUTS", {name: script.LAYOUTS[name] for name in some})
    output = tmp_path / "loader.json"
    options = ["--workers", "0", "2", "--seconds", "0.01", "--images", "2", "--batch_size", "1"]
    script.main([*options, "--output", str(output)])
    figures = json.loads(output.read_text())
    assert figures["machine"]["cores"] >= 1 and figures["settings"]["batch_size"] == 1
    measured = [(line["layout"], line["workers"]) for line in figures["results"]]
    assert measured == [(name, workers) for name in script.LAYOUTS for workers in (0, 2)]
    for line in figures["results"]:
        assert line["images_per_second"] > 0 and line["read_ms"] > 0 and line["warp_ms"] > 0
        assert line["images_per_second_and_worker"] == line["images_per_second"] / max(1, line["workers"])
    table = capsys.readouterr().out
    assert all(name in table for name in script.LAYOUTS)
