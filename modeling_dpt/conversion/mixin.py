"""`CheckpointMixin`: every way a model comes from a file or goes into one."""

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from ...configuration import DPTConfig
from .encoders import read_encoder
from .folders import complete_folder
from .original import OriginalCheckpoint, read_original, round_window_coordinates
from .reading import HUB_OPTIONS, check_location, listed, one_line, read_hub_json
from .remote_stub import place_stub

logger = logging.getLogger(__name__)

# Names in stock files that differ from ours, by model_type. An encoder's prefix (backbone.) transformers adds itself.
_STOCK_NAMES = {
    "open_dpt": {},
    "dpt": {},
    "depth_anything": {rf"^head\.conv{number}\.": f"head.head.{2 * number - 2}." for number in (1, 2, 3)},
}
_TASK_OF_ARCHITECTURE = {
    "DPTForDepthEstimation": "depth",
    "DepthAnythingForDepthEstimation": "depth",
    "DPTForSemanticSegmentation": "segmentation",
}
_HEADS = ("head.", "auxiliary_head.")
_PUSH_OPTIONS = ("repo_id", "commit_message", "private", "create_pr", "tags")


class CheckpointMixin:
    """Loading and saving for DPT models; goes before `PreTrainedModel` in the bases."""

    # The deepest fusion level has nothing to add its first residual unit to; many files leave its weights out.
    _keys_to_ignore_on_load_missing = (r"fusion_stage\.layers\.0\.residual_layer1\.",)
    _keys_to_ignore_on_load_unexpected = (
        r"(^|\.)pooler\.",
        r"relative_position_index$",
        r"relative_coords_table$",
        r"mask_token$",
    )

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path | None, *model_args: Any, **kwargs: Any):
        """As in transformers, for our checkpoints and for stock ones of model_type "dpt" and "depth_anything".

        Weights of a checkpoint for another task are used for encoder and neck; the head then starts untrained, with a
        warning.

        Raises:
            OSError: the repository or folder cannot be found or reached.
            ValueError: the checkpoint is of another architecture, damaged, or does not fit the configuration.
        """
        name = pretrained_model_name_or_path
        if name is None:  # weights handed over as state_dict=
            return super().from_pretrained(None, *model_args, **kwargs)
        check_location(name)
        hub_options = {key: kwargs[key] for key in HUB_OPTIONS if kwargs.get(key) is not None}
        raw = read_hub_json(name, "config.json", **hub_options)
        if raw is None and not isinstance(kwargs.get("config"), DPTConfig):
            raise FileNotFoundError(
                f"{name}: config.json is missing. Give a folder written by save_pretrained or a hub id."
            )
        raw = raw or {"model_type": DPTConfig.model_type}
        _require_dpt(name, raw)
        names = {**_STOCK_NAMES[raw["model_type"]], **(kwargs.pop("key_mapping", None) or {})}
        foreign_task = cls._foreign_task(raw)
        wants_info = kwargs.pop("output_loading_info", False)
        accepts_mismatch = kwargs.pop("ignore_mismatched_sizes", False)
        with _without_load_report(), _one_line_errors(name):
            model, info = super().from_pretrained(
                name,
                *model_args,
                key_mapping=names or None,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **kwargs,
            )
        # Saving must not write the stock names back: it writes our layout.
        if hasattr(model, "_weight_conversions"):
            del model._weight_conversions
        _report(name, info, foreign_task, accepts_mismatch)
        return (model, info) if wants_info else model

    @classmethod
    def from_original(cls, path: str | Path, *, dtype: torch.dtype = torch.float32, **overrides: Any):
        """Load a `.pt` file of the authors (isl-org/DPT) or of MiDaS 3.1.

        Sizes come from the weights' shapes, metric constants from the name of a released file; keyword arguments
        (`DPTConfig` keys) override what is inferred.

        Raises:
            FileNotFoundError, PermissionError: the file cannot be read.
            ValueError: it is no checkpoint, damaged, carries code, is of another architecture or for another task.
        """
        return cls._from_original(read_original(path, **overrides), dtype)

    @classmethod
    def from_encoder_pretrained(
        cls, name_or_path: str | Path, *, dtype: torch.dtype = torch.float32, **overrides: Any
    ):
        """A new model whose encoder comes from an image classifier or a self-supervised checkpoint.

        Transformers checkpoints of ViT, DeiT, ViT-hybrid (run by the native encoder) and of every AutoBackbone encoder
        (BEiT, Swin, DINOv2, ...), and timm ViTs as repository or weight file. Taps and neck sizes are the authors' for
        the encoder's depth and width; the decoder starts untrained.

        Args:
            name_or_path: folder, hub id or file. Hub options (revision, token, cache_dir, ...) are keyword arguments.
            dtype: of the parameters.
            overrides: `DPTConfig` keys.

        Raises:
            OSError: the checkpoint cannot be found or reached.
            ValueError: its architecture cannot be an encoder here.
        """
        hub_options = {key: overrides.pop(key) for key in HUB_OPTIONS if key in overrides}
        encoder = read_encoder(name_or_path, overrides, hub_options)
        config = DPTConfig(**encoder.values)
        if encoder.backbone is None:
            return cls._from_weights(name_or_path, config, encoder.state_dict, dtype, may_be_new=("neck.", *_HEADS))
        model = cls(config)
        getattr(model, cls.base_model_prefix, model).backbone.load_state_dict(encoder.backbone.state_dict())
        return model.to(dtype).eval()

    def save_pretrained(self, save_directory: str | Path, is_main_process: bool = True, **kwargs: Any) -> None:
        """As in transformers, with the file that makes `trust_remote_code=True` work; complete or not at all.

        Raises:
            OSError: the disk is full or the folder may not be written; it is as it was before.
            RuntimeError: `optimize_for_inference` has folded weights.
        """
        self.refuse_folded_weights("save_pretrained")
        if not is_main_process or kwargs.get("distributed_checkpoint"):
            super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)
            return
        push_to_hub = kwargs.pop("push_to_hub", False)
        hub_arguments = {
            key: kwargs.pop(key) for key in ("repo_id", "commit_message", "private", "create_pr") if key in kwargs
        }
        with complete_folder(save_directory) as folder:
            super().save_pretrained(folder, **kwargs)
            place_stub(folder)
        if push_to_hub:
            repo_id = hub_arguments.pop("repo_id", Path(save_directory).name)
            self.push_to_hub(repo_id, token=kwargs.get("token"), **hub_arguments)

    def to_transformers(self, path: str | Path, processor: Any = None) -> None:
        """Write a checkpoint that transformers' own classes load ("dpt", or "depth_anything" where that fits better).

        Args:
            path: folder; written completely or not at all.
            processor: its settings are written as a stock preprocessor_config.json.

        Raises:
            ValueError: the stock classes cannot express this model; the message names the configuration key.
            OSError: the folder cannot be written.
            RuntimeError: `optimize_for_inference` has folded weights.
        """
        self.refuse_folded_weights("to_transformers")
        from .stock_export import stock_processor_values, to_stock

        task = self._task()
        if task is None:
            raise ValueError(f"to_transformers: a model with a head is required, got {type(self).__name__}.")
        stock = to_stock(self, task)
        with complete_folder(path) as folder:
            stock.save_pretrained(folder)
            if processor is not None:
                values = json.dumps(stock_processor_values(processor), indent=2, sort_keys=True)
                (folder / "preprocessor_config.json").write_text(values + "\n", encoding="utf-8")

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoModel") -> None:
        """Does nothing: the stub beside every checkpoint takes the place of copying this package's source files."""

    @classmethod
    def _task(cls) -> str | None:
        tasks = (_TASK_OF_ARCHITECTURE.get(base.__name__) for base in cls.__mro__)
        return next((task for task in tasks if task), None)

    @classmethod
    def _foreign_task(cls, raw: dict[str, Any]) -> str | None:
        """The task of the checkpoint, if it is another than this class's."""
        tasks = {_TASK_OF_ARCHITECTURE.get(name) for name in raw.get("architectures") or []} - {None}
        return None if cls._task() is None or cls._task() in tasks else next(iter(tasks), None)

    @classmethod
    def _from_original(cls, checkpoint: OriginalCheckpoint, dtype: torch.dtype):
        task, found, state_dict = cls._task(), checkpoint.task, checkpoint.state_dict
        if task is None:
            state_dict = {key: value for key, value in state_dict.items() if key.startswith(("dpt.", "backbone."))}
        elif found != task:
            right = next(name for name, kind in _TASK_OF_ARCHITECTURE.items() if kind == found)
            raise ValueError(f"{checkpoint.source}: a {task} checkpoint is required, got {found}. Use {right}.")
        model = cls._from_weights(checkpoint.source, checkpoint.config, state_dict, dtype)
        if checkpoint.is_half:
            round_window_coordinates(model)
        return model

    @classmethod
    def _from_weights(
        cls,
        source: str | Path,
        config: DPTConfig,
        state_dict: dict[str, torch.Tensor],
        dtype: torch.dtype,
        may_be_new: tuple[str, ...] = (),
    ):
        """Build the model from weights in hub names; everything but `may_be_new` must be there and fit."""
        with _without_load_report():
            model, info = super().from_pretrained(
                None,
                config=config,
                state_dict=state_dict,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
            )
        if hasattr(model, "_weight_conversions"):
            del model._weight_conversions
        missing = [key for key in info["missing_keys"] if not key.startswith((*may_be_new, *_MAY_BE_NEW_OF_BACKBONE))]
        for what, keys in (("missing", missing), ("unknown", info["unexpected_keys"])):
            if keys:
                raise ValueError(
                    f"{source}: {listed(what + ' weight', keys)}. It is not complete or of another network."
                )
        _require_fit(source, info["mismatched_keys"], "Correct the options.")
        model.config.name_or_path = str(source)
        return model


# A Swin encoder of transformers has norms behind its stages and at its end, that MiDaS does not use.
_MAY_BE_NEW_OF_BACKBONE = (
    "dpt.backbone.hidden_states_norms.",
    "backbone.hidden_states_norms.",
    "dpt.backbone.swin.layernorm.",
    "backbone.swin.layernorm.",
)


def _require_dpt(name: str | Path, raw: dict[str, Any]) -> None:
    if raw.get("model_type") not in _STOCK_NAMES:
        raise ValueError(
            f"{name}: model_type must be {', '.join(map(repr, _STOCK_NAMES))}, got {raw.get('model_type')!r}. "
            "To start from an image encoder use from_encoder_pretrained."
        )


def _report(name: str | Path, info: dict[str, Any], foreign_task: str | None, accepts_mismatch: bool) -> None:
    missing, mismatched = set(info["missing_keys"]), {key for key, *_ in info["mismatched_keys"]}
    if encoder := [key for key in missing if key.startswith(("dpt.", "embeddings.", "encoder.", "backbone."))]:
        raise ValueError(
            f"{name}: {listed('missing encoder weight', encoder)}. The weights are not of this architecture."
        )
    if not accepts_mismatch:
        # Another task's head has other shapes; transformers has initialised those weights anew.
        kept = [entry for entry in info["mismatched_keys"] if not (foreign_task and entry[0].startswith(_HEADS))]
        _require_fit(
            name, kept, "Correct the configuration, or pass ignore_mismatched_sizes=True to start it untrained."
        )
    if new := missing | mismatched:
        logger.warning("%s: %s %s. Train before use.", name, listed("weight", new), _why_new(foreign_task))
    if unexpected := [key for key in info["unexpected_keys"] if not key.startswith(("neck.", *_HEADS))]:
        logger.warning("%s: %s not used by this model.", name, listed("unexpected weight", unexpected))


def _why_new(foreign_task: str | None) -> str:
    reason = (
        f"this is a {foreign_task} checkpoint, the head is"
        if foreign_task
        else "not in the checkpoint or of another shape,"
    )
    return f"{reason} NEW AND UNTRAINED"


def _require_fit(name: str | Path, mismatched: Iterable[tuple], remedy: str) -> None:
    for key, found, required in sorted(mismatched):
        raise ValueError(f"{name}: {key} must have shape {tuple(required)}, got {tuple(found)}. {remedy}")


@contextmanager
def _one_line_errors(name: str | Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise ValueError(
            f"{name}: the weight file is truncated or damaged ({one_line(error)}). Download it again."
        ) from None
    except OSError as error:
        kind = next((kind for kind in (FileNotFoundError, PermissionError) if isinstance(error, kind)), OSError)
        raise kind(f"{name}: {one_line(error)}") from None


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Keep transformers from printing its table of keys; what matters of it is reported by us in one line."""
    source = transformers_logging.get_logger("transformers.modeling_utils")

    def keeps(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    source.addFilter(keeps)
    try:
        yield
    finally:
        source.removeFilter(keeps)
