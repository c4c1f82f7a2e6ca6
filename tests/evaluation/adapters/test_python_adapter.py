"""A few lines of Python as a model."""

import sys

import numpy as np
import pytest
import torch

from open_dpt.evaluation.adapters.base import AdapterError
from open_dpt.evaluation.adapters.python_adapter import PythonAdapter

CODE = """
import numpy as np
import torch

def brightness(image):
    assert image.dtype == np.uint8
    return image.mean(axis=2)

brightness.kind = "disparity"

class Model:
    kind = "depth"

    def predict(self, image):
        return torch.full(image.shape[:2], 2.5, dtype=torch.float64, requires_grad=True)

def silent(image):
    return image[..., 0]

def labels(image):
    return image[..., 0] // 100

labels.kind = "labels"

def fails(image):
    raise RuntimeError("no\\nmemory")

fails.kind = "depth"
number = 3
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_model.py"
    path.write_text(CODE)
    return path


def test_a_function_of_a_file(file, rule, sample):
    adapter = PythonAdapter.load(f"{file}:brightness", "depth")
    samples = [sample(6, 8, 1), sample(5, 9, 2)]
    answers = adapter.predict(samples, rule())
    assert adapter.kind == "disparity"
    for one, answer in zip(samples, answers, strict=True):
        assert answer.dtype == torch.float32
        torch.testing.assert_close(answer, one["image"].float().mean(0))


def test_a_class_of_a_file_and_class_ids(file, rule, sample):
    adapter = PythonAdapter.load(f"{file}:Model", "depth")
    assert adapter.kind == "depth"
    (answer,) = adapter.predict([sample(6, 8)], rule())
    assert (answer == 2.5).all()
    assert not answer.requires_grad
    adapter = PythonAdapter.load(f"{file}:labels", "segmentation")
    (answer,) = adapter.predict([sample(6, 8)], rule())
    assert answer.dtype == torch.int64
    assert set(answer.unique().tolist()) <= {0, 1, 2}


def test_a_module_of_the_folder_one_is_in(tmp_path, monkeypatch, rule, sample):
    (tmp_path / "package_of_a_test").mkdir()
    (tmp_path / "package_of_a_test" / "model.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    adapter = PythonAdapter.load("package_of_a_test.model:brightness", "depth")
    assert adapter.predict([sample(6, 8)], rule())[0].shape == (6, 8)


def test_a_file_may_import_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", list(sys.path))
    (tmp_path / "neighbour_of_a_test.py").write_text("KIND = 'depth'\n")
    (tmp_path / "m.py").write_text("from neighbour_of_a_test import KIND\ndef f(image): ...\nf.kind = KIND\n")
    assert PythonAdapter.load(f"{tmp_path / 'm.py'}:f", "depth").kind == "depth"


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("nothing", "depth", r"my_model\.py: has no 'nothing'\. It has: brightness, Model, silent, labels, fails"),
        ("number", "depth", "must be a function or have a method predict, got int"),
        ("silent", "depth", r'must say what its answers mean\. Write silent\.kind = "depth" \(or state --kind\)'),
        ("labels", "depth", "for depth, the kind of its answers must be one of depth .*; got 'labels'"),
    ],
)
def test_what_does_not_do_is_said(file, name, task, message):
    with pytest.raises(AdapterError, match=message):
        PythonAdapter.load(f"{file}:{name}", task)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module", r"cannot be imported \(ModuleNotFoundError: No module named 'no_such_module'\)"),
        ("def f(:", r"cannot be imported \(SyntaxError: "),
        ("open('/no/such/weights')", r"cannot be imported \(FileNotFoundError: .*weights"),
        ("class f:\n  kind = 'depth'\n  def __init__(self, x): ...", r"m\.py:f: cannot be made without arguments"),
    ],
)
def test_code_that_cannot_be_imported_is_told_in_one_line(tmp_path, code, message):
    (tmp_path / "m.py").write_text(code)
    with pytest.raises(AdapterError, match=message) as caught:
        PythonAdapter.load(f"{tmp_path / 'm.py'}:f", "depth")
    assert "\n" not in str(caught.value)


def test_places_that_do_not_exist():
    with pytest.raises(AdapterError, match=r"missing\.py: no such file"):
        PythonAdapter.load("missing.py:f", "depth")
    with pytest.raises(AdapterError, match=r"no_such_package\.module: cannot be imported"):
        PythonAdapter.load("no_such_package.module:f", "depth")


def test_a_failure_names_the_image_and_keeps_its_cause(file, rule, sample):
    adapter = PythonAdapter.load(f"{file}:fails", "depth")
    with pytest.raises(AdapterError, match=r"fails: cannot answer 0\.png \(RuntimeError: no memory\)\.$") as caught:
        adapter.predict([sample(6, 8)], rule())
    assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (np.zeros((1, 6, 8)), "depth", r"one value a pixel, shape \(6, 8\) as the image, got \(1, 6, 8\) for 0\.png"),
        (np.zeros((8, 6)), "depth", r"got \(8, 6\)"),
        (None, "depth", "must return numbers, got object"),
        (np.full((6, 8), "far"), "depth", "must return numbers, got <U3"),
        (np.zeros((6, 8)), "labels", r"class ids must be whole numbers, got torch\.float32"),
        (torch.zeros(6, 8), "labels", r"class ids must be whole numbers, got torch\.float32"),
    ],
)
def test_answers_of_a_wrong_shape_or_type_are_refused(rule, sample, answer, kind, message):
    task = "segmentation" if kind == "labels" else "depth"
    adapter = PythonAdapter(lambda image: answer, kind, task, name="mine")
    with pytest.raises(AdapterError, match=f"mine: .*{message}"):
        adapter.predict([sample(6, 8)], rule())


def test_nan_is_an_answer_and_the_image_is_the_functions_own(rule, sample):
    def scribble(image):
        image[:] = 0
        return np.full(image.shape[:2], np.nan)

    one = sample(6, 8)
    before = one["image"].clone()
    (answer,) = PythonAdapter(scribble, "depth", "depth", name="mine").predict([one], rule())
    assert answer.isnan().all()
    assert torch.equal(one["image"], before)


def test_the_fingerprint_is_of_the_code(file):
    first = PythonAdapter.load(f"{file}:brightness", "depth").describe()
    assert first["source"] == str(file)
    file.write_text(CODE + "\n# changed\n")
    assert PythonAdapter.load(f"{file}:brightness", "depth").describe()["fingerprint"] != first["fingerprint"]
