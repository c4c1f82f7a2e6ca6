"""The checkpoint with random weights that all candidates load, and what its network asks for."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from ...configuration import DPTConfig
from ...modeling_dpt import DPTForDepthEstimation
from .measure import count_flop

# What the stock class cannot express; `dpt-tiny` and `debug` differ in it.
_STOCK_FORM = {"head_activation": "relu", "head_hidden_size": 32, "normalize_taps": None}
# It runs a hybrid at this size only.
_STOCK_HYBRID_SIZE = 384


def stock_config(preset: str) -> DPTConfig:
    """The preset in the form that the stock class can express."""
    size = {"image_size": _STOCK_HYBRID_SIZE} if DPTConfig.from_preset(preset).is_hybrid else {}
    return DPTConfig.from_preset(preset, **_STOCK_FORM, **size)


def write_checkpoint(preset: str, folder: Path) -> None:
    """Write a stock checkpoint of `stock_config(preset)` with random weights."""
    torch.manual_seed(0)
    model = DPTForDepthEstimation(stock_config(preset))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # A random stem of convolutions magnifies rounding, the more the larger its residual branches are.
            if name.endswith("norm3.weight"):
                parameter *= 0.2
    model.to_transformers(folder)


@lru_cache
def needed_flop(preset: str, batch: int, size: tuple[int, int], backward: bool = False) -> int:
    """What the network asks for, by PyTorch's count of our plain model.

    Counted on shapes alone: what a device, a dtype or `optimize_for_inference` reorders or replaces has no part in it.
    """
    with torch.device("meta"):
        model = DPTForDepthEstimation(stock_config(preset)).train(backward)
        pixels = torch.empty(batch, 3, *size)

    def run() -> None:
        prediction = model(pixels).predicted_depth
        if backward:
            prediction.sum().backward()

    return count_flop(run)


def load_own(folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> DPTForDepthEstimation:
    """Our model as loaded, not yet optimised."""
    return DPTForDepthEstimation.from_pretrained(folder).to(device=device, dtype=dtype).eval()


def load_stock(folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> nn.Module:
    """transformers' model of the same files."""
    from transformers import DPTForDepthEstimation as StockModel

    return StockModel.from_pretrained(folder).to(device=device, dtype=dtype).eval()
