"""Reading images, label maps and depth maps from whatever holds them, with errors that name the file and the remedy.

Images become RGB. EXIF orientation is applied, so sizes are those a viewer shows. Transparency is composited onto
white, as browsers show it. 16-bit pictures are scaled to 8 bits (divided by 257), not clipped. Only the first frame of
an animation is read.
"""

import io
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

# A URL that sends more than this is not a photo.
MAX_DOWNLOAD_BYTES = 256 * 2**20

ImageSource = Any  # path, URL, bytes, open binary file, PIL image, numpy array or tensor


class ImageError(ValueError):
    """The input is not a usable image."""


def load_image(source: ImageSource, *, timeout: float = 30.0) -> Image.Image:
    """Read one image.

    Args:
        source: Path, http(s) URL, bytes, open binary file, PIL image, or array/tensor as in `image_tensor`.
        timeout: Seconds to wait for a URL.

    Returns:
        PIL image in mode RGB, upright.

    Raises:
        FileNotFoundError, PermissionError, IsADirectoryError, OSError: the file or URL cannot be read.
        ImageError: it can be read but is not a usable image (empty, corrupt, truncated, too large, no pixels).
        TypeError: not a kind of source known here.
    """
    if isinstance(source, (np.ndarray, torch.Tensor)):
        pixels = image_tensor(source)
        if pixels.is_floating_point():
            pixels = pixels.round().to(torch.uint8)
        return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())
    return _to_rgb(*open_image(source, timeout=timeout))


def load_pixels(source: ImageSource, *, timeout: float = 30.0) -> np.ndarray:
    """As `load_image`, but a uint8 array (H, W, 3): made where it is read, so that whoever predicts need not wait."""
    return np.array(load_image(source, timeout=timeout))


def image_tensor(
    source: ImageSource,
    *,
    channels: str | None = None,
    keep_values: bool = False,
    timeout: float = 30.0,
    name: str = "image",
) -> torch.Tensor:
    """Read one image as a tensor, on the device it lives on (CPU for files).

    Args:
        source: As in `load_image`. Arrays and tensors are (H, W), (C, H, W) or (H, W, C) with C = 1, 3 or 4: uint8,
            bool, uint16, other integers within 0..255, or floating within 0..1 or 0..255 (told apart by the maximum).
        channels: "first" or "last" where the shape leaves it open; default: arrays last, tensors first.
        keep_values: Take the numbers as they are (already scaled or normalised); only NaN and inf are refused.
        timeout: Seconds to wait for a URL.
        name: What messages call a source that has no name of its own.

    Returns:
        RGB, shape (3, H, W): uint8, or float32 within 0..255 (any range with `keep_values`).

    Raises:
        As `load_image`.
    """
    if isinstance(source, (np.ndarray, torch.Tensor)):
        return _array_to_rgb(source, channels, keep_values, name)
    rgb = _to_rgb(*open_image(source, timeout=timeout, name=name))
    return torch.from_numpy(np.array(rgb)).permute(2, 0, 1)


def load_label_map(source: ImageSource, *, name: str = "label map") -> torch.Tensor:
    """Read class ids: path or PIL image with one channel (a palette image gives its indices), or array (H, W).

    Returns:
        int64 tensor (H, W).

    Raises:
        As `load_image`; ImageError for several channels or fractional ids.
    """
    values, name = _read_map(source, name, "Convert colours to class ids first.")
    if values.is_floating_point() and not bool((values == values.round()).all()):  # NaN is caught too
        raise ImageError(f"{name}: class ids must be whole numbers, got {values.dtype} with fractions or NaN.")
    return values.long()


def load_depth_map(source: ImageSource, *, name: str = "depth map") -> torch.Tensor:
    """Read a depth or disparity map: .npy or one-channel image file, PIL image, or array (H, W).

    Values stay in the unit they are stored in (a 16-bit PNG in millimetres gives millimetres).

    Returns:
        float32 tensor (H, W); negative, infinite and NaN values become 0, the sign for missing.

    Raises:
        As `load_image`; ImageError for several channels.
    """
    values, _ = _read_map(source, name, "Pass one channel.")
    values = values.float()
    return torch.where(torch.isfinite(values) & (values > 0), values, 0.0)


def open_image(source: ImageSource, *, timeout: float = 30.0, name: str = "image") -> tuple[Image.Image, str]:
    """Decode an image in the mode it is stored in, upright, and say what messages should call it.

    Raises:
        As `load_image`.
    """
    if isinstance(source, Image.Image):
        image = source
    else:
        data, name = _open_bytes(source, timeout, name)
        with data:
            image = _decode(data, name)
    if min(image.size) < 1:
        raise ImageError(f"{name}: height and width must be at least 1, got {image.height} x {image.width}.")
    try:
        return ImageOps.exif_transpose(image), name
    except Exception as error:  # lazy PIL images decode here, and damaged EXIF blocks raise all sorts of things
        try:
            image.load()
        except Exception:
            raise _unreadable(name, error) from None
        return image, name


def _decode(data, name: str) -> Image.Image:
    try:
        image = Image.open(data)
        image.load()
    except Image.DecompressionBombError:
        raise ImageError(
            f"{name}: must have at most {2 * Image.MAX_IMAGE_PIXELS:,} pixels, the decompression limit, got more. "
            f"Shrink it, or raise PIL.Image.MAX_IMAGE_PIXELS."
        ) from None
    except Exception as error:  # PIL's plugins raise their own kinds of exceptions on broken files
        raise _unreadable(name, error) from None
    return image


def _unreadable(name: str, error: Exception) -> ImageError:
    if isinstance(error, Image.UnidentifiedImageError):
        return ImageError(f"{name}: not an image in a format that Pillow reads. Check the file, or convert it to PNG.")
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ImageError(f"{name}: image is corrupt or truncated ({reason}). Fetch or export the file again.")


def _open_bytes(source: ImageSource, timeout: float, name: str):
    """Binary stream and display name of a path, URL, bytes or open file."""
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return _download(source, timeout), source
    if isinstance(source, (str, os.PathLike)):
        return _open_file(Path(source)), str(source)
    if isinstance(source, (bytes, bytearray)):
        if not source:
            raise ImageError(f"{name}: must hold data, got 0 bytes. Check where the bytes come from.")
        return io.BytesIO(source), name
    if hasattr(source, "read"):
        return io.BytesIO(source.read()), str(getattr(source, "name", name))
    raise TypeError(
        f"{name}: must be a path, URL, bytes, open file, PIL image, array or tensor, got {type(source).__name__}."
    )


def _open_file(path: Path):
    if path.is_dir():
        raise IsADirectoryError(f"{path}: must be a file, got a folder. Name a file inside it.")
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file. Check the path.") from None
    except PermissionError:
        raise PermissionError(f"{path}: no permission to read. Change its mode or owner.") from None
    except OSError as error:
        raise OSError(f"{path}: cannot be opened ({error.strerror}). Check the path.") from None
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise ImageError(f"{path}: file is empty (0 bytes). Fetch or export it again.")
    return file


def _download(url: str, timeout: float) -> io.BytesIO:
    request = urllib.request.Request(url, headers={"User-Agent": "open-dpt"})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            data = response.read(MAX_DOWNLOAD_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise OSError(f"{url}: server answered {error.code} {error.reason}. Check the address.") from None
    except (OSError, ValueError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        raise OSError(f"{url}: could not be fetched ({reason}). Check the address and the network.") from None
    if len(data) > MAX_DOWNLOAD_BYTES:
        raise ImageError(f"{url}: must be at most {MAX_DOWNLOAD_BYTES:,} bytes. Download and shrink it first.")
    if not data:
        raise ImageError(f"{url}: server sent 0 bytes. Check the address.")
    return io.BytesIO(data)


def _to_rgb(image: Image.Image, name: str) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I;16"):
        return _grey_to_rgb(np.array(image).astype(np.float32) / 257)
    if image.mode in ("I", "F"):  # "I" may hold 8 or 16 bits, "F" anything: told apart by the maximum
        values = np.array(image)
        wide = image.mode == "I" and values.size and values.max() > 255
        return _grey_to_rgb(_scale_values(torch.from_numpy(values / (257 if wide else 1)), name).numpy())
    try:
        if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")
    except (ValueError, OSError) as error:
        raise ImageError(f"{name}: cannot turn mode {image.mode} into RGB ({error}). Convert it to RGB.") from None


def _grey_to_rgb(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(values).astype(np.uint8)).convert("RGB")


def _array_to_rgb(source, channels: str | None, keep_values: bool, name: str) -> torch.Tensor:
    shape, first = tuple(source.shape), isinstance(source, torch.Tensor)
    image = source if first else torch.from_numpy(_plain_array(source, name))
    if image.ndim not in (2, 3) or 0 in shape:
        raise ImageError(
            f"{name}: must have shape (H, W), (C, H, W) or (H, W, C) with at least one pixel, got {shape}."
        )
    if image.ndim == 2:
        image = image[None]
    else:
        counts = {"first": shape[0], "last": shape[-1]}
        fits = [
            layout for layout in (("first", "last") if first else ("last", "first")) if counts[layout] in (1, 3, 4)
        ]
        # Three channels are likelier than a picture three pixels high, and likelier than 1 or 4.
        layout = channels or next((layout for layout in fits if counts[layout] == 3), next(iter(fits), None))
        if layout not in fits:
            raise ImageError(f"{name}: must have 1, 3 or 4 channels, got shape {shape}. Select or convert channels.")
        image = image if layout == "first" else image.permute(2, 0, 1)
    if not keep_values:
        image = _scale_values(image, name)
    else:
        _require_finite(image, name)
    if image.shape[0] == 4:
        rgb, alpha = image[:3].float(), image[3:].float()
        opaque = 1.0 if keep_values and float(alpha.max()) <= 1 else 255.0
        mixed = opaque + (rgb - opaque) * (alpha / opaque)
        image = mixed if image.is_floating_point() else mixed.round().to(image.dtype)
    elif image.shape[0] == 1:
        image = image.expand(3, -1, -1)
    return image if image.dtype == torch.uint8 else image.float()


def _scale_values(image: torch.Tensor, name: str) -> torch.Tensor:
    """Pixel values of any type -> uint8, or float32 within 0..255."""
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.bool:
        return image.to(torch.uint8) * 255
    if image.dtype == torch.uint16:
        return image.float() / 257
    _require_finite(image, name)
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 255:
        raise ImageError(
            f"{name}: pixels must be within 0..1 or 0..255, got {low:.4g}..{high:.4g}. "
            f"Scale them, or pass do_rescale=False for values that are ready."
        )
    return image.float() * 255 if image.is_floating_point() and high <= 1 else image.float()


def _require_finite(image: torch.Tensor, name: str) -> None:
    if image.is_floating_point() and not bool(torch.isfinite(image).all()):
        count = int((~torch.isfinite(image)).sum())
        raise ImageError(f"{name}: pixels must be finite, got {count} NaN or infinite. Replace them first.")


def _plain_array(array: np.ndarray, name: str) -> np.ndarray:
    """Native byte order, positive strides and a type torch knows."""
    if array.dtype.kind not in "buif":
        raise ImageError(f"{name}: must hold numbers, got an array of {array.dtype}. Convert it to uint8 or float.")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    if array.dtype.kind == "u" and array.dtype.itemsize > 2:
        array = array.astype(np.int64)
    # A read-only array (np.asarray of a PIL image) would make torch warn.
    return np.ascontiguousarray(array) if array.flags.writeable else array.copy()


def _read_map(source: ImageSource, name: str, remedy: str) -> tuple[torch.Tensor, str]:
    """One-channel values as stored, shape (H, W), and the name for messages."""
    if isinstance(source, (str, os.PathLike)) and str(source).endswith(".npy"):
        name = str(source)
        with _open_file(Path(source)) as file:
            try:
                source = np.load(file, allow_pickle=False)
            except (ValueError, EOFError, OSError) as error:
                raise ImageError(f"{name}: not a readable .npy file ({error}). Save it again.") from None
    if not isinstance(source, (np.ndarray, torch.Tensor)):
        image, name = open_image(source, name=name)
        if image.mode not in ("L", "P", "I", "F", "1") and not image.mode.startswith("I;16"):
            raise ImageError(f"{name}: must have one channel, got mode {image.mode}. {remedy}")
        source = np.array(image)
    values = source if isinstance(source, torch.Tensor) else torch.from_numpy(_plain_array(source, name))
    shape = tuple(values.shape)
    if values.ndim == 3 and 1 in (shape[0], shape[-1]):
        values = values.squeeze(0 if shape[0] == 1 else -1)
    if values.ndim != 2 or 0 in shape:
        raise ImageError(f"{name}: must have shape (H, W) with at least one pixel, got {shape}. {remedy}")
    return values, name
