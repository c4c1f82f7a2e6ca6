"""What the `evaluate` metrics share: maps of any sizes, read back one at a time.

`evaluate` keeps what is added in an Arrow file and hands all of it to `_compute` as nested lists, which would take 32
bytes a pixel. Here `_compute` gets columns that read a map at a time.
"""

from collections.abc import Iterator
from typing import Any

import datasets
import evaluate
import numpy as np
import torch
from torch import Tensor


class MapMetric(evaluate.Metric):
    """A metric of maps (H, W); subclasses say in `_info` what they take, and `_compute` gets `MapColumn`s."""

    def _finalize(self):
        super()._finalize()
        if self.data is not None:
            self.data = _Columns(self.data)


class MapColumn:
    """Iterates over one column as tensors (H, W) of its own number type."""

    def __init__(self, rows: datasets.Dataset, name: str):
        self._rows, self._name = rows, name

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Tensor]:
        for index, table in enumerate(self._rows.iter(batch_size=1)):
            lines = table[self._name].combine_chunks()[0].values
            widths = {len(line) for line in lines} or {0}
            if len(widths) > 1:
                raise ValueError(
                    f"{self._name}: rows of a map must be equally long, got {min(widths)} to {max(widths)} values in "
                    f"map {index}."
                )
            values = np.array(lines.flatten().to_numpy(zero_copy_only=False))
            yield torch.from_numpy(values).reshape(len(lines), *widths)


def metric_info(description: str, inputs: str, citation: str, url: str, **kinds: str) -> evaluate.MetricInfo:
    """What `_info` returns; `kinds`: of predictions and of references the `datasets.Value` type of their numbers."""
    maps = {name: datasets.List(datasets.List(datasets.Value(kind))) for name, kind in kinds.items()}
    return evaluate.MetricInfo(
        description=description,
        inputs_description=inputs,
        citation=citation,
        features=datasets.Features(maps),
        reference_urls=[url],
    )


class _Columns:
    """Stands in for the data set that `evaluate` reads whole."""

    def __init__(self, rows: datasets.Dataset):
        self._rows = rows.with_format("arrow")

    def set_format(self, **_: Any) -> None:
        pass

    def __getitem__(self, name: str) -> dict:
        # `evaluate` asks for data[name][:].
        return _Whole(self._rows, name)


class _Whole(MapColumn):
    def __getitem__(self, _: slice) -> MapColumn:
        return self
