"""`--compile` of predict, segment and evaluate; tests/modeling_dpt/test_compiling.py is about compiling itself."""

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.cli.main import main


@pytest.fixture
def compiled(monkeypatch):
    """Calls of compiled models, in place of compiling; `fails` makes them end as without a compiler."""

    class Compiled(list):
        fails = False

        def compile(self, call, **options):
            def run(*arguments, **named):
                self.append(options)
                if self.fails:
                    raise RuntimeError("no C++ compiler\nand a long story")
                return call(*arguments, **named)

            return run

    calls = Compiled()
    monkeypatch.setattr(torch, "compile", calls.compile)
    return calls


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def predict(photos, tiny_depth_folder, tmp_path):
    def run(*options, output):
        words = ["predict", str(photos), "--model", str(tiny_depth_folder), "--format", "npy", "--device", "cpu"]
        assert main([*words, "--output", str(tmp_path / output), *options]) == 0
        return [np.load(tmp_path / output / f"{number}_disparity.npy") for number in range(6)]

    return run


def test_predict_compiles_only_when_asked_and_says_that_it_takes_time(predict, compiled, capsys):
    expected = predict(output="plain")
    assert not compiled and "compile" not in capsys.readouterr().err
    np.testing.assert_array_equal(predict("--compile", output="compiled"), expected)
    assert compiled == 6 * [{"dynamic": True}]
    assert capsys.readouterr().err.count("--compile: the first images take minutes") == 1


def test_without_a_compiler_all_images_are_done_and_it_is_said_once(predict, compiled, capsys):
    compiled.fails = True
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # so that two images are under way when it fails
    try:
        found = predict("--compile", output="compiled")
    finally:
        torch.set_num_threads(threads)
    assert len(compiled) <= 2
    told = "open-dpt predict: compiling failed, the model runs uncompiled (no C++ compiler)."
    assert [line for line in capsys.readouterr().err.splitlines() if "failed" in line] == [told]
    for one, other in zip(found, predict(output="plain"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_int8_is_not_compiled(photos, tmp_path, compiled, capsys):
    words = ["predict", str(photos), "--device", "cpu", "--dtype", "int8", "--compile"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 2
    assert "--compile: is not for --dtype int8. Leave one of them out." in capsys.readouterr().err
    assert not compiled and not list(tmp_path.glob("out/*"))


def test_segment_compiles(photos, tiny_segmentation_folder, tmp_path, compiled):
    words = ["segment", str(photos), "--model", str(tiny_segmentation_folder), "--device", "cpu", "--compile"]
    assert main([*words, "--format", "labels", "--output", str(tmp_path / "out")]) == 0
    assert len(compiled) == len(list((tmp_path / "out").glob("*_labels.png"))) == 6


def test_evaluate_compiles_models_and_refuses_what_is_none(run, compiled, tiny_metric_folder):
    assert run("--compile", model=tiny_metric_folder).status == 0
    assert len(compiled) >= 4
    run("--compile", model="pred").refused("--compile: is for models", "got pred")
