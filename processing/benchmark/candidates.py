"""The same network run in different ways: from a stock checkpoint folder to a function from pixels to a prediction."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...configuration import DPTConfig
from ...modeling_dpt import DPTForDepthEstimation
from .measure import OWN, Work

# What the stock class cannot express; `dpt-tiny` and `debug` differ in it.
_STOCK_FORM = {"head_activation": "relu", "head_hidden_size": 32, "normalize_taps": None}


@dataclass(frozen=True)
class Setting:
    """What one comparison holds fixed. `pixels`: (B, 3, H, W) in `dtype` on `device`."""

    folder: Path
    preset: str
    dtype: torch.dtype
    device: str
    pixels: Tensor


def write_checkpoint(preset: str, folder: Path) -> None:
    """Write a stock checkpoint of the preset with random weights, in the form that the stock class can express."""
    torch.manual_seed(0)
    DPTForDepthEstimation(DPTConfig.from_preset(preset, **_STOCK_FORM)).to_transformers(folder)


def load_own(folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> DPTForDepthEstimation:
    """Our model as loaded, not yet optimised."""
    return DPTForDepthEstimation.from_pretrained(folder).to(device=device, dtype=dtype).eval()


def load_stock(folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> nn.Module:
    """transformers' model of the same files."""
    from transformers import DPTForDepthEstimation as StockModel

    return StockModel.from_pretrained(folder).to(device=device, dtype=dtype).eval()


def build(name: str, setting: Setting) -> Work:
    """The candidate `name`: one of `suites.PEERS`, or one of `own_names`."""
    return _BUILDERS[name](setting)


def own_names(ways: tuple[str, ...]) -> list[str]:
    """What our ways are called: the first by our name, the usual one."""
    return [OWN if way == "optimized" else f"{OWN}, {way}" for way in ways]


def _module_work(model: nn.Module, setting: Setting) -> Work:
    def run(_: int = 0) -> Tensor:
        with torch.inference_mode():
            return model(setting.pixels).predicted_depth

    return Work(run, run)


def _optimized(setting: Setting) -> Work:
    return _module_work(load_own(setting.folder, setting.dtype, setting.device).optimize_for_inference(), setting)


def _loaded(setting: Setting) -> Work:
    return _module_work(load_own(setting.folder, setting.dtype, setting.device), setting)


def _compiled(setting: Setting) -> Work:
    model = load_own(setting.folder, setting.dtype, setting.device).optimize_for_inference()
    return _module_work(torch.compile(model), setting)


def _transformers(setting: Setting) -> Work:
    return _module_work(load_stock(setting.folder, setting.dtype, setting.device), setting)


def _transformers_compiled(setting: Setting) -> Work:
    model = load_stock(setting.folder, setting.dtype, setting.device)
    return _module_work(torch.compile(model), setting)


# timm's names of the encoders that smp's DPT can have in common with ours.
_TIMM_ENCODERS = {"dpt-base": "tu-vit_base_patch16_384", "dpt-large": "tu-vit_large_patch16_384"}


def _smp(setting: Setting) -> Work:
    import segmentation_models_pytorch as smp

    if setting.preset not in _TIMM_ENCODERS:
        raise ValueError(f"smp has no encoder like that of {setting.preset}")
    torch.manual_seed(0)
    with torch.device("cpu"):
        model = smp.DPT(_TIMM_ENCODERS[setting.preset], encoder_weights=None, classes=1, dynamic_img_size=True)
    model = model.to(device=setting.device, dtype=setting.dtype).eval()

    def run(_: int = 0) -> Tensor:
        with torch.inference_mode():
            return model(setting.pixels)[:, 0]

    if run().shape[-2:] != setting.pixels.shape[-2:]:
        raise ValueError("its answer is not as large as its input")
    return Work(run, None)


class _DepthOnly(nn.Module):
    """The tensor alone, which exporters like better than a dictionary."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.model(pixel_values).predicted_depth


def _openvino(setting: Setting) -> Work:
    import openvino

    _only_on_cpu(setting)
    precision = {torch.float32: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}[setting.dtype]
    pixels = setting.pixels.float()
    with _without_advice():
        exported = torch.export.export(_DepthOnly(load_own(setting.folder)).eval(), (pixels,))
        graph = openvino.convert_model(exported)
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    network = openvino.Core().compile_model(graph, "CPU", settings | {"PERFORMANCE_HINT": "LATENCY"})
    request, array = network.create_infer_request(), pixels.numpy()

    def run(_: int = 0) -> Any:
        return request.infer([array], share_inputs=True, share_outputs=True)

    return Work(run, lambda: torch.from_numpy(run()[0].copy()), frees_memory=False)


def _onnxruntime(setting: Setting) -> Work:
    import onnxruntime

    _only_on_cpu(setting)
    if setting.dtype != torch.float32:
        raise ValueError("its CPU provider has no kernels for the 16-bit operations of this network")
    file = setting.folder / f"{'x'.join(map(str, setting.pixels.shape))}.onnx"
    if not file.exists():
        options = {"dynamo": True, "external_data": True, "verbose": False}
        with _without_advice():
            torch.onnx.export(_DepthOnly(load_own(setting.folder)).eval(), (setting.pixels,), file, **options)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: setting.pixels.numpy()}

    def run(_: int = 0) -> Any:
        return session.run(None, feed)[0]

    return Work(run, lambda: torch.from_numpy(run()), frees_memory=False)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Exporters warn about their own insides, on several channels."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _only_on_cpu(setting: Setting) -> None:
    if torch.device(setting.device).type != "cpu":
        raise ValueError("is measured on the CPU only")


_BUILDERS: dict[str, Callable[[Setting], Work]] = {
    OWN: _optimized,
    f"{OWN}, loaded": _loaded,
    f"{OWN}, compiled": _compiled,
    "transformers": _transformers,
    "transformers-compiled": _transformers_compiled,
    "smp": _smp,
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
}
