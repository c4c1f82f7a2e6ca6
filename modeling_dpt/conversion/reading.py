"""Reading weight files without trusting them.

`.pt` files are pickles, and a pickle can run code; they are opened by PyTorch's restricted loader only, which builds
tensors and plain containers and refuses everything else.
"""

import json
import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.utils import cached_file

from ...configuration.hub_errors import plain_hub_errors

# What `from_pretrained` passes on to the hub.
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
_SHARD_INDEX = ".index.json"
_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def one_line(error: BaseException) -> str:
    """The message of an error without its line breaks."""
    return " ".join(str(error).split())


def listed(what: str, keys: Iterable[str], limit: int = 6) -> str:
    """Keys by number and name: "2 missing weights (a, b)"."""
    keys = sorted(keys)
    shown = ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
    return f"{len(keys)} {what}{'s' if len(keys) != 1 else ''} ({shown})"


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the tensors of one `.pt`, `.pth`, `.bin` or `.safetensors` file to the CPU.

    A training checkpoint that holds the weights under "model" or "state_dict", next to an optimizer, is unpacked, and
    the prefix that data-parallel training puts before every name is removed.

    Raises:
        FileNotFoundError: there is no such file.
        PermissionError: it may not be read.
        ValueError: it is a folder, no checkpoint, truncated, or it carries code.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ValueError(f"{path}: a weight file is required, got a folder. Folders are read by from_pretrained.")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Check the path.")
    try:
        with path.open("rb") as file:
            start = file.read(256)
    except PermissionError:
        raise PermissionError(f"{path}: the file may not be read. Change its permissions.") from None
    _reject_other_files(path, start)
    weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return _tensors_of(path, weights)


def read_hub_weights(name: str | Path, **hub_options: Any) -> dict[str, torch.Tensor]:
    """Read the weights of a local folder or of a hub repository, in one file or in shards.

    Raises:
        OSError: the repository cannot be reached or holds no weights.
        ValueError: a file of it is damaged.
    """
    for file_name in _WEIGHT_FILES:
        path = _hub_file(name, file_name, **hub_options)
        if path is None:
            continue
        if not file_name.endswith(_SHARD_INDEX):
            return read_weights(path)
        shards = sorted(set(json.loads(Path(path).read_text())["weight_map"].values()))
        found = {shard: _hub_file(name, shard, **hub_options) for shard in shards}
        if absent := [shard for shard, shard_path in found.items() if shard_path is None]:
            raise FileNotFoundError(
                f"{name}: the shard {absent[0]} named in {file_name} is missing. Download it again."
            )
        return {key: tensor for shard in found.values() for key, tensor in read_weights(shard).items()}
    raise FileNotFoundError(f"{name}: no weights found, expected {_WEIGHT_FILES[0]}. Check the name.")


def read_hub_json(name: str | Path, file_name: str, **hub_options: Any) -> dict[str, Any] | None:
    """Read a JSON file of a local folder or hub repository; None where the repository does not have it."""
    path = _hub_file(name, file_name, **hub_options)
    if path is None:
        return None
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid JSON ({one_line(error)}). Download the checkpoint again.") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object is required, got {type(content).__name__}. Check the file.")
    return content


def check_location(name: str | Path) -> None:
    """Reject what can be neither a folder nor a hub id, before the network is asked.

    Raises:
        ValueError: `name` is a file.
        FileNotFoundError: `name` is a path and nothing is there.
    """
    path = Path(name).expanduser()
    if path.is_file():
        raise ValueError(
            f"{name}: a checkpoint folder or hub id is required, got a file. Authors' files: from_original."
        )
    looks_like_path = str(name).startswith((".", "/", "~")) or str(name).count("/") > 1 or "\\" in str(name)
    if looks_like_path and not path.exists():
        raise FileNotFoundError(f"{name}: no such folder. Check the path.")


def _hub_file(name: str | Path, file_name: str, **hub_options: Any) -> str | None:
    check_location(name)
    # Of config.json transformers tells a missing file (None) from a silent hub (error), with this flag on.
    strict = {"_raise_exceptions_for_missing_entries": file_name == "config.json"}
    with plain_hub_errors(name, hub_options.get("revision")):
        return cached_file(str(name), file_name, **strict, **hub_options)


def _reject_other_files(path: Path, start: bytes) -> None:
    if not start:
        raise ValueError(f"{path}: a checkpoint is required, got an empty file. Download it again.")
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise ValueError(
            f"{path}: a checkpoint is required, got a web page. The download asks for confirmation or a login."
        )
    if text.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path}: a checkpoint is required, got a Git LFS pointer. Fetch the file: git lfs pull.")


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: truncated or no safetensors file ({one_line(error)}). Download it again.") from None


def _read_pickle(path: Path) -> Any:
    size = path.stat().st_size
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if code := re.search(r"unsupported (?:global|class)\W+(?:GLOBAL )?([\w.]+)", str(error), re.I):
            raise ValueError(
                f"{path}: only tensors are read from a checkpoint, got code ({code.group(1)}), which was not run. Use "
                "a file from the authors, or save its state dict alone."
            ) from None
        reason = "no PyTorch checkpoint or damaged"
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError, IndexError, TypeError):
        # What the loader raises depends on the byte at which the file breaks off.
        reason = "truncated or no PyTorch checkpoint"
    raise ValueError(f"{path}: {reason} ({size} bytes). Download it again.")


def _tensors_of(path: Path, content: Any) -> dict[str, torch.Tensor]:
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: a dictionary of tensors is required, got {type(content).__name__}. Check the file.")
    tensors = {str(key): value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError(f"{path}: a dictionary of tensors is required, got one without tensors. Check the file.")
    if all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors
