from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.data import DataLayoutError, SampleError, load_data, raw_rows, read_sample
from open_dpt.data.contact_sheet import draw_contact_sheet
from open_dpt.data.transforms import TrainTransform

HEIGHT, WIDTH = 6, 8
RAMP = np.arange(HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (10, 20, 30)).save(path, "PNG" if path.suffix == ".png" else "JPEG")


def _dpt(path: Path, values: np.ndarray, tag: float = 202021.25) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = np.array(values.shape[::-1], "<i4").tobytes()
    path.write_bytes(np.array(tag, "<f4").tobytes() + size + values.astype("<f4").tobytes())


@pytest.fixture
def eth3d(tmp_path):
    """Scene facade: DSC_1 and DSC_2 with official depth, DSC_1 undistorted with a depth map of half its size."""
    for name in ("DSC_1", "DSC_2"):
        _image(tmp_path / "facade" / "images" / "dslr_images" / f"{name}.JPG")
        truth = tmp_path / "facade" / "ground_truth_depth" / "dslr_images" / f"{name}.JPG"
        truth.parent.mkdir(parents=True, exist_ok=True)
        np.where(RAMP % 2 == 0, np.inf, RAMP).astype("<f4").tofile(truth)
    _image(tmp_path / "facade" / "images_out" / "dslr_images_undistorted" / "DSC_1.JPG")
    depth = tmp_path / "facade" / "depth" / "dslr_images_undistorted" / "DSC_1.png"
    depth.parent.mkdir(parents=True)
    Image.fromarray((RAMP[::2, ::2] * 1000).astype(np.uint16)).save(depth)
    return tmp_path


def test_official_depth_of_eth3d_is_bare_floats_in_a_file_called_jpg(eth3d):
    rows = load_data("eth3d", eth3d, "all")
    assert list(zip(rows["scene"], rows["frame"], strict=True)) == [("facade", "DSC_1"), ("facade", "DSC_2")]
    sample = read_sample(rows[0])
    np.testing.assert_array_equal(sample["valid"], RAMP % 2 == 1)
    np.testing.assert_array_equal(sample["depth"], np.where(RAMP % 2 == 1, RAMP, 0))
    with (eth3d / "facade" / "ground_truth_depth" / "dslr_images" / "DSC_1.JPG").open("ab") as file:
        file.write(b"1234")
    with pytest.raises(SampleError, match=r"DSC_1\.JPG::float32/6x8: must hold 6 x 8 float32 numbers, got 49"):
        read_sample(rows[0])


def test_rendered_depth_of_eth3d_keeps_its_own_size(eth3d):
    rows = load_data("eth3d", eth3d, "all", truth="rendered")
    sample = read_sample(raw_rows(rows)[0])
    assert sample["image"].shape == (3, HEIGHT, WIDTH)
    np.testing.assert_array_equal(sample["depth"], RAMP[::2, ::2])
    np.testing.assert_array_equal(sample["valid"], RAMP[::2, ::2] > 0)
    assert read_sample(rows[0], resize_maps=True)["depth"].shape == (HEIGHT, WIDTH)
    halves = read_sample(load_data("eth3d", eth3d, "all", truth="rendered", depth_scale=500.0)[0])["depth"]
    np.testing.assert_array_equal(halves, 2 * RAMP[::2, ::2])
    draw_contact_sheet([sample], title="eth3d")
    with pytest.raises(ValueError, match=r"DSC_1.*must be as large as its image, 6 x 8, got 3 x 4"):
        TrainTransform(size=(4, 4), targets="depth")(sample, torch.Generator())


def test_rendered_depth_may_be_an_array_and_images_lie_where_the_archive_has_them(eth3d):
    scene = eth3d / "facade"
    (scene / "images_out" / "dslr_images_undistorted").rename(scene / "images" / "dslr_images_undistorted")
    (scene / "depth" / "dslr_images_undistorted" / "DSC_1.png").unlink()
    np.save(scene / "depth" / "dslr_images_undistorted" / "DSC_1.npy", RAMP[::3, ::4])
    sample = read_sample(load_data("eth3d", eth3d, "all", truth="rendered")[0])
    np.testing.assert_array_equal(sample["depth"], RAMP[::3, ::4])


def test_what_eth3d_lacks_is_said(eth3d):
    with pytest.raises(ValueError, match="truth: must be one of official, rendered, got 'laser'"):
        load_data("eth3d", eth3d, "all", truth="laser")
    with pytest.raises(DataLayoutError, match=r"no scene with images/dslr_images found\. Expected inside: <scene>"):
        load_data("eth3d", eth3d / "facade", "all")
    (eth3d / "facade" / "ground_truth_depth" / "dslr_images" / "DSC_2.JPG").unlink()
    with pytest.raises(
        DataLayoutError, match=r"1 files are missing: facade/ground_truth_depth/dslr_images/DSC_2\.JPG"
    ):
        load_data("eth3d", eth3d, "all")
    with pytest.warns(UserWarning, match="left out"):
        assert load_data("eth3d", eth3d, "all", missing="skip")["frame"][:] == ["DSC_1"]
    (eth3d / "facade" / "images" / "dslr_images" / "DSC_1.JPG").write_bytes(b"no picture")
    with pytest.warns(UserWarning), pytest.raises(SampleError, match=r"DSC_1\.JPG: .*Fetch or export it again"):
        load_data("eth3d", eth3d, "all", missing="skip")


@pytest.mark.parametrize("above", ["", "training"])
def test_sintel(tmp_path, above):
    folder = tmp_path / above
    for scene, frame in (("alley_1", "frame_0001"), ("alley_1", "frame_0002"), ("temple_2", "frame_0001")):
        _image(folder / "final" / scene / f"{frame}.png")
        _dpt(folder / "depth" / scene / f"{frame}.dpt", RAMP + 1)
    rows = load_data("sintel", tmp_path, "all")
    assert list(zip(rows["scene"], rows["frame"], strict=True)) == [
        ("alley_1", "frame_0001"),
        ("alley_1", "frame_0002"),
        ("temple_2", "frame_0001"),
    ]
    np.testing.assert_array_equal(read_sample(rows[2])["depth"], RAMP + 1)
    (folder / "depth" / "alley_1" / "frame_0002.dpt").unlink()
    with pytest.raises(DataLayoutError, match=r"1 files are missing: depth/alley_1/frame_0002\.dpt"):
        load_data("sintel", tmp_path, "all")


def test_broken_sintel_depth(tmp_path):
    _image(tmp_path / "final" / "alley_1" / "frame_0001.png")
    path = tmp_path / "depth" / "alley_1" / "frame_0001.dpt"
    _dpt(path, RAMP, tag=1.0)
    rows = load_data("sintel", tmp_path, "all")
    with pytest.raises(SampleError, match=r"frame_0001\.dpt: must begin with 202021\.25, the tag of a Sintel depth"):
        read_sample(rows[0])
    _dpt(path, RAMP)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(SampleError, match=r"frame_0001\.dpt: must hold 6 x 8 float32 numbers, got 47"):
        read_sample(rows[0])
    _dpt(path, RAMP[:-1])
    with pytest.raises(SampleError, match=r"frame_0001\.dpt: must be 6 x 8 as its image is, got 5 x 8"):
        read_sample(rows[0])
    with pytest.raises(DataLayoutError, match="final, depth not found"):
        load_data("sintel", tmp_path / "final", "all")


@pytest.mark.parametrize("above", ["", "tum_hdf5"])
def test_tum_dynamic(tmp_path, above):
    h5py = pytest.importorskip("h5py")
    (tmp_path / above).mkdir(exist_ok=True)
    image = np.linspace(0, 1, HEIGHT * WIDTH * 3, dtype=np.float32).reshape(HEIGHT, WIDTH, 3)
    with h5py.File(tmp_path / above / "a_film_10366667.jpg.h5", "w") as file:
        file["gt/img_1"], file["gt/gt_depth"], file["gt/human_mask"] = image, RAMP, RAMP
    rows = load_data("tum-dynamic", tmp_path, "test")
    sample = read_sample(rows[0])
    assert (sample["scene"], sample["frame"]) == ("a_film", "10366667")
    np.testing.assert_array_equal(sample["image"], np.rint(image * 255).transpose(2, 0, 1))
    np.testing.assert_array_equal(sample["depth"], RAMP)
    with pytest.raises(DataLayoutError, match=r"\*\.h5 not found\. Expected inside: \*\.h5 \(or tum_hdf5"):
        (tmp_path / "empty").mkdir()
        load_data("tum-dynamic", tmp_path / "empty", "test")
