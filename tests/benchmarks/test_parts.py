import importlib.util
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "parts.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("parts_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parts_are_the_whole(script):
    started = time.perf_counter()
    found = script.measure("debug", (64, 96), torch.float32, rounds=2)
    most = 1e3 * (time.perf_counter() - started)
    assert {"linear layers of the encoder", "attention: scores, softmax, sums", "head, at full resolution"} <= {
        part for part, _, _ in found
    }
    assert all(took > 0 for _, took, _ in found) and sum(took for _, took, _ in found) < most


def test_a_part_does_not_count_what_lies_inside_it(script, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(script, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Slow(nn.Linear):
        def forward(self, features):
            now[0] += 0.05
            return super().forward(features)

    inner, clock = Slow(3, 5), script.Clock()
    outer = nn.Sequential(inner)
    clock.watch(inner, "inner")
    clock.watch(outer, "outer")
    outer(torch.zeros(7, 3))
    assert clock.seconds == {"inner": 0.05, "outer": 0.0}
    assert clock.operations == {"inner": 2 * 7 * 3 * 5, "outer": 0}


def test_the_command_prints_a_table(script, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["parts.py", "--preset", "debug", "--size", "64x96", "--rounds", "1"])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| part | ms |") and lines[-1].startswith("| all |")
