from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from open_dpt.data import DataLayoutError, load_data, read_sample

HEIGHT, WIDTH = 3, 5
RAMP = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
CAMERA = """extrinsic
1 0 0 0
0 1 0 0
0 0 1 0
0 0 0 1

intrinsic
570.5 0 384.25
0 571.5 288.75
0 0 1

1.5 0.01 128 3.5
"""


def _picture(path: Path, values: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros((HEIGHT, WIDTH, 3)) if values is None else values
    Image.fromarray(values.astype(np.uint8)).save(path)


def _pfm(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = f"Pf\n{values.shape[1]} {values.shape[0]}\n-1.0\n".encode()
    path.write_bytes(header + values[::-1].astype("<f4").tobytes())


def test_redweb(tmp_path):
    for name in ("b", "a"):
        _picture(tmp_path / "ReDWeb_V1" / "Imgs" / f"{name}.jpg")
        _picture(tmp_path / "ReDWeb_V1" / "RDs" / f"{name}.png", RAMP)
    rows = load_data("redweb", tmp_path)
    sample = read_sample(rows[0])
    assert rows["frame"][:] == ["a", "b"] and "depth" not in sample
    np.testing.assert_array_equal(sample["disparity"], RAMP)
    np.testing.assert_array_equal(sample["valid"], RAMP > 0)
    inverse = read_sample(load_data("redweb", tmp_path, kind="relative-depth")[0])["disparity"]
    np.testing.assert_allclose(inverse[0, 1:], 1 / RAMP[0, 1:])
    (tmp_path / "ReDWeb_V1" / "RDs" / "a.png").unlink()
    with pytest.raises(DataLayoutError, match=r"1 files are missing: RDs/a\.png"):
        load_data("redweb", tmp_path)


def test_hrwsi_with_and_without_masks(tmp_path):
    _picture(tmp_path / "val" / "imgs" / "x.jpg")
    _picture(tmp_path / "val" / "gts" / "x.png", RAMP)
    sample = read_sample(load_data("hrwsi", tmp_path, "val")[0])
    np.testing.assert_array_equal(sample["valid"], RAMP > 0)
    _picture(tmp_path / "val" / "valid_masks" / "x.png", 255 * (RAMP < 9))
    sample = read_sample(load_data("hrwsi", tmp_path, "val")[0])
    np.testing.assert_array_equal(sample["valid"], RAMP < 9)  # the sky is far away, and known
    np.testing.assert_array_equal(sample["disparity"], np.where(RAMP < 9, RAMP, 0))
    sample = read_sample(load_data("hrwsi", tmp_path, "val", masks=None)[0])
    assert sample["valid"].sum() == RAMP.size - 1
    with pytest.raises(DataLayoutError, match="train/imgs, train/gts not found"):
        load_data("hrwsi", tmp_path)


@pytest.fixture
def blended(tmp_path):
    """Scenes p1 with frames 0 and 1 and p2 with frame 0; frame 1 of p1 is empty."""
    for scene, frame, values in (("p1", 0, RAMP), ("p1", 1, RAMP * 0), ("p2", 0, RAMP[::-1])):
        folder = tmp_path / scene
        _picture(folder / "blended_images" / f"{frame:08d}.jpg")
        _picture(folder / "blended_images" / f"{frame:08d}_masked.jpg")
        _pfm(folder / "rendered_depth_maps" / f"{frame:08d}.pfm", values)
        (folder / "cams").mkdir(exist_ok=True)
        (folder / "cams" / "pair.txt").write_text("1\n0\n")
        (folder / "cams" / f"{frame:08d}_cam.txt").write_text(CAMERA)
    return tmp_path


def test_blendedmvs(blended):
    with pytest.warns(UserWarning, match=r"1 of 3 depth maps are empty .*p1/rendered_depth_maps/00000001\.pfm"):
        rows = load_data("blendedmvs", blended)
    assert list(zip(rows["scene"], rows["frame"], strict=True)) == [("p1", "00000000"), ("p2", "00000000")]
    sample = read_sample(rows[1])
    assert "depth" not in sample  # its unit is unknown
    np.testing.assert_array_equal(sample["valid"], RAMP[::-1] > 0)
    np.testing.assert_allclose(sample["disparity"][0], 1 / RAMP[-1], rtol=1e-6)
    assert sample["intrinsics"].tolist() == [[570.5, 0, 384.25], [0, 571.5, 288.75], [0, 0, 1]]
    assert len(load_data("blendedmvs", blended, skip_empty=False)) == 3


def test_blendedmvs_by_list(blended):
    (blended / "list.txt").write_text("p2\n")
    assert load_data("blendedmvs", blended, scenes="list.txt")["scene"][:] == ["p2"]
    (blended / "list.txt").write_text("p2\np9\n")
    with pytest.raises(DataLayoutError, match="p9/blended_images not found"):
        load_data("blendedmvs", blended, scenes=str(blended / "list.txt"))
    with pytest.raises(DataLayoutError, match=r"none\.txt: no such list of scenes"):
        load_data("blendedmvs", blended, scenes="none.txt")


def test_blendedmvs_files_may_be_missing_or_broken(blended):
    (blended / "p2" / "cams" / "00000000_cam.txt").unlink()
    (blended / "p1" / "cams" / "00000000_cam.txt").write_text("intrinsic\n1 2\n")
    with pytest.raises(DataLayoutError, match=r"p1/cams/00000000_cam\.txt: must hold 9 numbers"):
        load_data("blendedmvs", blended, skip_empty=False)
    (blended / "p1" / "rendered_depth_maps" / "00000000.pfm").unlink()
    with pytest.raises(DataLayoutError, match=r"1 files are missing: p1/rendered_depth_maps/00000000\.pfm"):
        load_data("blendedmvs", blended)
    with pytest.warns(UserWarning, match="left out"):
        rows = load_data("blendedmvs", blended, missing="skip")
    assert rows["scene"][:] == ["p2"] and rows["intrinsics"][0] is None


def test_an_empty_map_is_told_from_one_with_a_single_value(blended):
    for where in (0, 150_000, 299_999):
        values = np.zeros(300_000)
        values[where] = 1.0
        _pfm(blended / "p1" / "rendered_depth_maps" / "00000001.pfm", values.reshape(500, 600))
        assert len(load_data("blendedmvs", blended)) == 3
    (blended / "p1" / "rendered_depth_maps" / "00000001.pfm").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 of 3 depth maps are empty"):
        load_data("blendedmvs", blended)
