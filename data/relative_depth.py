"""Sets for relative depth: ReDWeb, HR-WSI and BlendedMVS, the pretraining mix of DPT.

Where facts about a layout could not be confirmed they are options, and the docstrings say so.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .layout import DataLayoutError, keep_present, name_some, open_root, require, require_choice
from .samples import columns_of, make_rows

if TYPE_CHECKING:
    from datasets import Dataset

REDWEB_LAYOUT = "Imgs/*.jpg, RDs/*.png"
HRWSI_LAYOUT = "train/imgs/*.jpg, train/gts/*.png, train/valid_masks/*.png (optional), and the same in val/"
BLENDEDMVS_LAYOUT = (
    "<scene>/blended_images/00000000.jpg, <scene>/rendered_depth_maps/00000000.pfm, <scene>/cams/00000000_cam.txt"
)
# An empty depth map is found by reading, but most files show a value in a first look at their middle.
FIRST_LOOK = 2**16


def load_redweb(root: str | Path, split: str, *, kind: str = "disparity", missing: str = "error") -> "Dataset":
    """ReDWeb V1: 3,600 web stereo pictures with relative depth in 8 bits.

    Args:
        root: Folder with Imgs/ and RDs/ (or ReDWeb_V1/ with these).
        split: "train", all images; the set has no official split.
        kind: What larger values of RDs mean: "disparity" (nearer; as MiDaS treats it) or "relative-depth" (farther).
            Not confirmed by a source that was read: look at one pair. 0 counts as missing.
        missing: "error", or "skip" to leave out images without RDs.

    Raises:
        DataLayoutError: a folder or file is missing. ValueError: bad option.
    """
    require_choice("kind", kind, ("disparity", "relative-depth"))
    root = open_root(root, REDWEB_LAYOUT)
    root = root / "ReDWeb_V1" if (root / "ReDWeb_V1").is_dir() else root
    require(root, ["Imgs", "RDs"], REDWEB_LAYOUT)
    images = sorted((root / "Imgs").glob("*.jpg"))
    records = [{"image": path, "depth": root / "RDs" / f"{path.stem}.png", "frame": path.stem} for path in images]
    records = keep_present(records, ("image", "depth"), root=root, layout=REDWEB_LAYOUT, missing=missing)
    return make_rows(columns_of(records) | {"depth_kind": kind})


def load_hrwsi(
    root: str | Path,
    split: str,
    *,
    images: str = "imgs",
    disparities: str = "gts",
    masks: str | None = "valid_masks",
    missing: str = "error",
) -> "Dataset":
    """HR-WSI: web stereo pictures with 8-bit disparity, about 20,378 for training and 400 for validation.

    Args:
        root: Folder with train/ and val/ (or HR-WSI/ with these).
        split: "train" or "val".
        images, disparities, masks: Names of the folders in a split. The masks' name is not confirmed by a source that
            was read; where no such folder lies, or with None, all pixels above 0 count as valid.
        missing: "error", or "skip" to leave out images without disparity or mask.

    Raises:
        DataLayoutError: a folder or file is missing. ValueError: bad option.
    """
    root = open_root(root, HRWSI_LAYOUT)
    root = root / "HR-WSI" if (root / "HR-WSI").is_dir() else root
    require(root, [f"{split}/{images}", f"{split}/{disparities}"], HRWSI_LAYOUT)
    folder = root / split
    masked = masks is not None and (folder / masks).is_dir()
    records = [
        {
            "image": path,
            "depth": folder / disparities / f"{path.stem}.png",
            "valid": folder / masks / f"{path.stem}.png" if masked else None,
            "frame": path.stem,
        }
        for path in sorted((folder / images).glob("*.jpg"))
    ]
    records = keep_present(records, ("image", "depth", "valid"), root=root, layout=HRWSI_LAYOUT, missing=missing)
    return make_rows(columns_of(records) | {"depth_kind": "disparity"})


def load_blendedmvs(
    root: str | Path, split: str, *, scenes: str | None = None, skip_empty: bool = True, missing: str = "error"
) -> "Dataset":
    """BlendedMVS (or BlendedMVG): rendered views of reconstructed scenes; depth in a unit of each scene's own.

    Its unit is unknown, so rows are of kind "relative-depth", which is read as disparity. Intrinsics are those of the
    camera file, in MVSNet's format; the origin of its pixel coordinates is not stated.

    Args:
        root: Folder of the scenes (or BlendedMVS/ with these).
        split: "train"; for other splits pass another list.
        scenes: A list file, one scene a line, absolute or relative to root, such as BlendedMVS_list.txt. Default:
            every scene that lies there.
        skip_empty: Leave out images whose depth map holds nothing, as some do, with a warning that counts them. This
            looks into every depth map once, at about a thousand a second.
        missing: "error", or "skip" to leave out images without depth map.

    Raises:
        DataLayoutError: a folder or file is missing. ValueError: bad option.
    """
    root = open_root(root, BLENDEDMVS_LAYOUT)
    root = root / "BlendedMVS" if (root / "BlendedMVS").is_dir() else root
    if scenes is None:
        names = sorted(path.parent.name for path in root.glob("*/blended_images"))
        require(root, ["*/blended_images"], BLENDEDMVS_LAYOUT)
    else:
        if not (root / scenes).is_file():
            raise DataLayoutError(f"{root / scenes}: no such list of scenes. Expected: one scene a line.")
        names = (root / scenes).read_text().split()
        require(root, [f"{name}/blended_images" for name in names], BLENDEDMVS_LAYOUT)
    records = [
        {
            "image": path,
            "depth": root / name / "rendered_depth_maps" / f"{path.stem}.pfm",
            "scene": name,
            "frame": path.stem,
            "camera": root / name / "cams" / f"{path.stem}_cam.txt",
        }
        for name in names
        for path in sorted((root / name / "blended_images").glob("*.jpg"))
        if not path.stem.endswith("_masked")
    ]
    records = keep_present(records, ("image", "depth"), root=root, layout=BLENDEDMVS_LAYOUT, missing=missing)
    if skip_empty:
        records = _without_empty(records, root)
    intrinsics = [_mvsnet_intrinsics(record["camera"]) for record in records]
    return make_rows(columns_of(records) | {"intrinsics": intrinsics, "depth_kind": "relative-depth"})


def _without_empty(records: list[dict[str, Any]], root: Path) -> list[dict[str, Any]]:
    with ThreadPoolExecutor() as pool:  # waiting for the disk is most of the work
        empty = list(pool.map(_is_empty, (record["depth"] for record in records)))
    if any(empty):
        files = [record["depth"] for record, nothing in zip(records, empty, strict=True) if nothing]
        found = f"{len(files)} of {len(records)} depth maps are empty and left out: {name_some(files, root)}"
        warnings.warn(f"{root}: {found}.", stacklevel=3)
    return [record for record, nothing in zip(records, empty, strict=True) if not nothing]


def _is_empty(path: Path) -> bool:
    """Whether a PFM file holds no value but 0 (or nothing at all)."""
    with path.open("rb") as file:
        for _ in range(3):  # magic, size, scale
            file.readline()
        start = file.tell()
        file.seek(max(start, path.stat().st_size // 2))
        if file.read(FIRST_LOOK).strip(b"\0"):
            return False
        file.seek(start)
        return not file.read().strip(b"\0")


def _mvsnet_intrinsics(path: Path) -> list[float] | None:
    """The nine numbers after the word `intrinsic`; None without the file."""
    if not path.is_file():
        return None
    _, _, rest = path.read_text().partition("intrinsic")
    try:
        values = [float(word) for word in rest.split()[:9]]
    except ValueError:
        values = []
    if len(values) != 9:
        raise DataLayoutError(f"{path}: must hold 9 numbers after the word intrinsic. Fetch it again.")
    return values
