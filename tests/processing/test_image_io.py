"""Any source becomes upright RGB; anything unusable gets one line that names it."""

import io
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.processing import ImageError, load_depth_map, load_image, load_label_map
from open_dpt.processing.image_io import image_tensor, load_pixels

RAMP = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
PHOTOS = Path(__file__).parents[2].parent / "shared" / "real" / "photos"


def png(image, **options):
    data = io.BytesIO()
    image.save(data, format="PNG", **options)
    return data.getvalue()


def one_line(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 250
    return text


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(RAMP).save(path)
    return path


def test_every_kind_of_source_gives_the_same_pixels(photo):
    sources = [photo, str(photo), photo.read_bytes(), photo.open("rb"), Image.open(photo), RAMP]
    sources += [torch.from_numpy(RAMP), torch.from_numpy(RAMP).permute(2, 0, 1), RAMP.astype(np.int64), RAMP / 255.0]
    sources += [RAMP.astype(np.float32), RAMP.astype(">u2") * 257, Image.fromarray(RAMP).convert("RGBA")]
    for source in sources:
        np.testing.assert_array_equal(np.array(load_image(source)), RAMP)
    pixels = image_tensor(photo)
    assert pixels.dtype == torch.uint8 and pixels.shape == (3, 4, 4)
    pixels = load_pixels(photo)
    assert pixels.dtype == np.uint8 and np.array_equal(pixels, RAMP)
    assert image_tensor(pixels).data_ptr() == pixels.ctypes.data  # nothing is left to do for whoever predicts


def test_grey_and_bilevel():
    grey = RAMP[..., 0]
    for source in (grey, grey[..., None], torch.from_numpy(grey)[None], Image.fromarray(grey)):
        np.testing.assert_array_equal(np.array(load_image(source)), np.stack([grey] * 3, -1))
    assert np.array(load_image(np.array([[True, False]]))).tolist() == [[[255] * 3, [0] * 3]]
    assert np.array(load_image(Image.new("1", (1, 1), 1))).tolist() == [[[255] * 3]]


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for source in (png(Image.fromarray(deep)), Image.fromarray(deep), deep, torch.from_numpy(deep)):
        assert np.array(load_image(source))[0, :, 0].tolist() == [0, 1, 128, 255]
    dark = np.full((2, 2), 200, np.uint16)  # below 256: still a 16-bit picture
    assert np.array(load_image(Image.fromarray(dark))).max() == 1


def test_transparency_is_composited_onto_white():
    rgba = np.array([[[255, 0, 0, 255], [0, 0, 0, 0], [0, 0, 0, 128]]] * 5, np.uint8)
    rgba = rgba.repeat(2, axis=1)
    for source in (rgba, Image.fromarray(rgba), torch.from_numpy(rgba).permute(2, 0, 1), rgba / 255.0):
        pixels = np.array(load_image(source)).astype(int)[0, ::2]
        assert pixels[0].tolist() == [255, 0, 0] and pixels[1].tolist() == [255] * 3
        assert abs(pixels[2] - 127).max() <= 1
    grey_alpha = Image.fromarray(np.array([[[9, 255], [9, 0]]], np.uint8))
    assert np.array(load_image(grey_alpha))[0, :, 0].tolist() == [9, 255]


def test_palette_and_cmyk():
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    assert np.array(load_image(png(palette))).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    assert np.array(load_image(png(palette, transparency=1))).tolist() == [[[10, 20, 30], [255] * 3]]
    cmyk = Image.new("CMYK", (2, 2), (0, 255, 255, 0))
    assert np.array(load_image(cmyk))[0, 0].tolist() == [255, 0, 0]


def test_exif_orientation_of_a_file(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    picture = Image.new("RGB", (64, 32))
    picture.paste((255, 0, 0), (0, 0, 32, 32))  # left half: becomes the top
    picture.save(path, exif=exif, quality=95)
    upright = load_image(path)
    assert upright.size == (32, 64)
    assert upright.getpixel((16, 8))[0] > 200 and upright.getpixel((16, 56))[0] < 50
    assert load_image(upright).size == (32, 64)  # not turned twice


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the folder of EXIF photos is not on this machine")
@pytest.mark.parametrize("name", ["Landscape", "Portrait"])
def test_exif_photos_agree(name):
    plain, *turned = (np.array(load_image(PHOTOS / f"{name}_{i}.jpg").resize((64, 64))).astype(int) for i in (1, 0, 6))
    assert load_image(PHOTOS / f"{name}_6.jpg").size == load_image(PHOTOS / f"{name}_1.jpg").size
    for picture in turned:
        assert abs(picture - plain).mean() < 12


def test_unreadable_files(tmp_path, photo):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(whole)
    broken = {
        "empty.png": (b"", "empty"),
        "text.png": (b"not an image at all", "not an image"),
        "cut.png": (photo.read_bytes()[:-30], "corrupt or truncated"),
        "cut.jpg": (whole.read_bytes()[:1500], "corrupt or truncated"),
        "garbled.png": (photo.read_bytes()[:60] + b"x" * 20 + photo.read_bytes()[80:], "corrupt or truncated"),
    }
    for name, (data, reason) in broken.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ImageError) as error:
            load_image(path)
        assert str(path) in one_line(error) and reason in str(error.value)


def test_missing_folder_permission_and_wrong_type(tmp_path, photo, monkeypatch):
    with pytest.raises(FileNotFoundError) as error:
        load_image(tmp_path / "none.jpg")
    assert one_line(error) == f"{tmp_path / 'none.jpg'}: no such file. Check the path."
    with pytest.raises(IsADirectoryError, match="got a folder"):
        load_image(tmp_path)
    with pytest.raises(OSError, match="cannot be opened"):
        load_image(photo / "inside.png")
    with pytest.raises(TypeError, match="got int"):
        load_image(3)
    with pytest.raises(ImageError, match="0 bytes"):
        load_image(b"")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(PermissionError, match="no permission to read"):
        load_image(photo)


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_file_without_permission(photo):
    photo.chmod(0)
    with pytest.raises(PermissionError, match="no permission to read"):
        load_image(photo)


def test_decompression_limit(photo, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 7)
    with pytest.raises(ImageError, match="at most 14 pixels") as error:
        load_image(photo)
    assert str(photo) in one_line(error)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 5, 3), np.uint8), r"\(0, 5, 3\)"),
        (np.zeros((5, 6, 2), np.uint8), r"1, 3 or 4 channels, got shape \(5, 6, 2\)"),
        (torch.zeros(7, 5, 6), r"1, 3 or 4 channels, got shape \(7, 5, 6\)"),
        (np.zeros((2, 2, 5, 3), np.uint8), r"got \(2, 2, 5, 3\)"),
        (np.zeros(4), r"got \(4,\)"),
        (np.full((4, 4, 3), np.nan), "48 NaN or infinite"),
        (torch.full((3, 4, 4), torch.inf), "48 NaN or infinite"),
        (np.full((4, 4, 3), -2.5), r"got -2.5..-2.5"),
        (np.full((4, 4, 3), 300), r"got 300..300"),
        (np.array([["a"]]), "must hold numbers"),
    ],
)
def test_unusable_arrays(array, message):
    with pytest.raises(ImageError, match=message) as error:
        image_tensor(array)
    one_line(error)


def test_values_can_be_kept_as_they_are():
    values = torch.linspace(-2, 2, 48).reshape(3, 4, 4)
    assert torch.equal(image_tensor(values, keep_values=True), values)
    with pytest.raises(ImageError, match="finite"):
        image_tensor(values.log(), keep_values=True)


def test_channel_order_where_the_shape_leaves_it_open():
    array = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    assert image_tensor(array).shape == (3, 3, 5)  # arrays: channels last
    assert image_tensor(torch.from_numpy(array)).shape == (3, 5, 3)  # tensors: first
    assert image_tensor(array, channels="first").shape == (3, 5, 3)


def test_zero_size_pil_image():
    with pytest.raises(ImageError, match="got 0 x 4"):
        load_image(Image.new("RGB", (4, 0)))


def test_label_maps_keep_their_ids(tmp_path):
    ids = np.array([[0, 1], [200, 255]], np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette(bytes(range(256)) * 3)
    np.save(tmp_path / "ids.npy", ids)
    palette.save(tmp_path / "ids.png")
    for source in (ids, palette, tmp_path / "ids.png", tmp_path / "ids.npy", torch.from_numpy(ids)[None], ids * 1.0):
        labels = load_label_map(source)
        assert labels.dtype == torch.int64 and labels.tolist() == ids.tolist()
    with pytest.raises(ImageError, match="one channel, got mode RGB"):
        load_label_map(Image.fromarray(RAMP))
    with pytest.raises(ImageError, match="whole numbers"):
        load_label_map(ids + 0.5)
    with pytest.raises(ImageError, match=r"shape \(H, W\)"):
        load_label_map(RAMP)


def test_depth_maps_mark_missing_pixels_with_zero(tmp_path):
    stored = np.array([[0, 1500, 65535]], np.uint16)
    Image.fromarray(stored).save(tmp_path / "depth.png")
    assert load_depth_map(tmp_path / "depth.png").tolist() == [[0, 1500, 65535]]
    values = np.array([[np.nan, np.inf, -1.0, 0.0, 2.5]])
    assert load_depth_map(values).tolist() == [[0, 0, 0, 0, 2.5]]
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY garbage")
    with pytest.raises(ImageError, match=r"broken\.npy: not a readable"):
        load_depth_map(tmp_path / "broken.npy")


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/ok.png": png(Image.fromarray(RAMP)), "/empty.png": b""}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


def test_urls():
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        np.testing.assert_array_equal(np.array(load_image(f"{base}/ok.png")), RAMP)
        with pytest.raises(OSError, match="answered 404") as error:
            load_image(f"{base}/none.png")
        assert f"{base}/none.png" in one_line(error)
        with pytest.raises(ImageError, match="0 bytes"):
            load_image(f"{base}/empty.png")
        server.shutdown()
    with pytest.raises(OSError, match="could not be fetched") as error:
        load_image(f"{base}/ok.png", timeout=2)
    one_line(error)
