"""Every format is written here by its own library, or by hand, and read back by locator."""

import io
import tarfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from open_dpt.data.readers import (
    SampleError,
    is_picture,
    open_h5,
    read_image,
    read_map,
    read_member,
    tar_members,
)
from open_dpt.processing.writers import write_depth

DEPTH = np.arange(12, dtype=np.float32).reshape(3, 4) / 4


def _tar(path, **members: bytes):
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            item = tarfile.TarInfo(name.replace("__", "/"))
            item.size = len(data)
            archive.addfile(item, io.BytesIO(data))
    return path


def _h5_bytes(**arrays) -> bytes:
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return data.getvalue()


def _png_bytes(array) -> bytes:
    data = io.BytesIO()
    Image.fromarray(array).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize("byte_order", ["<f4", ">f4", "<f8", "<u2", ">u2"])
def test_npy(tmp_path, byte_order):
    np.save(tmp_path / "a.npy", (DEPTH * 4).astype(byte_order))
    stored = read_map(tmp_path / "a.npy")
    np.testing.assert_array_equal(stored.values, DEPTH * 4)
    assert stored.values.dtype.isnative and stored.valid is None


def test_npz_by_entry_alone_and_as_open_dpt_writes_it(tmp_path):
    np.savez(tmp_path / "two.npz", depth=DEPTH, other=DEPTH + 1)
    np.testing.assert_array_equal(read_map(f"{tmp_path}/two.npz::other").values, DEPTH + 1)
    with pytest.raises(SampleError, match=r"two\.npz: entry must be one of depth, other, got None"):
        read_map(f"{tmp_path}/two.npz")
    np.savez(tmp_path / "one.npz", DEPTH)
    np.testing.assert_array_equal(read_map(f"{tmp_path}/one.npz").values, DEPTH)
    write_depth(tmp_path / "own.npz", DEPTH, DEPTH > 1, "depth", "metre")
    stored = read_map(tmp_path / "own.npz")
    np.testing.assert_array_equal(stored.valid, DEPTH > 1)
    assert stored.in_units


@pytest.mark.parametrize("scale, byte_order", [("-1.0", "<f4"), ("1.0", ">f4")])
def test_pfm_rows_go_from_bottom_to_top(tmp_path, scale, byte_order):
    data = f"Pf\n4 3\n{scale}\n".encode() + DEPTH[::-1].astype(byte_order).tobytes()
    (tmp_path / "a.pfm").write_bytes(data)
    np.testing.assert_array_equal(read_map(tmp_path / "a.pfm").values, DEPTH)
    (tmp_path / "short.pfm").write_bytes(data[:-5])
    with pytest.raises(SampleError, match=r"short\.pfm: cannot be read"):
        read_map(tmp_path / "short.pfm")


def test_bare_floats_have_the_size_that_the_locator_says(tmp_path):
    DEPTH.astype("<f4").tofile(tmp_path / "a.JPG")
    locator = f"{tmp_path}/a.JPG::float32/3x4"
    np.testing.assert_array_equal(read_map(locator).values, DEPTH)
    assert not is_picture(locator)
    with pytest.raises(SampleError, match=r"a\.JPG::float32/4x4: must hold 4 x 4 float32 numbers, got 12"):
        read_map(f"{tmp_path}/a.JPG::float32/4x4")


@pytest.mark.parametrize("content", [b"", b"abc", b"RIFF" + b"0" * 60])
def test_dpt_needs_its_tag(tmp_path, content):
    (tmp_path / "a.dpt").write_bytes(content)
    with pytest.raises(SampleError, match=r"a\.dpt: must begin with 202021\.25"):
        read_map(tmp_path / "a.dpt")


def test_16_bit_png_keeps_its_values(tmp_path):
    values = np.array([[0, 1, 256], [1000, 40000, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_map(tmp_path / "a.png").values, values)


def test_a_png_of_open_dpt_says_its_own_units(tmp_path):
    write_depth(tmp_path / "own.png", DEPTH, DEPTH > 0, "depth", "metre", scale=100)
    stored = read_map(tmp_path / "own.png")
    np.testing.assert_allclose(stored.values, DEPTH)
    np.testing.assert_array_equal(stored.valid, DEPTH > 0)
    assert stored.in_units


def test_h5_whole_and_by_index(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["depth"] = np.stack([DEPTH, DEPTH + 7])
        file["group/one"] = DEPTH
    np.testing.assert_array_equal(read_map(f"{tmp_path}/a.h5::depth/1").values, DEPTH + 7)
    np.testing.assert_array_equal(read_map(f"{tmp_path}/a.h5::group/one").values, DEPTH)
    with pytest.raises(SampleError, match="one channel of numbers"):
        read_map(f"{tmp_path}/a.h5::depth")
    with pytest.raises(SampleError, match="must be one of depth, group, got disparity"):
        read_map(f"{tmp_path}/a.h5::disparity")
    with pytest.raises(SampleError, match=r"a\.h5::depth/2: cannot be read"):
        read_map(f"{tmp_path}/a.h5::depth/2")


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_both_kinds_of_mat_have_rows_first(tmp_path, version):
    stack = np.stack([DEPTH, DEPTH + 7], axis=-1)  # H x W x N, as MATLAB shows it
    if version == "5":
        scipy.io.savemat(tmp_path / "a.mat", {"one": DEPTH, "stack": stack})
    else:
        with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
            file["one"], file["stack"] = DEPTH.T, stack.transpose(2, 1, 0)
    np.testing.assert_array_equal(read_map(f"{tmp_path}/a.mat::one").values, DEPTH)
    np.testing.assert_array_equal(read_map(f"{tmp_path}/a.mat::stack/1").values, DEPTH + 7)


def test_members_of_a_tar(tmp_path):
    red = np.zeros((3, 4, 3), np.uint8)
    red[..., 0] = 255
    planes = np.arange(36, dtype=np.uint8).reshape(3, 3, 4)
    shard = _tar(
        tmp_path / "s.tar",
        room__a=b"text",
        room__0_h5=b"",
        **{"room__1.h5": _h5_bytes(rgb=planes, depth=DEPTH), "b.png": _png_bytes(red)},
    )
    assert list(tar_members(shard)) == ["room/a", "room/0_h5", "room/1.h5", "b.png"]
    assert read_member(str(shard), "room/a") == b"text"
    np.testing.assert_array_equal(read_map(f"{shard}::room/1.h5::depth").values, DEPTH)
    np.testing.assert_array_equal(read_image(f"{shard}::room/1.h5::rgb"), planes)
    np.testing.assert_array_equal(read_image(f"{shard}::b.png"), red.transpose(2, 0, 1))
    with pytest.raises(SampleError, match=r"s\.tar: holds no file 'room/2.h5', but 4 others"):
        read_map(f"{shard}::room/2.h5::depth")


def test_a_cut_and_a_compressed_tar_are_told(tmp_path):
    shard = _tar(tmp_path / "s.tar", a=bytes(5000))
    (tmp_path / "cut.tar").write_bytes(shard.read_bytes()[:2000])
    with pytest.raises(SampleError, match=r"cut\.tar"):
        read_member(str(tmp_path / "cut.tar"), "a")
    with tarfile.open(tmp_path / "zipped.tar", "w:gz") as archive:
        archive.add(shard, "a")
    with pytest.raises(SampleError, match=r"zipped\.tar: cannot be read"):
        tar_members(tmp_path / "zipped.tar")


def test_exr(tmp_path):
    OpenEXR = pytest.importorskip("OpenEXR", reason="reads .exr")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": DEPTH}).write(str(tmp_path / "z.exr"))
    np.testing.assert_array_equal(read_map(tmp_path / "z.exr").values, DEPTH)
    OpenEXR.File(header, {"R": DEPTH, "G": DEPTH + 1, "B": DEPTH}).write(str(tmp_path / "rgb.exr"))
    np.testing.assert_array_equal(read_map(f"{tmp_path}/rgb.exr::G").values, DEPTH + 1)


def test_a_missing_library_is_named_and_is_no_broken_sample(tmp_path, monkeypatch):
    import open_dpt.data.readers as readers

    def absent(name, *rest):
        raise ImportError(name)

    monkeypatch.setattr(readers, "import_module", absent)
    (tmp_path / "a.exr").write_bytes(b"x")
    with pytest.raises(ImportError, match=r"a\.exr: needs the package OpenEXR\. Run: pip install OpenEXR"):
        read_map(tmp_path / "a.exr")


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a.pfm", "a.h5", "a.mat", "a.tar::b.h5::depth"])
def test_bad_files_give_one_line_that_names_them(tmp_path, name):
    file = tmp_path / name.split("::")[0]
    with pytest.raises(SampleError, match="nothing there") as missing:
        read_map(f"{tmp_path}/{name}")
    file.write_bytes(b"\x89 not what the suffix says")
    with pytest.raises(SampleError) as broken:
        read_map(f"{tmp_path}/{name}")
    for error in (missing, broken):
        assert str(error.value).startswith(str(file)) and "\n" not in str(error.value)


def test_colour_is_no_map(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(SampleError, match="must have one channel, got mode RGB"):
        read_map(tmp_path / "a.png")


def test_sources_may_be_bytes_or_pictures():
    ids = np.array([[0, 3], [255, 1]], np.uint8)
    for source in ({"path": None, "bytes": _png_bytes(ids)}, {"path": "x.png", "bytes": _png_bytes(ids)}):
        np.testing.assert_array_equal(read_map(source).values, ids)
    np.testing.assert_array_equal(read_map(Image.fromarray(ids)).values, ids)
    np.testing.assert_array_equal(read_map({"path": "x.h5", "bytes": _h5_bytes(d=DEPTH)}).values, DEPTH)
    assert torch.equal(read_image(Image.fromarray(ids)), torch.from_numpy(ids).expand(3, -1, -1))
    with pytest.raises(SampleError, match=r"x\.pfm: inside a table or tar must be a picture, \.npy"):
        read_map({"path": "x.pfm", "bytes": b"Pf"})
    with pytest.raises(SampleError, match="image in the table: must hold a path or bytes"):
        read_map({"path": None, "bytes": None})


def test_a_replaced_file_is_opened_again(tmp_path):
    for value in (1.0, 2.0):
        path = tmp_path / "a.h5"
        with h5py.File(tmp_path / "new.h5", "w") as file:
            file["depth"] = np.full((2, int(value) + 2), value)  # another size, in case clocks are coarse
        (tmp_path / "new.h5").replace(path)
        assert read_map(f"{path}::depth").values.max() == value
        assert open_h5(path) is open_h5(path)


def test_pictures_are_told_from_arrays():
    assert is_picture("a/b.PNG") and is_picture("no_suffix") and is_picture("a.b/c.jpg")
    assert not any(map(is_picture, ["a.npy", "a.MAT::x", "s.tar::a.png", "a.json::1", "a.exr"]))
