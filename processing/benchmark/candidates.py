"""The same network run in different ways: from a stock checkpoint folder to a function from pixels to a prediction."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ...modeling_dpt.compiling import compile_model
from ...modeling_dpt.conversion.key_maps import TIMM_HYBRID, TIMM_VIT, original, rename
from .checkpoints import load_own, load_stock
from .measure import Work
from .suites import OWN


@dataclass(frozen=True)
class Setting:
    """What one comparison holds fixed.

    Args:
        pixels: (B, 3, H, W) in `dtype` on `device`.
        others: The same of other sizes, seen after it; only by candidates that are modules.
    """

    folder: Path
    preset: str
    dtype: torch.dtype
    device: str
    pixels: Tensor
    others: tuple[Tensor, ...] = ()

    @property
    def images(self) -> tuple[Tensor, ...]:
        return (self.pixels, *self.others)


def build(name: str, setting: Setting) -> Work:
    """The candidate `name`: one of `suites.PEERS`, or one of our ways."""
    return _BUILDERS[name](setting)


def joined(answers: Iterable[Tensor]) -> Tensor:
    """The answer as it is; several, of different sizes, in one row, each taken out before the next is asked for."""
    first, *others = (answer.float().cpu() for answer in answers)
    return torch.cat([answer.flatten() for answer in (first, *others)]) if others else first


def _module_work(model: nn.Module, setting: Setting) -> Work:
    @torch.inference_mode()
    def answer(pixels: Tensor) -> Tensor:
        return model(pixels).predicted_depth

    def run(_: int = 0) -> list[Tensor]:
        return [answer(pixels) for pixels in setting.images]

    return Work(run, lambda: joined(map(answer, setting.images)))


def _optimized(setting: Setting) -> Work:
    return _module_work(load_own(setting.folder, setting.dtype, setting.device).optimize_for_inference(), setting)


def _loaded(setting: Setting) -> Work:
    return _module_work(load_own(setting.folder, setting.dtype, setting.device), setting)


def _compiled(setting: Setting) -> Work:
    return _compile(load_own(setting.folder, setting.dtype, setting.device).optimize_for_inference(), setting)


def _compile(model: nn.Module, setting: Setting) -> Work:
    """For one size. On graphics cards with CUDA graphs, which spare the launching of one kernel after the other.

    Graphs keep what they took for a call.
    """
    on_cuda = torch.device(setting.device).type == "cuda"
    compiled = torch.compile(model, mode="reduce-overhead" if on_cuda else None, dynamic=False)
    return replace(_module_work(compiled, setting), frees_memory=not on_cuda)


def _compile_model(setting: Setting) -> Work:
    model = compile_model(load_own(setting.folder, setting.dtype, setting.device).optimize_for_inference())
    work = _module_work(model, setting)

    def output() -> Tensor:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "compiling failed")  # else it goes on uncompiled
            return work.output()

    return replace(work, output=output)


def _int8(setting: Setting) -> Work:
    _only_on_cpu(setting)
    model = load_own(setting.folder).quantize_int8()
    pixels, *others = (pixels.to(model.dtype) for pixels in setting.images)
    return replace(_module_work(model, replace(setting, pixels=pixels, others=tuple(others))), judged=False)


def _transformers(setting: Setting) -> Work:
    return _of_squares(_module_work(load_stock(setting.folder, setting.dtype, setting.device), setting), setting)


def _transformers_compiled(setting: Setting) -> Work:
    return _of_squares(_compile(load_stock(setting.folder, setting.dtype, setting.device), setting), setting)


def _of_squares(work: Work, setting: Setting) -> Work:
    """What its class says of an image that is no square tells nobody why."""
    oblong = [
        "x".join(map(str, pixels.shape[-2:])) for pixels in setting.images if pixels.shape[-2] != pixels.shape[-1]
    ]

    def output() -> Tensor:
        try:
            return work.output()
        except RuntimeError as error:
            if not oblong:
                raise
            raise ValueError(f"takes squares only, got {oblong[0]}") from error

    return replace(work, output=output)


# The authors' names of encoders.
_AUTHORS_ENCODERS = {"dpt-base": "vitb16_384", "dpt-large": "vitl16_384", "dpt-hybrid": "vitb_rn50_384"}


def _authors(setting: Setting) -> Work:
    from dpt.models import DPTDepthModel

    if setting.preset not in _AUTHORS_ENCODERS:
        raise ValueError(f"the authors' code has no encoder like that of {setting.preset}")
    torch.manual_seed(0)
    model = DPTDepthModel(backbone=_AUTHORS_ENCODERS[setting.preset])
    weights = load_file(setting.folder / "model.safetensors")
    model.load_state_dict(in_authors_names(weights, model.state_dict()))
    model = model.to(device=setting.device, dtype=setting.dtype).eval()

    def run(_: int = 0) -> Tensor:
        with torch.inference_mode():
            return model(setting.pixels)

    return Work(run, run)


def in_authors_names(weights: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their state dict with our weights: the table that reads their files, applied backwards.

    What it drops (the classifier) stays theirs.
    """
    is_hybrid = any(key.startswith("pretrained.model.patch_embed.backbone.") for key in theirs)
    table = original(TIMM_HYBRID if is_hybrid else TIMM_VIT)
    names = {key: list(rename({key: value}, table)[0]) for key, value in theirs.items()}
    return {key: torch.cat([weights[name] for name in names[key]]) if names[key] else theirs[key] for key in theirs}


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
    # Else its threads go on spinning after a call, and slow down whoever comes next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: setting.pixels.numpy()}

    def run(_: int = 0) -> Any:
        return session.run(None, feed)[0]

    return Work(run, lambda: torch.from_numpy(run()), frees_memory=False)


@contextmanager
def _without_advice() -> Iterator[None]:
    """Exporters warn about their own insides, on several channels."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _only_on_cpu(setting: Setting) -> None:
    if torch.device(setting.device).type != "cpu":
        raise ValueError("is measured on the CPU only")


_BUILDERS: dict[str, Callable[[Setting], Work]] = {
    OWN: _optimized,
    f"{OWN}, loaded": _loaded,
    f"{OWN}, compiled": _compiled,
    f"{OWN}, compile_model": _compile_model,
    f"{OWN}, int8": _int8,
    "transformers": _transformers,
    "transformers-compiled": _transformers_compiled,
    "authors": _authors,
    "smp": _smp,
    "openvino": _openvino,
    "onnxruntime": _onnxruntime,
}
