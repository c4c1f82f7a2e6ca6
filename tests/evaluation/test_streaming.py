"""Metrics of two real processes (gloo) with uneven shares are those of one."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from open_dpt.evaluation.boundary_metrics import BoundaryMetrics
from open_dpt.evaluation.depth_metrics import DepthMetrics
from open_dpt.evaluation.ordinal_metrics import OrdinalMetrics
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics
from open_dpt.evaluation.streaming import fresh_samples

# The same data and metrics in each process; `shares` says which images it adds.
DATA = """
import torch
from open_dpt.evaluation.boundary_metrics import BoundaryMetrics
from open_dpt.evaluation.depth_metrics import DepthMetrics
from open_dpt.evaluation.ordinal_metrics import OrdinalMetrics
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

generator = torch.Generator().manual_seed(0)
sizes = [(4 + number, 6) for number in range(7)]
truths = [1 + torch.rand(size, generator=generator) for size in sizes]
predictions = [1 + torch.rand(size, generator=generator) for size in sizes]
labels = [torch.randint(0, 3, size, generator=generator) for size in sizes]
classes = [torch.randint(0, 3, size, generator=generator) for size in sizes]
pairs = [[(0, 0, number, 1, 1), (1, 1, 2, number % 6, -1)] for number in range(4)] * 2

def metrics(images):
    every = [DepthMetrics(1.1, 9), DepthMetrics(1.1, 9, "pixel"), SegmentationMetrics(3), OrdinalMetrics()]
    every.append(BoundaryMetrics())
    for image in images:
        for metric in (*every[:2], every[4]):
            metric.update(predictions[image], truths[image])
        every[2].update(classes[image], labels[image])
        every[3].update(predictions[image], pairs[image])
    return every
"""

PROCESS = (
    DATA
    + """
import json
from accelerate import Accelerator
from torch.utils.data import DataLoader
from open_dpt.evaluation.streaming import fresh_samples

accelerator = Accelerator(cpu=True)
share = [[0, 1, 2, 3, 4, 5], [6]][accelerator.process_index]
every = [metric.gather(accelerator) for metric in metrics(share)]
nothing = [metric.gather(accelerator) for metric in metrics(range(7) if accelerator.is_main_process else [])]
loader = accelerator.prepare(DataLoader(range(7), batch_size=2))
seen, padded = [], 0
for batch in loader:
    seen += batch[: fresh_samples(accelerator, len(batch))].tolist()
    padded += len(batch)
prepared = [metric.gather(accelerator) for metric in metrics(seen)]
scores = [[metric.compute() for metric in group] for group in (every, nothing, prepared)]
print("SAID", json.dumps([scores, padded, every[2].iou_per_class().tolist()]), flush=True)
accelerator.end_training()  # a process group that is left to the interpreter's end may abort it
"""
)


def test_uneven_shares_gather_to_the_scores_of_one_process(world):
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for variables in world(2)
    ]
    said = []
    for run in runs:
        try:
            output, errors = run.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            [one.kill() for one in runs]
            raise
        assert run.returncode == 0, errors[-2000:]
        said.append(json.loads(next(line for line in output.splitlines() if line.startswith("SAID"))[4:]))
    assert said[0] == said[1]  # every process holds the whole
    scope = {}
    exec(DATA, scope)
    alone = scope["metrics"](range(7))
    groups, padded, iou = said[0]
    assert padded == 4  # the prepared loader gave each process four of seven images, one of them twice
    for group in groups:
        for scores, metric in zip(group, alone, strict=True):
            assert scores == pytest.approx(metric.compute(), rel=1e-12)
    assert iou == pytest.approx(alone[2].iou_per_class().tolist())


@pytest.mark.parametrize(
    "metric",
    [DepthMetrics(), SegmentationMetrics(2), OrdinalMetrics(), BoundaryMetrics()],
    ids=lambda m: type(m).__name__,
)
def test_gathering_twice_would_count_twice(metric):
    assert metric.gather() is metric
    with pytest.raises(ValueError, match="called once, got a second call"):
        metric.gather()


@pytest.mark.parametrize(
    ("rank", "end", "remainder", "fresh"),
    [(0, False, 3, 2), (0, True, 3, 2), (1, True, 3, 1), (1, True, 1, 0), (1, True, 0, 2), (1, True, -1, 2)],
)
def test_repeats_of_a_prepared_loader_are_told_apart(rank, end, remainder, fresh):
    state = SimpleNamespace(end_of_dataloader=end, remainder=remainder)
    accelerator = SimpleNamespace(gradient_state=state, process_index=rank)
    assert fresh_samples(accelerator, 2) == fresh
