"""The file formats: how each is written from an exported program, and opened again to be checked.

A format is an entry of `FORMATS` and its two functions; nothing elsewhere asks which one it is.
"""

import errno
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .metadata import ExportError
from .quantize import quantize

Program = torch.export.ExportedProgram
Runner = Callable[[np.ndarray], np.ndarray]
Photos = Iterator[np.ndarray]

# Bytes of weights in an ONNX file itself; 2 GB do not fit.
LARGEST_INSIDE = 1.8e9

EXTRA = "pip install 'open-dpt[export]'"


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        suffix: Of its file.
        write: (program, path, text, opset, dtype, photos) writes the file, and others beside it where the format has
            them; photos, which the graph takes, are read where ranges of activations have to be measured.
        open: path -> function from uint8 (B, H, W, 3) to the prediction (B, H, W), run by the format's own runtime.
        packages: Modules that both need.
        dtypes: What it can hold, and the dtype that the model computes in when it is exported.
        remedy: What to do about another dtype.
        opsets: Versions of its operators, the default first; empty: it has none.
    """

    suffix: str
    write: Callable[[Program, Path, dict[str, str], int | None, str, Photos], None]
    open: Callable[[Path], Runner]
    packages: tuple[str, ...]
    dtypes: dict[str, torch.dtype]
    remedy: str
    opsets: tuple[int, ...] = ()


def find_format(name: str, dtype: str = "float32") -> Format:
    """The format of a name.

    Raises:
        ExportError: there is none, it cannot hold the dtype, or a package that it needs is missing.
    """
    if name not in FORMATS:
        raise ExportError(f"format: must be one of {', '.join(FORMATS)}, got {name!r}.")
    if dtype not in FORMATS[name].dtypes:
        known = ", ".join(FORMATS[name].dtypes)
        raise ExportError(f"dtype: {name} holds {known}, got {dtype!r}. {FORMATS[name].remedy}")
    quantizer = ("onnxruntime",) if dtype == "int8" else ()
    packages = dict.fromkeys(FORMATS[name].packages + quantizer)
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ExportError(f"format {name}: needs {', '.join(missing)}, not installed. Run: {EXTRA}.")
    return FORMATS[name]


def _write_onnx(
    program: Program, path: Path, text: dict[str, str], opset: int | None, dtype: str, photos: Photos
) -> None:
    import onnx_ir

    size = _weight_bytes(program)
    onnx = torch.onnx.export(
        program,
        input_names=["image"],
        output_names=[text["kind"]],
        opset_version=opset,
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    onnx.model.producer_name, onnx.model.doc_string = "open_dpt", text["meaning"]
    onnx.model.metadata_props.update(text)
    external = path.name + ".data" if size > LARGEST_INSIDE else None
    if dtype != "int8":
        onnx_ir.save(onnx.model, path, external_data=external)
        return
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        exact = Path(folder, path.name)
        onnx_ir.save(onnx.model, exact, external_data=external)
        del onnx, program
        quantize(exact, path, photos)


def _open_onnx(path: Path) -> Runner:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda image: session.run(None, {"image": image})[0]


def _write_openvino(
    program: Program, path: Path, text: dict[str, str], opset: int | None, dtype: str, photos: Photos
) -> None:
    import openvino

    # By way of ONNX: the route that keeps every size a symbol.
    onnx = path.with_suffix(".onnx")
    _write_onnx(program, onnx, text, opset, dtype, photos)
    model = openvino.convert_model(onnx)
    for key, value in text.items():
        model.set_rt_info(value, ["open_dpt", key])
    openvino.save_model(model, path, compress_to_fp16=dtype == "float16")
    del model  # reads the file that goes now
    for leftover in path.parent.glob(onnx.name + "*"):
        leftover.unlink()


def _open_openvino(path: Path) -> Runner:
    import openvino

    core = openvino.Core()
    # Exact, where the plugin would choose bfloat16 on machines that have it.
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = core.compile_model(core.read_model(path), "CPU", exact)
    return lambda image: compiled(image)[0]


def _write_program(
    program: Program, path: Path, text: dict[str, str], opset: int | None, dtype: str, photos: Photos
) -> None:
    # torch's writer ends the whole process when the disk is full. What is no weight takes a few megabytes.
    if shutil.disk_usage(path.parent).free < 1.1 * _weight_bytes(program) + 4e6:
        raise OSError(errno.ENOSPC, "no space left on device")
    torch.export.save(program, path, extra_files={"open_dpt.json": json.dumps(text)})


def _weight_bytes(program: Program) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())


def _open_program(path: Path) -> Runner:
    module: Any = torch.export.load(path).module()

    def run(image: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(image)).numpy()

    return run


_FLOATS = {name: getattr(torch, name) for name in ("float32", "float16", "bfloat16")}

# Opset 18: the first with the resizing that is used here. 23 is the last that the exporter knows.
_OPSETS = (20, 18, 19, 21, 22, 23)

FORMATS = {
    "onnx": Format(
        suffix=".onnx",
        write=_write_onnx,
        open=_open_onnx,
        packages=("onnx", "onnxscript", "onnxruntime"),
        dtypes={"float32": torch.float32, "float16": torch.float16, "int8": torch.float32},
        opsets=_OPSETS,
        remedy="ONNX Runtime has hardly any operator for bfloat16; for speed on a GPU choose float16.",
    ),
    "torch-export": Format(
        suffix=".pt2",
        write=_write_program,
        open=_open_program,
        packages=(),
        dtypes=_FLOATS,
        remedy="For 8 bits choose onnx or openvino.",
    ),
    "openvino": Format(
        suffix=".xml",
        write=_write_openvino,
        open=_open_openvino,
        packages=("onnx", "onnxscript", "openvino"),
        # Half precision is that of the stored weights; the plugin chooses what it computes in.
        dtypes={"float32": torch.float32, "float16": torch.float32, "int8": torch.float32},
        opsets=_OPSETS,
        remedy="OpenVINO takes bfloat16 when it runs: compile_model(..., {'INFERENCE_PRECISION_HINT': 'bf16'}).",
    ),
}
