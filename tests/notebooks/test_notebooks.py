"""The notebooks run from top to bottom, and what is committed shows their results and nothing of a machine.

`python tests/notebooks/test_notebooks.py [NAME ...]` executes them in full and stores the results in them: minutes on
a CPU. Look at what it leaves out: it should be progress bars only.
"""

import base64
import io
import json
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# The smallest run in which every cell has something to show.
SMALL = {"OPEN_DPT_NOTEBOOK_STEPS": "2", "OPEN_DPT_NOTEBOOK_SCENES": "6"}
# One thread a process as in the rest of the suite; the kernel may not ask the network, and draws without a screen.
KERNEL = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
MOST_BYTES = 500_000
SMALL_PICTURE, MOST_PIXELS = 50_000, 1200  # characters; width


def run(path: Path, folder: Path, **environment: str):
    """The notebook with the outputs of all its cells, executed inside `folder`."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": 3600, "startup_timeout": 600, "record_timing": False, "coalesce_streams": True}
    client = NotebookClient(notebook, kernel_name="python3", resources=resources, **options)
    client.execute(env=os.environ | KERNEL | environment)
    return notebook


def code_cells(notebook) -> list:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def text_of(output: dict) -> str:
    """What a reader sees of an output, pictures left out."""
    parts = [output.get("text", "")]
    parts += [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
    return "".join("".join(part) for part in parts)


def pictures(notebook) -> int:
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    return sum(any(kind.startswith("image/") for kind in output.get("data", {})) for output in outputs)


def make_small(data: dict) -> None:
    """Store a large picture as a JPEG of at most MOST_PIXELS in width."""
    if len(data.get("image/png", "")) > SMALL_PICTURE:
        picture = Image.open(io.BytesIO(base64.b64decode(data.pop("image/png")))).convert("RGB")
        picture.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
        stored = io.BytesIO()
        picture.save(stored, "JPEG", quality=85)
        data["image/jpeg"] = base64.b64encode(stored.getvalue()).decode()


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def committed(request):
    return request.param, json.loads(request.param.read_text(encoding="utf-8"))


def test_there_are_two():
    assert [path.stem for path in NOTEBOOKS] == ["finetune_metric_depth", "finetune_segmentation"]


def test_results_and_pictures_are_committed(committed):
    path, notebook = committed
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "not executed in order"
    assert pictures(notebook) >= 3
    assert path.stat().st_size < MOST_BYTES
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_nothing_but_results_is_committed(committed):
    _, notebook = committed
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert not [output for output in outputs if output.get("name") == "stderr"], "warnings or progress bars"
    seen = "\n".join(map(text_of, outputs)) + "\n".join("".join(cell["source"]) for cell in notebook["cells"])
    assert not re.search(r"(?<![\w.\]:/])/(?:home|root|Users|work|mnt|tmp|opt|usr|var)\b|[A-Z]:\\", seen), "a path"
    assert not re.search(r"Traceback|Warning:|it/s\]|\d%\|", seen)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path):
    for package in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(package, reason=f'needs {package}: pip install "open-dpt[notebooks]"')
    notebook = run(path, tmp_path, **SMALL)  # raises CellExecutionError, with the cell, where one fails
    assert all(cell["execution_count"] for cell in code_cells(notebook))
    assert pictures(notebook) >= 3
    assert (tmp_path / "open_dpt_output").is_dir()


def main(names: list[str]) -> None:
    import nbformat

    for path in (path for path in NOTEBOOKS if not names or path.stem in names):
        folder = Path(tempfile.mkdtemp())
        notebook = run(path, folder)
        shutil.rmtree(folder)
        for cell in code_cells(notebook):
            # Progress bars and messages about this machine. A failed cell never comes this far.
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    print(f"{path.name}: left out: {output.text}")
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                make_small(output.get("data", {}))
        notebook.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
