"""The consumers run a file of ours without open_dpt, and get what open_dpt predicts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import open_dpt
from open_dpt.processing.export import export_model
from open_dpt.processing.export.formats import EXTRA, FORMATS
from open_dpt.processing.predictor import predict_depth

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("format", "script", "runtime"),
    [
        ("onnx", "consume_onnx.py", "onnxruntime"),
        ("openvino", "consume_openvino.py", "openvino"),
        ("torch-export", "consume_torch_export.py", "torch"),
    ],
)
def test_a_consumer_gets_our_prediction(format, script, runtime, tiny_depth_folder, tmp_path):
    pytest.importorskip(runtime, reason=EXTRA)
    if "onnx" in FORMATS[format].packages:
        pytest.importorskip("onnxscript", reason=EXTRA)
    model = open_dpt.DPTForDepthEstimation.from_pretrained(tiny_depth_folder).eval()
    processor = open_dpt.DPTImageProcessor.from_pretrained(tiny_depth_folder)
    file = tmp_path / f"model{FORMATS[format].suffix}"
    export_model(model, processor, file, format, input_size=(70, 90), name="tiny")
    photo = tmp_path / "photo.png"
    rows, columns = np.mgrid[0:70, 0:90]
    pixels = np.stack([rows * 3, columns * 2, (rows + columns) % 200], axis=-1).astype(np.uint8)
    # Stored lying on its side, as a phone does.
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(pixels).copy()).save(photo, exif=exif)
    # -I: neither this checkout nor the user's folders are searched for modules.
    command = [sys.executable, "-I", EXAMPLES / script, file, photo, tmp_path / "out.npy"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    usage = subprocess.run(command[:-1], capture_output=True, text=True)
    assert usage.returncode == 1 and f"python examples/{script} " in usage.stderr and "Traceback" not in usage.stderr
    assert result.stdout.startswith("disparity (relative) by tiny:")
    expected = next(iter(predict_depth(model, processor, [pixels]))).values
    # The runtimes may compute in bfloat16 where the machine has it.
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=0.03 * np.abs(expected).max())


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("consume_*.py")), ids=lambda path: path.name)
def test_a_consumer_needs_nothing_of_ours(script):
    assert "open_dpt import" not in script.read_text() and "import open_dpt" not in script.read_text()


def test_the_page_for_a_browser_hangs_together():
    """What can be told without a browser: its script names what the page, the package and our files have."""
    page = (EXAMPLES / "consume_browser" / "index.html").read_text(encoding="utf-8")
    (imports,) = re.findall(r'<script type="importmap">(.*?)</script>', page, flags=re.DOTALL)
    ((name, address),) = json.loads(imports)["imports"].items()
    assert f'from "{name}"' in page
    # One release, for another may want other files beside it.
    assert re.fullmatch(r"https://\S+/onnxruntime-web@\d+\.\d+\.\d+/dist/\S+\.mjs", address)
    ids = set(re.findall(r'id="(\w+)"', page))
    assert set(re.findall(r'find\("(\w+)"\)', page)) == ids
    assert "session.run({ image })" in page and '"uint8"' in page and "[1, height, width, 3]" in page
