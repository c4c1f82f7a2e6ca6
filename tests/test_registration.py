"""transformers finds open_dpt after `import open_dpt`, in whatever order things are imported."""

import subprocess
import sys

import pytest

# Each of these reaches transformers' Auto modules by another way, some of them half-way through its own imports.
IMPORTS = {
    "another model first": "from transformers import ViTModel",
    "an Auto class first": "from transformers import AutoModelForDepthEstimation",
    "pipelines first": "from transformers import pipeline",
    "our configuration first": "from open_dpt import DPTConfig",
}
CHECK = """
from transformers import AutoConfig, AutoModelForDepthEstimation, AutoModelForSemanticSegmentation
config = AutoConfig.for_model("open_dpt")
assert type(config).__module__ == "open_dpt.configuration.configuration_dpt"
for auto, name in ((AutoModelForDepthEstimation, "Depth"), (AutoModelForSemanticSegmentation, "Segmentation")):
    assert name in auto._model_mapping[type(config)].__name__
assert type(AutoConfig.for_model("dpt")).__module__.startswith("transformers")
import sys
assert not any(type(finder).__name__ == "_Watcher" and not finder.waiting for finder in sys.meta_path)
"""


def run(code: str) -> None:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("order", IMPORTS)
def test_registered_in_any_order(order):
    run(f"import open_dpt\n{IMPORTS[order]}\n{CHECK}")


def test_registered_when_transformers_was_there_before():
    run(f"from transformers import AutoModelForDepthEstimation\nimport open_dpt\n{CHECK}")


def test_import_alone_loads_nothing():
    run("import sys, open_dpt\nassert not {'torch', 'transformers', 'numpy'} & set(sys.modules)")
