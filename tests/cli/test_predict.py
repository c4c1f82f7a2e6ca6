"""`open-dpt predict` from files to files."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from PIL import Image

from open_dpt.cli.main import main
from open_dpt.processing import DepthPrediction


@pytest.fixture
def photos(tmp_path):
    """Folder with three images of two sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 60, 80, 3), dtype=np.uint8)
    for name, image in zip(("a.png", "b.png", "c.png"), pixels, strict=True):
        Image.fromarray(image[:, :60] if name == "b.png" else image).save(folder / name)
    return folder


@pytest.fixture
def predict(tiny_depth_folder, tmp_path):
    def run(*arguments, output=tmp_path / "out", model=tiny_depth_folder):
        return main(["predict", *map(str, arguments), "--model", str(model), "--output", str(output)])

    return run


def _visible(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name[0] != "."
    )


def test_every_format_of_a_relative_model(predict, photo, tmp_path, capsys):
    assert predict(photo, "--format", "png16,color,side-by-side,npy,npz,pfm") == 0
    out = tmp_path / "out"
    assert _visible(out) == [
        "photo_color.png",
        "photo_disparity.npy",
        "photo_disparity.npz",
        "photo_disparity.pfm",
        "photo_disparity.png",
        "photo_side_by_side.png",
    ]
    values = np.load(out / "photo_disparity.npy")
    assert values.shape == (400, 600) and values.dtype == np.float32
    exact = DepthPrediction.load(out / "photo_disparity.npz")
    assert (exact.kind, exact.unit) == ("disparity", "relative")
    np.testing.assert_array_equal(exact.values, values)
    assert Image.open(out / "photo_color.png").size == (600, 400)
    assert Image.open(out / "photo_side_by_side.png").size == (1200, 400)
    assert capsys.readouterr().out == f"{out}: 1 done\n"


def test_a_metric_model_names_its_files_depth(predict, photo, tmp_path, tiny_metric_folder):
    assert predict(photo, "--format", "npz", model=tiny_metric_folder) == 0
    prediction = DepthPrediction.load(tmp_path / "out" / "photo_depth.npz")
    assert (prediction.kind, prediction.unit) == ("depth", "metre")


def test_dtype_auto_says_what_it_takes_and_why(predict, photo, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("open_dpt.processing.dtypes.bfloat16_instructions", lambda: "avx512_bf16")
    assert predict(photo, "--format", "npy", "--dtype", "auto") == 0
    told = capsys.readouterr().err.splitlines()
    assert "--dtype auto: bfloat16, multiplied in hardware by this CPU (avx512_bf16)" in told
    assert predict(photo, "--format", "npy", "--dtype", "bf16", output=tmp_path / "named") == 0
    auto, named = (np.load(tmp_path / folder / "photo_disparity.npy") for folder in ("out", "named"))
    np.testing.assert_array_equal(auto, named)


def test_int8_is_close_and_never_continues_a_run_in_another_dtype(predict, photo, tmp_path, capsys):
    for dtype in ("float32", "int8"):
        assert predict(photo, "--format", "npy", "--dtype", dtype, "--device", "cpu", output=tmp_path / dtype) == 0
    exact, quantized = (np.load(tmp_path / dtype / "photo_disparity.npy") for dtype in ("float32", "int8"))
    assert 0 < np.abs(quantized - exact).max() < 0.1 * np.ptp(exact)
    assert predict(photo, "--format", "npy", "--dtype", "bfloat16", output=tmp_path / "int8") == 2
    assert "int8" in capsys.readouterr().err


def test_without_a_word_results_are_those_of_float32(predict, photo, tmp_path, capsys):
    assert predict(photo, "--format", "npy") == 0
    assert "dtype" not in capsys.readouterr().err
    assert predict(photo, "--format", "npy", "--dtype", "float32", output=tmp_path / "named") == 0
    default, named = (np.load(tmp_path / folder / "photo_disparity.npy") for folder in ("out", "named"))
    np.testing.assert_array_equal(default, named)


def test_an_authors_file_is_a_model(predict, photo, tmp_path, pytestconfig):
    golden = pytestconfig.rootpath / "tests" / "golden" / "vit_project_depth.pt"
    assert predict(photo, "--format", "npy", "--image-size", "64", model=golden) == 0
    assert np.load(tmp_path / "out" / "photo_disparity.npy").shape == (400, 600)


def test_batches_change_no_result(predict, photos, tmp_path):
    assert predict(photos, "--format", "npy", output=tmp_path / "one") == 0
    assert predict(photos, "--format", "npy", "--batch-size", "2", output=tmp_path / "two") == 0
    for name in ("a", "b", "c"):
        one, two = (np.load(tmp_path / folder / f"{name}_disparity.npy") for folder in ("one", "two"))
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def test_image_size_reaches_the_network(predict, photos, tmp_path):
    assert predict(photos / "a.png", "--format", "npy", output=tmp_path / "small") == 0
    assert predict(photos / "a.png", "--format", "npy", "--image-size", "128x160", output=tmp_path / "large") == 0
    small, large = (np.load(tmp_path / folder / "a_disparity.npy") for folder in ("small", "large"))
    assert small.shape == large.shape and not np.allclose(small, large)


def test_unreadable_images_are_named_and_the_others_done(predict, photos, tmp_path, capsys):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:200])
    (photos / "empty.jpg").touch()
    assert predict(photos, "--format", "npy", "--batch-size", "2") == 1
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out'}: 2 done, 2 failed\n"
    failed = [line for line in captured.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2
    assert str(photos / "b.png") in failed[0] and str(photos / "empty.jpg") in failed[1]
    assert _visible(tmp_path / "out") == ["a_disparity.npy", "c_disparity.npy"]


def test_what_photos_come_as(predict, photos, tmp_path, capsys, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (40, 64), dtype=np.uint8)
    grey, turned = Image.fromarray(pixels), Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels.astype(np.uint16) * 257).save(photos / "wide.png")
    grey.save(photos / "grey.png")
    grey.convert("CMYK").save(photos / "cmyk.jpg")
    grey.convert("RGB").save(photos / "turned.jpg", exif=turned)
    Image.new("RGB", (1, 1)).save(photos / "one.png")
    (photos / "text.png").write_text("no picture")
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    Image.new("RGB", (120, 100)).save(photos / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)  # Pillow warns of a.png, refuses huge.png
    assert predict(photos, "--format", "npy") == 1
    captured = capsys.readouterr()
    assert captured.out == f"{tmp_path / 'out'}: 8 done, 3 failed\n"
    told = {
        "gone.jpg": "no such file. Check the path.",
        "huge.png": "must have at most 8,000 pixels",
        "text.png": "not an image in a format that Pillow reads.",
    }
    for line, (name, reason) in zip(captured.err.splitlines(), told.items(), strict=True):
        assert line.startswith(f"failed: {photos / name}: ") and reason in line
    sizes = {name: np.load(tmp_path / f"out/{name}_disparity.npy").shape for name in ("turned", "one", "cmyk")}
    assert sizes == {"turned": (64, 40), "one": (1, 1), "cmyk": (40, 64)}
    wide, grey = (np.load(tmp_path / f"out/{name}_disparity.npy") for name in ("wide", "grey"))
    np.testing.assert_array_equal(wide, grey)


def test_a_second_run_does_only_what_is_left(predict, photos, tmp_path, capsys):
    assert predict(photos, "--format", "npy") == 0
    written = (tmp_path / "out" / "a_disparity.npy").stat().st_mtime_ns
    shutil.copy(photos / "a.png", photos / "d.png")
    assert predict(photos, "--format", "npy") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("1 done, 3 there already")
    assert (tmp_path / "out" / "a_disparity.npy").stat().st_mtime_ns == written


def test_remains_of_a_killed_run_are_removed_and_nothing_else(predict, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in (".a_disparity.npy.0f3a9c1e.tmp", ".somebody_elses.npy.0f3a9c1e.tmp"):
        (out / name).touch()
    assert predict(photos, "--format", "npy") == 0
    assert [path.name for path in out.glob(".*.tmp")] == [".somebody_elses.npy.0f3a9c1e.tmp"]


def test_results_of_other_settings_are_kept(predict, photos, capsys):
    assert predict(photos, "--format", "npy") == 0
    assert predict(photos, "--format", "npy", "--image-size", "96") == 2
    assert "another image size. Choose another --output" in capsys.readouterr().err
    assert predict(photos, "--format", "npy", "--image-size", "96", "--overwrite") == 0
    assert predict(photos, "--format", "npy", "--image-size", "96", "--dtype", "bfloat16") == 2
    assert "made with another dtype. Choose" in capsys.readouterr().err


def test_a_full_disk_stops_the_run_which_then_continues(predict, photos, tmp_path, capsys, monkeypatch):
    replace, calls = os.replace, []

    def full_after_first(source, target):
        calls.append(target)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full_after_first)
    assert predict(photos, "--format", "npy") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "no space left on device" in error and "continues where it stopped" in error
    monkeypatch.undo()
    assert _visible(tmp_path / "out") == ["a_disparity.npy"]
    assert predict(photos, "--format", "npy") == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("2 done, 1 there already")


def test_an_output_that_cannot_be_made_is_an_error(predict, photos, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").touch()
    assert predict(photos, output=tmp_path / "file") == 2
    assert capsys.readouterr().err == f"open-dpt predict: {tmp_path / 'file'}: file exists. Choose another place.\n"

    def denied(self, *arguments, **options):  # as root, permissions do not hold, so the refusal is simulated
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr("pathlib.Path.mkdir", denied)
    assert predict(photos) == 2
    assert "permission denied. Change its mode or owner" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("missing/folder/model", "does not exist. Name a folder"),
        ("missing.pt", "does not exist. Name a folder"),
        ("empty", "holds no config.json"),
        ("broken.pt", "truncated or no PyTorch checkpoint"),
    ],
)
def test_models_that_are_none(predict, photos, tmp_path, monkeypatch, capsys, pytestconfig, model, message):
    monkeypatch.chdir(tmp_path)
    golden = pytestconfig.rootpath / "tests" / "golden" / "vit_project_depth.pt"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.pt").write_bytes(golden.read_bytes()[:5000])
    assert predict(photos, model=model) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and model in error and message in error


def test_a_folder_without_processor_gets_the_default_and_a_damaged_one_is_told(
    predict, photos, tmp_path, tiny_depth_folder, capsys
):
    folder = shutil.copytree(tiny_depth_folder, tmp_path / "model")
    (folder / "preprocessor_config.json").unlink()
    assert predict(photos, "--format", "npy", model=folder) == 0
    (folder / "preprocessor_config.json").write_text('{"size": ')
    capsys.readouterr()
    assert predict(photos, "--format", "npy", model=folder, output=tmp_path / "other") == 2
    error = capsys.readouterr().err
    assert "preprocessor_config.json" in error and len(error.splitlines()) == 1


def test_a_segmentation_model_is_refused_with_the_right_command(predict, photos, tiny_segmentation_folder, capsys):
    assert predict(photos, model=tiny_segmentation_folder) == 2
    assert "made for segmentation, not for depth. Use `open-dpt segment`." in capsys.readouterr().err


@pytest.mark.parametrize("device", ["tpu9000", "cuda:99"])
def test_devices_that_are_not_there(predict, photos, capsys, device):
    assert predict(photos, "--device", device) == 2
    assert f"--device: {device}" in capsys.readouterr().err.replace("unknown device ", "").replace("'", "")


# A run that is sent a signal when the seventh picture is written but does not have its name yet.
STOPPED = """
import os, sys
from open_dpt.cli.main import main

end, *words = sys.argv[1:]
replace, pictures = os.replace, iter(range(10**9))

def replace_or_stop(source, target):
    if str(target).endswith("_color.png") and next(pictures) == 6:
        os.kill(os.getpid(), int(end))
    replace(source, target)

os.replace = replace_or_stop
sys.exit(main(words))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_leaves_whole_files_and_continues(predict, photos, tmp_path, tiny_depth_folder, capsys, end):
    for number in range(20):
        shutil.copy(photos / "a.png", photos / f"z{number}.png")
    out, lanes = tmp_path / "out", 2
    words = ["predict", photos, "--format", "npy,color", "--model", tiny_depth_folder, "--output", out]
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(end)), *words],
        env=os.environ | {"OMP_NUM_THREADS": str(lanes)},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert stopped.returncode == (-signal.SIGKILL if end == signal.SIGKILL else 130)
    assert "Traceback" not in stopped.stderr
    before = len(list(out.glob("*.npy")))
    assert 6 < before < 23
    for path in out.glob("*.npy"):
        assert np.load(path).shape[0] == 60  # every file that has its name is whole

    assert predict(photos, "--format", "npy,color") == 0
    already = int(capsys.readouterr().out.split(" done, ")[1].split()[0])
    assert before - lanes <= already <= before  # at most those under way are done again
    assert len(list(out.glob("*.npy"))) == len(list(out.glob("*_color.png"))) == 23
    assert not list(out.glob(".*.tmp"))


def test_ctrl_c_keeps_what_is_done_and_says_that_the_same_command_continues(
    predict, photos, tmp_path, monkeypatch, capsys
):
    save = DepthPrediction.save

    def stopped(prediction, path, *arguments):
        if path.name.startswith("c"):
            raise KeyboardInterrupt
        return save(prediction, path, *arguments)

    monkeypatch.setattr(DepthPrediction, "save", stopped)
    assert predict(photos, "--format", "npy") == 130
    told = capsys.readouterr().err
    assert f"{tmp_path / 'out'}: keeps what is finished; the same command continues." in told
    monkeypatch.undo()
    assert predict(photos, "--format", "npy") == 0
    assert "1 done, 2 there already" in capsys.readouterr().out
