"""The small file beside a saved model that lets `trust_remote_code=True` find this package."""

import json
from pathlib import Path

STUB_NAME = "modeling_open_dpt.py"
_MODULE = STUB_NAME.removesuffix(".py")

# Auto class -> ours. Every checkpoint carries all of them: the same weights start any of the models.
MODEL_AUTO_MAP = {
    "AutoConfig": f"{_MODULE}.DPTConfig",
    "AutoModel": f"{_MODULE}.DPTModel",
    "AutoModelForDepthEstimation": f"{_MODULE}.DPTForDepthEstimation",
    "AutoModelForSemanticSegmentation": f"{_MODULE}.DPTForSemanticSegmentation",
}
PROCESSOR_AUTO_MAP = {"AutoImageProcessor": f"{_MODULE}.DPTImageProcessor"}

# The import stands in a try block because transformers otherwise demands a distribution named like the module.
_STUB = '''"""Loads this checkpoint with the open_dpt package, wherever that is installed."""

try:
    from open_dpt import (
        DPTConfig,
        DPTForDepthEstimation,
        DPTForSemanticSegmentation,
        DPTImageProcessor,
        DPTModel,
    )
except ImportError as error:
    raise ImportError(
        f"This checkpoint needs the open-dpt package ({error}). Install it: pip install open-dpt"
    ) from error
'''


def place_stub(folder: str | Path) -> None:
    """Write the stub into `folder` and point our configuration files that are there to it, nobody else's."""
    folder = Path(folder)
    (folder / STUB_NAME).write_text(_STUB, encoding="utf-8")
    for file_name, key, ours, auto_map in (
        ("config.json", "model_type", "open_dpt", MODEL_AUTO_MAP),
        ("preprocessor_config.json", "image_processor_type", "OpenDPTImageProcessor", PROCESSOR_AUTO_MAP),
    ):
        path = folder / file_name
        values = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if values.get(key) == ours:
            text = json.dumps(values | {"auto_map": auto_map}, indent=2, sort_keys=True)
            path.write_text(text + "\n", encoding="utf-8")
