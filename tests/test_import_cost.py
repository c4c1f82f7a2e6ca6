"""What importing costs, told by the modules that are loaded: time depends on the machine."""

import subprocess
import sys

import pytest


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint()\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return set(output.splitlines()[-1].split())  # the statement may print, too


def test_a_model_class_needs_nothing_that_the_class_of_transformers_does_not_need():
    ours = modules_after("from open_dpt import DPTForDepthEstimation")
    theirs = modules_after("from transformers import DPTForDepthEstimation")
    own = {name for name in ours if name.partition(".")[0] == "open_dpt"}
    # Small modules of transformers that its class does not need are allowed; other packages are not.
    assert {name for name in ours - theirs - own if not name.startswith("transformers.")} == set()
    assert not any(name.startswith(("open_dpt.processing", "open_dpt.training", "open_dpt.data")) for name in own)


@pytest.mark.parametrize(
    "statement",
    [
        "import open_dpt",
        "import open_dpt.training, open_dpt.processing, open_dpt.evaluation",
        "sys.argv = ['open-dpt', '--help']; from open_dpt.cli.main import main\ntry: main()\nexcept SystemExit: pass",
    ],
)
def test_looking_around_loads_nothing_heavy(statement):
    heavy = {"torch", "transformers", "numpy", "scipy", "PIL", "datasets", "accelerate", "matplotlib"}
    assert modules_after(statement) & heavy == set()
