"""Every format reads back, by us and by plain PIL and numpy; a failed write leaves nothing behind."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from open_dpt.processing import DepthPrediction, SegmentationPrediction
from open_dpt.processing.writers import atomic_write

VALUES = np.random.default_rng(0).uniform(0.5, 20, (12, 17)).astype(np.float32)
VALID = np.ones(VALUES.shape, bool)
VALID[3, 4:7] = False
METRIC = DepthPrediction(VALUES, "depth", "metre", VALID)
RELATIVE = DepthPrediction(VALUES - 3, "disparity", "relative", VALID)


@pytest.mark.parametrize("scale", [256, 1000])
def test_metric_png_holds_scaled_metres(tmp_path, scale):
    path = METRIC.save(tmp_path / "depth.png", scale=scale)
    pixels = np.array(Image.open(path))
    assert pixels.dtype == np.uint16 and (pixels[~VALID] == 0).all()
    np.testing.assert_allclose(pixels[VALID] / scale, VALUES[VALID], atol=0.5 / scale + 1e-6)
    again = DepthPrediction.load(path)
    assert (again.kind, again.unit) == ("depth", "metre")
    np.testing.assert_array_equal(again.valid, VALID)
    np.testing.assert_allclose(again.values[VALID], VALUES[VALID], atol=0.5 / scale + 1e-6)


def test_metric_png_saturates_at_both_ends(tmp_path):
    prediction = DepthPrediction(np.array([[1e-5, 300.0, 1e8]]), "depth", "metre")
    assert np.array(Image.open(prediction.save(tmp_path / "far.png"))).tolist() == [[1, 65535, 65535]]


def test_relative_png_uses_the_whole_range_and_stores_it(tmp_path):
    path = RELATIVE.save(tmp_path / "disparity.png")
    image = Image.open(path)
    pixels = np.array(image)
    assert pixels[VALID].min() == 1 and pixels[VALID].max() == 65535 and (pixels[~VALID] == 0).all()
    meaning = json.loads(image.info["open_dpt"])
    assert meaning["kind"] == "disparity" and meaning["unit"] == "relative"
    stored = meaning["offset"] + pixels / meaning["scale"]
    np.testing.assert_allclose(stored[VALID], RELATIVE.values[VALID], atol=20 / 65534)
    np.testing.assert_allclose(DepthPrediction.load(path).values[VALID], RELATIVE.values[VALID], atol=20 / 65534)


def test_relative_png_with_a_fixed_range(tmp_path):
    for name, values in (("a.png", VALUES), ("b.png", VALUES[:4])):
        DepthPrediction(values).save(tmp_path / name, value_range=(0, 30))
    first, second = (np.array(Image.open(tmp_path / name)) for name in ("a.png", "b.png"))
    np.testing.assert_array_equal(first[:4], second)


def test_constant_and_empty_maps_are_saved(tmp_path):
    constant = DepthPrediction.load(DepthPrediction(np.full((3, 3), 2.5)).save(tmp_path / "constant.png"))
    np.testing.assert_allclose(constant.values, 2.5)
    nothing = DepthPrediction.load(DepthPrediction(np.full((3, 3), np.nan)).save(tmp_path / "nothing.png"))
    assert not nothing.valid.any()


def test_npy_npz_pfm(tmp_path):
    for prediction, missing in ((METRIC, 0.0), (RELATIVE, np.nan)):
        expected = np.where(VALID, prediction.values, np.float32(missing))
        np.testing.assert_array_equal(np.load(prediction.save(tmp_path / "map.npy")), expected)
        pfm = prediction.save(tmp_path / "map.pfm")
        np.testing.assert_array_equal(DepthPrediction.load(pfm).values, expected)
        whole = DepthPrediction.load(prediction.save(tmp_path / "map.npz"))
        np.testing.assert_array_equal(whole.values, prediction.values)
        np.testing.assert_array_equal(whole.valid, VALID)
        assert (whole.kind, whole.unit) == (prediction.kind, prediction.unit)


def test_pfm_layout(tmp_path):
    data = DepthPrediction(np.array([[1.0, 2.0], [3.0, 4.0]])).save(tmp_path / "map.pfm").read_bytes()
    assert data == b"Pf\n2 2\n-1.0\n" + np.array([3, 4, 1, 2], "<f4").tobytes()  # bottom row first


def test_pfm_from_elsewhere(tmp_path):
    (tmp_path / "big.pfm").write_bytes(b"Pf\n2 1\n1.0\n" + np.array([3, 4], ">f4").tobytes())
    assert DepthPrediction.load(tmp_path / "big.pfm").values.tolist() == [[3, 4]]
    (tmp_path / "rgb.pfm").write_bytes(b"PF\n2 1\n1.0\n")
    with pytest.raises(ValueError, match="one-channel"):
        DepthPrediction.load(tmp_path / "rgb.pfm")


def test_colour_pictures(tmp_path):
    path = METRIC.save(tmp_path / "depth.png", format="color", colormap="grey")
    np.testing.assert_array_equal(np.array(Image.open(path)), METRIC.colorize("grey"))
    assert Image.open(METRIC.save(tmp_path / "depth.jpg")).mode == "RGB"
    with pytest.raises(ValueError, match="without its 'open_dpt' text"):
        DepthPrediction.load(path)


def test_label_png_holds_the_ids(tmp_path):
    labels = np.array([[0, 3], [149, 0]])
    prediction = SegmentationPrediction(labels, dict.fromkeys(range(150), ""))
    image = Image.open(prediction.save(tmp_path / "labels.png"))
    np.testing.assert_array_equal(np.array(image), labels)
    np.testing.assert_array_equal(np.array(image.convert("RGB")), prediction.colorize())
    many = SegmentationPrediction(np.array([[0, 1000]]))
    assert np.array(Image.open(many.save(tmp_path / "many.png"))).tolist() == [[0, 1000]]
    picture = Image.new("RGB", (2, 2), (9, 9, 9))
    overlay = Image.open(prediction.save(tmp_path / "overlay.png", image=picture))
    np.testing.assert_array_equal(np.array(overlay), prediction.overlay(picture))
    with pytest.raises(ValueError, match=r"within 0\.\.65535"):
        SegmentationPrediction(np.array([[-1]])).save(tmp_path / "bad.png")


def test_unknown_formats_and_options(tmp_path):
    with pytest.raises(ValueError, match=r"one of png16, npy, npz, pfm, color, got \.tif"):
        METRIC.save(tmp_path / "depth.tif")
    with pytest.raises(ValueError, match="got exr"):
        METRIC.save(tmp_path / "depth.png", format="exr")
    with pytest.raises(ValueError, match="picture format"):
        METRIC.save(tmp_path / "depth.npy", format="color")
    with pytest.raises(TypeError, match="scale: not an option of format npy"):
        METRIC.save(tmp_path / "depth.npy", scale=2)
    with pytest.raises(TypeError, match="scale: only depth in metres"):
        RELATIVE.save(tmp_path / "depth.png", scale=2)
    with pytest.raises(TypeError, match="value_range: metric"):
        METRIC.save(tmp_path / "depth.png", value_range=(0, 1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.pfm", "a.jpg"])
@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.ENOSPC, "no space left on device. Free space"), (errno.EACCES, "no permission to write")],
)
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, name, number, message):
    path = tmp_path / name
    path.write_bytes(b"old")

    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=message) as error:
        METRIC.save(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert error.value.errno == number
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_half_way(tmp_path):
    with pytest.raises(OSError, match="no space left"), atomic_write(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.pfm", "a.jpg"])
def test_a_full_device(tmp_path, monkeypatch, name):
    real_open = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode: real_open(Path("/dev/full"), "wb"))
    with pytest.raises(OSError, match=r"no space left on device\. Free space") as error:
        METRIC.save(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))


def test_other_errors_leave_nothing_either(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        METRIC.save(tmp_path / "none" / "a.npy")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(IsADirectoryError, match="got a folder"):
        METRIC.save(tmp_path / "folder.npy")
