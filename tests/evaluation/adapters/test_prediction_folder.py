"""Predictions in files: which file belongs to which image, what its numbers mean, and what can be wrong."""

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.data.readers import SampleError
from open_dpt.evaluation.adapters.base import AdapterError
from open_dpt.evaluation.adapters.prediction_folder import PredictionFolder
from open_dpt.processing import DepthPrediction, SegmentationPrediction

METRES = np.array([[0, 1.5, 2.25], [3, 80, 0.004]], np.float32)


def _png16(path, values: np.ndarray, scale: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((values * scale).astype(np.uint16)).save(path)


def _row(image: str, scene: str | None = None, frame: str | None = None) -> dict:
    return {"image": {"path": image, "bytes": None}, "scene": scene, "frame": frame}


def _answer(folder: PredictionFolder, image: str, scene: str | None = None, frame: str | None = None) -> torch.Tensor:
    return folder.predict([{"name": image, "scene": scene, "frame": frame}])[0]


NYU = ("/data/nyu/official_splits/test/bathroom/rgb_00045.jpg", "bathroom", "00045")
KITTI = (
    "/data/kitti/2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png",
    "2011_09_26_drive_0002",
    "0000000069_image_02",
)
H5 = ("/data/tum/film.h5::gt/img_1", "film", "000123")


@pytest.mark.parametrize(
    ("row", "file"),
    [
        (NYU, "bathroom/rgb_00045"),
        (NYU, "bathroom_rgb_00045"),  # the name that eval_with_pngs.py reads
        (NYU, "official_splits/test/bathroom/rgb_00045"),
        (NYU, "bathroom/00045"),
        (NYU, "bathroom_00045"),
        (NYU, "rgb_00045"),
        (NYU, "rgb_00045_depth"),
        (KITTI, "2011_09_26_drive_0002_sync_0000000069"),  # likewise
        (KITTI, "2011_09_26_drive_0002_0000000069"),
        (KITTI, "2011_09_26_drive_0002_sync/image_02/data/0000000069"),
        (KITTI, "2011_09_26_drive_0002/0000000069_image_02"),
        (KITTI, "0000000069"),
        (H5, "film/000123"),
        (H5, "film_000123"),
        (H5, "000123_depth"),
    ],
)
def test_names(tmp_path, row, file):
    _png16(tmp_path / f"{file}.png", METRES, 256)
    _png16(tmp_path / "other.png", METRES, 256)
    folder = PredictionFolder(tmp_path, "depth", prediction_scale=256)
    folder.check([_row(*row)])
    assert _answer(folder, *row).shape == (2, 3)


def test_the_most_telling_name_wins(tmp_path):
    _png16(tmp_path / "bathroom/rgb_00045.png", METRES, 1000)
    _png16(tmp_path / "rgb_00045.png", METRES * 2, 1000)
    folder = PredictionFolder(tmp_path, "depth", prediction_scale=1000)
    folder.check([_row(*NYU)])
    assert _answer(folder, *NYU)[1, 0] == 3


def test_sixteen_bit_metres_where_0_is_unknown(tmp_path):
    _png16(tmp_path / "a.png", METRES, 256)
    folder = PredictionFolder(tmp_path, "depth", prediction_scale=256)
    assert folder.kind == "depth"
    answer = _answer(folder, "a.jpg")
    assert answer.dtype == torch.float32
    expected = np.floor(METRES * 256) / 256
    np.testing.assert_array_equal(answer.numpy(), np.where(expected == 0, np.nan, expected))


def test_what_our_own_commands_write_needs_neither_kind_nor_scale(tmp_path):
    disparity = np.array([[0.5, -1.0, np.nan], [4, 2, 3]], np.float32)
    cases = {
        "depth": DepthPrediction(METRES + 1, kind="depth", unit="metre"),
        "disparity": DepthPrediction(disparity),
        "relative-depth": DepthPrediction(METRES + 1, kind="depth", unit="relative"),
    }
    for kind, prediction in cases.items():
        for suffix in (".png", ".npz"):
            place = tmp_path / kind / suffix
            place.mkdir(parents=True)
            prediction.save(place / f"a_{prediction.kind}{suffix}")
            folder = PredictionFolder(place, "depth", prediction_scale=1000)
            assert folder.kind == kind
            step = 1 / 256 if kind == "depth" else 80 / 65534
            np.testing.assert_allclose(_answer(folder, "a.jpg"), prediction.values, atol=step / 2 * 1.01)


@pytest.mark.parametrize("key", [None, "depth", "predicted_depth", "anything"])
def test_arrays_of_numbers_with_a_fraction_are_taken_as_they_are(tmp_path, key):
    if key is None:
        np.save(tmp_path / "a.npy", METRES.astype(np.float64))
    else:
        np.savez(tmp_path / "a.npz", **{key: METRES[None]})
    folder = PredictionFolder(tmp_path, "depth", kind="depth", prediction_scale=1000)
    np.testing.assert_array_equal(_answer(folder, "a.jpg"), METRES)


def test_an_array_called_disparity_says_its_kind(tmp_path):
    np.savez(tmp_path / "a.npz", disparity=METRES, confidence=METRES)
    folder = PredictionFolder(tmp_path, "depth")
    assert folder.kind == "disparity"
    np.testing.assert_array_equal(_answer(folder, "a.jpg"), METRES)


def test_relative_values_in_sixteen_bits_need_no_scale_and_0_is_a_value(tmp_path):
    _png16(tmp_path / "a.png", METRES, 100)
    folder = PredictionFolder(tmp_path, "depth", kind="disparity")
    np.testing.assert_array_equal(_answer(folder, "a.jpg"), np.floor(METRES * 100))


@pytest.mark.parametrize("palette", [True, False])
def test_class_ids_are_the_pixels_of_grey_and_palette_files(tmp_path, palette):
    labels = np.array([[0, 1, 149], [4, 4, 2]], np.uint8)
    if palette:
        SegmentationPrediction(labels).save(tmp_path / "a_labels.png")
    else:
        Image.fromarray(labels).save(tmp_path / "a.png")
    folder = PredictionFolder(tmp_path, "segmentation")
    answer = _answer(folder, "a.jpg")
    assert (folder.kind, answer.dtype) == ("labels", torch.int64)
    np.testing.assert_array_equal(answer, labels)


def test_missing_files_are_named_before_the_run(tmp_path):
    _png16(tmp_path / "a.png", METRES, 1000)
    folder = PredictionFolder(tmp_path, "depth", prediction_scale=1000)
    rows = [_row("/d/a.jpg"), _row("/d/x.jpg", "kitchen", "7"), *(_row(f"/d/{n}.jpg") for n in range(9))]
    with pytest.raises(AdapterError) as caught:
        folder.check(rows)
    assert str(caught.value) == (
        f"{tmp_path}: 10 of 11 images have no prediction, such as x.jpg (looked for d/x, kitchen/x, kitchen_x), "
        "0.jpg (looked for d/0, 0), 1.jpg (looked for d/1, 1), ..., with .png, .npy, .npz, .pfm. "
        "Name the files after the images."
    )


def test_two_files_for_one_image_are_refused(tmp_path):
    _png16(tmp_path / "a.png", METRES, 1000)
    np.save(tmp_path / "a.npy", METRES)
    folder = PredictionFolder(tmp_path, "depth", kind="depth", prediction_scale=1000)
    with pytest.raises(AdapterError, match=r"1 of 1 images have several predictions: a\.npy and a\.png\. Leave one"):
        folder.check([_row("/d/a.jpg")])


def test_one_file_for_two_images_is_refused(tmp_path):
    _png16(tmp_path / "0000000005.png", METRES, 256)
    folder = PredictionFolder(tmp_path, "depth", prediction_scale=256)
    rows = [_row(f"/kitti/drive_{number}/data/0000000005.png", f"drive_{number}") for number in range(2)]
    with pytest.raises(AdapterError, match=r"1 files would each serve several images: 0000000005\.png\. Put scenes"):
        folder.check(rows)


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "colour", "8-bit", "kind", "three arrays"])
def test_a_file_that_cannot_be_used_is_told_in_one_line_that_names_it(tmp_path, damage):
    _png16(tmp_path / "a.png", np.ones((60, 80)), 1000)
    bad = tmp_path / "b.png"
    if damage == "truncated":
        noise = np.random.default_rng(0).random((60, 80))
        _png16(bad, noise, 60000)
        bad.write_bytes(bad.read_bytes()[:2000])
    elif damage == "text":
        bad.write_text("not a picture")
    elif damage == "empty":
        bad.touch()
    elif damage == "colour":
        Image.new("RGB", (4, 4)).save(bad)
    elif damage == "8-bit":
        Image.new("L", (4, 4)).save(bad)
    elif damage == "kind":
        DepthPrediction(METRES).save(bad)
    else:
        bad = tmp_path / "b.npz"
        np.savez(bad, x=METRES, y=METRES, z=METRES)
    expected = {
        "truncated": "image is corrupt or truncated",
        "text": "not an image in a format that Pillow reads",
        "empty": "file is empty",
        "colour": "must have one channel, got mode RGB",
        "8-bit": "8 bits are too few for depth",
        "kind": "holds disparity, but depth was expected: kinds must not be mixed",
        "three arrays": "must hold one array, or one of depth, disparity, predicted_depth, labels; got x, y, z",
    }
    folder = PredictionFolder(tmp_path, "depth", prediction_scale=1000)
    with pytest.raises(SampleError, match=expected[damage]) as caught:
        _answer(folder, "b.jpg")
    assert str(caught.value).startswith(str(bad))
    assert "\n" not in str(caught.value)


def test_class_ids_with_a_fraction_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", METRES)
    with pytest.raises(SampleError, match=r"a\.npy: class ids must be whole numbers, got float32"):
        _answer(PredictionFolder(tmp_path, "segmentation"), "a.jpg")


def test_kind_and_scale_must_be_known(tmp_path):
    _png16(tmp_path / "a.png", METRES, 1000)
    with pytest.raises(
        AdapterError, match=r"a\.png: does not say .*\(--kind\): depth \(metres\), .*--prediction-scale"
    ):
        PredictionFolder(tmp_path, "depth")
    folder = PredictionFolder(tmp_path, "depth", kind="depth")
    with pytest.raises(SampleError, match=r"holds whole numbers without a scale\. State it \(--prediction-scale\)"):
        _answer(folder, "a.jpg")
    np.save(tmp_path / "a.npy", METRES)
    (tmp_path / "a.png").unlink()
    with pytest.raises(AdapterError, match=r"a\.npy: does not say what its values mean\. State their kind"):
        PredictionFolder(tmp_path, "depth", prediction_scale=1000)


def test_the_kind_is_that_of_the_first_file_that_can_be_read(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(AdapterError, match=r"holds no file that can be read\. The first: .*a\.png: file is empty"):
        PredictionFolder(tmp_path, "depth")
    DepthPrediction(METRES).save(tmp_path / "b.png")
    assert PredictionFolder(tmp_path, "depth").kind == "disparity"


def test_a_scale_must_be_a_number_above_0(tmp_path):
    _png16(tmp_path / "a.png", METRES, 1000)
    for scale in (0, -1, float("nan")):
        with pytest.raises(AdapterError, match=f"prediction scale: must be a number above 0, got {scale}"):
            PredictionFolder(tmp_path, "depth", prediction_scale=scale)


def test_a_folder_without_predictions_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AdapterError, match=r"holds no prediction \(\.png, \.npy, \.npz, \.pfm\)"):
        PredictionFolder(tmp_path, "depth")
    with pytest.raises(AdapterError, match="missing: must be a folder"):
        PredictionFolder(tmp_path / "missing", "depth")


def test_the_fingerprint_is_of_names_and_contents_and_of_no_place(tmp_path):
    def fingerprint(name: str, value: float, place: str) -> str:
        _png16(tmp_path / place / f"{name}.png", METRES + value, 256)
        return PredictionFolder(tmp_path / place, "depth", prediction_scale=256).describe()["fingerprint"]

    first = fingerprint("a", 0, "1")
    assert first == fingerprint("a", 0, "2")
    assert len({first, fingerprint("b", 0, "3"), fingerprint("a", 1, "4")}) == 3
