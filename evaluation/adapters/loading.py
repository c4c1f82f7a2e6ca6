"""From what a person named to an adapter."""

from __future__ import annotations

import typing
from pathlib import Path

from ...configuration.hub_errors import plain_hub_errors
from .base import KINDS, AdapterError, short_name

if typing.TYPE_CHECKING:
    from .base import Adapter

# Checkpoints of these model_types are run by our classes; all others by those of transformers.
OWN_TYPES = ("open_dpt", "dpt")

POSSIBILITIES = (
    "Name a folder with a model or with prediction files, an authors' .pt file, a hub id such as Intel/dpt-large, "
    "stock:HUB_ID for transformers' own class, or file.py:name for a Python adapter"
)


def load_adapter(
    spec: str | None,
    task: str,
    *,
    kind: str | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    revision: str | None = None,
    prediction_scale: float | None = None,
) -> Adapter:
    """Find out what `spec` is, and load it; models of ours prepared for inference, so for nothing else.

    | spec | adapter |
    |---|---|
    | None, "bundled" | `OwnModel`: the bundled depth model |
    | folder or hub id of a model | `OwnModel` for `OWN_TYPES`, else `StockModel` |
    | own:FOLDER or own:ID | `OwnModel`, also of Depth Anything |
    | stock:FOLDER or stock:ID | `StockModel`, also of DPT |
    | authors' .pt file | `OwnModel` |
    | any other folder | `PredictionFolder` |
    | file.py:name, package.module:name | `PythonAdapter` |

    Args:
        spec: What to evaluate.
        task: "depth", "ordinal" or "segmentation".
        kind: What the answers mean (a key of `base.KINDS[task]`), where nothing says so or what says so is wrong.
        device, dtype: Of models, as torch calls them; or "int8" for `quantize_int8`, on the CPU.
        revision: Branch, tag or commit of a hub id.
        prediction_scale: Of prediction files with whole numbers: stored value / scale = metres.

    Raises:
        AdapterError: nothing is there, or it cannot be evaluated for this task.
        OSError: the hub cannot be asked, or a file cannot be read.
    """
    if task not in KINDS:
        raise AdapterError(f"task: must be one of {', '.join(KINDS)}, got {task!r}.")
    model_task = "segmentation" if task == "segmentation" else "depth"
    if spec in (None, "bundled"):
        if model_task == "segmentation":
            raise AdapterError(f"model: needed, no segmentation model is bundled. {POSSIBILITIES}.")
        return _own(None, model_task, kind, device, dtype, revision)
    side, colon, name = spec.partition(":")
    if colon and side in ("own", "stock"):
        load = {"own": _own, "stock": _stock}[side]
        return load(name, model_task, kind, device, dtype, revision)
    path = Path(spec).expanduser()
    if path.is_dir() and not (path / "config.json").is_file():
        from .prediction_folder import PredictionFolder

        return PredictionFolder(path, task, kind=kind, prediction_scale=prediction_scale)
    if path.is_file():
        if path.suffix == ".py":
            raise AdapterError(f"{spec}: must name a function, too, such as {spec}:predict.")
        return _own(spec, model_task, kind, device, dtype, revision)
    if colon and not path.exists():
        from .python_adapter import PythonAdapter

        return PythonAdapter.load(spec, task, kind=kind)
    load = _own if _model_type(spec, revision) in OWN_TYPES else _stock
    return load(spec, model_task, kind, device, dtype, revision)


def _own(name: str | None, task: str, kind: str | None, device: str, dtype: str, revision: str | None) -> Adapter:
    from ...processing.loading import WrongTaskError, load_model
    from .own_model import OwnModel

    try:
        loaded = load_model(name, task, revision=revision, device=device, dtype=dtype)
    except WrongTaskError as error:
        raise AdapterError(f"{error} Choose a protocol for {error.found}, or another model.") from None
    return OwnModel(
        loaded.model.optimize_for_inference(),  # it was loaded here, so nobody trains or saves it
        loaded.processor,
        name=short_name(loaded.name),
        source=loaded.name,
        revision=loaded.commit,
        kind=kind,
        fingerprint=loaded.fingerprint,
    )


def _stock(name: str, task: str, kind: str | None, device: str, dtype: str, revision: str | None) -> Adapter:
    from ...processing.loading import locate
    from .stock_model import StockModel

    if dtype == "int8":
        raise AdapterError(f"{name}: int8 is for our own class, got transformers'. Use own:{name}, or another dtype.")
    if _model_type(name, revision) == "open_dpt":
        raise AdapterError(
            f"{name}: stored as open_dpt, which transformers has no class for. Write a stock copy with "
            "`open-dpt convert SRC DST --to transformers`, or leave out stock:."
        )
    return StockModel.from_pretrained(locate(name), task, kind=kind, device=device, dtype=dtype, revision=revision)


def _model_type(name: str, revision: str | None) -> str:
    """What config.json calls the model."""
    from transformers import PretrainedConfig

    from ...processing.loading import ModelError, locate

    try:
        location = locate(name)
    except ModelError:
        raise AdapterError(f"{name}: does not exist. {POSSIBILITIES}.") from None
    with plain_hub_errors(name, revision):
        values, _ = PretrainedConfig.get_config_dict(location, revision=revision)
    if not isinstance(values, dict) or "model_type" not in values:
        raise AdapterError(f"{name}: its config.json must name a model_type, got none. {POSSIBILITIES}.")
    return values["model_type"]
