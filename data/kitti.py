"""KITTI: raw images with annotated depth on Eigen's split, and the two folders of the depth benchmark.

Depth PNGs hold metres * 256, 0 = no ground truth. Images are rectified; `image_02` is the left colour camera,
`image_03` the right one.

Sources: the depth benchmark's devkit readme; lists of BTS (cleinc/bts); Ranftl et al., arXiv:1907.01341, for the 161.
"""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .layout import TAKE_ALL, DataLayoutError, keep_present, open_root, require, require_choice
from .samples import columns_of, make_rows
from .split_lists import read_split_list

if TYPE_CHECKING:
    from datasets import Dataset

DEPTH_SCALE = 256.0
CAMERAS = ("image_02", "image_03")

TRUTH_FOLDER = "proj_depth/groundtruth"
EIGEN_LAYOUT = (
    "raw images <date>/<date>_drive_0001_sync/image_02/data/0000000005.png and depth "
    "[train/ or val/]<date>_drive_0001_sync/proj_depth/groundtruth/image_02/0000000005.png, both in the folder or in "
    "folders of it"
)
# Drives of Eigen's test list that belong to the official validation set: with ground truth, the 161 images of MiDaS.
VALIDATION_DRIVES = {
    "2011_09_26_drive_0002",
    "2011_09_26_drive_0013",
    "2011_09_26_drive_0020",
    "2011_09_26_drive_0023",
    "2011_09_26_drive_0036",
    "2011_09_30_drive_0016",
    "2011_10_03_drive_0047",
}

SELECTION_LAYOUT = "val_selection_cropped/image/*.png, val_selection_cropped/groundtruth_depth/*.png"
TEST_LAYOUT = "test_depth_prediction_anonymous/image/*.png"
# 2011_09_26_drive_0002_sync_groundtruth_depth_0000000005_image_02
SELECTION_NAME = re.compile(r"(?P<drive>.+)_sync_.*?(?P<frame>\d{10})_(?P<camera>image_0\d)$")


def load_eigen(
    root: str | Path,
    split: str,
    *,
    cameras: str | list[str] | tuple[str, ...] = "image_02",
    without_truth: bool = False,
    missing: str = "error",
    raw: str | None = None,
    annotated: str | None = None,
) -> "Dataset":
    """Raw images with the annotated depth of the depth benchmark.

    Drives are found wherever they lie, up to two folders down: raw under their dates, depth under train/ and val/ or
    merged into one folder. Intrinsics are `P_rect` of the date's calib_cam_to_cam.txt, None without that file (a focal
    length alone, as in the lists, has no principal point).

    Args:
        root: Folder that holds both.
        split: "train" (23,158), "test" (652 with ground truth, of 697), "test-161" (those of the test list that are in
            the official validation set, as MiDaS evaluates) or "all" (every annotated frame that lies there).
        cameras: "image_02" (left; the lists'), "image_03" (right), or both.
        without_truth: Keep the 45 test images that have no ground truth; their depth is None.
        missing: "error", or "skip" to use what is there of a list.
        raw: Folder of the raw dates, if it is not in `root`; absolute or relative to it.
        annotated: The same for annotated depth.

    Raises:
        DataLayoutError: no drives, or listed files missing. ValueError: bad option.
    """
    cameras = [cameras] if isinstance(cameras, str) else list(cameras)
    for camera in cameras or [None]:
        require_choice("cameras", camera, CAMERAS)
    root = open_root(root, EIGEN_LAYOUT)
    raw_root, truth_root = (open_root(root / (folder or ""), EIGEN_LAYOUT) for folder in (raw, annotated))
    images = _find_drives(raw_root, "image_0[23]/data")
    truths = _find_drives(truth_root, TRUTH_FOLDER)
    for folder, drives, kind in ((raw_root, images, "raw images"), (truth_root, truths, "annotated depth")):
        if not drives:
            raise DataLayoutError(f"{folder}: no drive with {kind} found. Expected inside: {EIGEN_LAYOUT}.")

    @cache
    def folders(camera: str, drive: str) -> tuple[Path, Path]:
        # A drive that is not there gets the path where it is missed.
        image = images.get(drive, raw_root / drive[:10] / f"{drive}_sync")
        truth = truths.get(drive, truth_root / f"{drive}_sync")
        return image / camera / "data", truth / TRUTH_FOLDER / camera

    def record(camera: str, drive: str, number: int, has_truth: bool = True) -> dict[str, Any]:
        image_folder, truth_folder = folders(camera, drive)
        name = f"{number:010d}.png"
        return {
            "image": image_folder / name,
            "depth": truth_folder / name if has_truth else None,
            "scene": drive,
            "frame": f"{number:010d}_{camera}",
            "camera": camera,
        }

    if split == "all":
        frames = [
            (camera, drive, int(path.stem))
            for camera in cameras
            for drive, folder in truths.items()
            for path in sorted((folder / TRUTH_FOLDER / camera).glob("*.png"))
        ]
    else:
        listed = read_split_list("kitti_eigen_train" if split == "train" else "kitti_eigen_test")
        frames = [
            (camera, *frame)
            for camera in cameras
            for frame in listed
            if (frame.has_truth or without_truth) and (split != "test-161" or frame.scene in VALIDATION_DRIVES)
        ]
    records = [record(*frame) for frame in frames]
    records = keep_present(
        records, ("image", "depth"), root=root, layout=EIGEN_LAYOUT, missing=missing, remedy=TAKE_ALL
    )
    columns = columns_of(records)
    intrinsics = cache(_read_intrinsics)  # a file a date, asked for every image
    columns["intrinsics"] = [intrinsics(images[record["scene"]].parent, record["camera"]) for record in records]
    return make_rows({**columns, "depth_kind": "metres", "depth_scale": DEPTH_SCALE})


def load_val_selection(root: str | Path, split: str, *, missing: str = "error") -> "Dataset":
    """`val_selection_cropped` of the depth benchmark: 1000 images of 1216 x 352.

    Intrinsics are read from its folder `intrinsics/` (nine numbers a file, named as the image) where there is one.

    Args:
        root: Folder val_selection_cropped, or one that holds it, up to two folders down.
        split: "validation".
        missing: "error", or "skip" to leave out images without ground truth.

    Raises:
        DataLayoutError: a folder or file is missing. ValueError: bad option.
    """
    folder = _find_folder(open_root(root, SELECTION_LAYOUT), "val_selection_cropped", SELECTION_LAYOUT)
    require(folder, ["image", "groundtruth_depth"], SELECTION_LAYOUT)
    truths = {_selection_key(path): path for path in sorted((folder / "groundtruth_depth").glob("*.png"))}
    records = []
    for path in sorted((folder / "image").glob("*.png")):
        drive, frame, camera = key = _selection_key(path)
        truth = truths.get(key, folder / "groundtruth_depth" / f"{drive}_sync_groundtruth_depth_{frame}_{camera}.png")
        records.append({"image": path, "depth": truth, "scene": drive, "frame": f"{frame}_{camera}"})
    records = keep_present(records, ("image", "depth"), root=folder, layout=SELECTION_LAYOUT, missing=missing)
    columns = columns_of(records)
    columns["intrinsics"] = [_nine_numbers(folder / "intrinsics" / f"{path.stem}.txt") for path in columns["image"]]
    return make_rows({**columns, "depth_kind": "metres", "depth_scale": DEPTH_SCALE})


def load_test(root: str | Path, split: str) -> "Dataset":
    """The official test images of depth prediction; their ground truth is not public, so rows have no depth.

    Args:
        root: Folder test_depth_prediction_anonymous, or one that holds it, up to two folders down.
        split: "test".

    Raises:
        DataLayoutError: the folder is missing or empty.
    """
    folder = _find_folder(open_root(root, TEST_LAYOUT), "test_depth_prediction_anonymous", TEST_LAYOUT)
    require(folder, ["image/*.png"], TEST_LAYOUT)
    images = sorted((folder / "image").glob("*.png"))
    cameras = [_nine_numbers(folder / "intrinsics" / f"{path.stem}.txt") for path in images]
    return make_rows({"image": images, "frame": [path.stem for path in images], "intrinsics": cameras})


def _find_drives(root: Path, inside: str) -> dict[str, Path]:
    """Drive -> its folder `<drive>_sync`, for those that hold `inside`."""
    found: dict[str, Path] = {}
    for above in ("", "*/", "*/*/"):
        for path in sorted(root.glob(f"{above}*_drive_*_sync")):
            if next(path.glob(inside), None) is not None:
                found.setdefault(path.name.removesuffix("_sync"), path)
    return found


def _find_folder(root: Path, name: str, layout: str) -> Path:
    if root.name == name:
        return root
    for above in ("", "*/", "*/*/"):
        if (path := next(iter(sorted(root.glob(f"{above}{name}"))), None)) is not None:
            return path
    raise DataLayoutError(f"{root}: no folder {name} found. Expected inside: {layout}.")


def _selection_key(path: Path) -> tuple[str, str, str]:
    match = SELECTION_NAME.match(path.stem)
    if match is None:
        raise DataLayoutError(
            f"{path}: name must tell drive, frame and camera. Expected for example: "
            f"2011_09_26_drive_0002_sync_groundtruth_depth_0000000005_image_02.png."
        )
    return match["drive"], match["frame"], match["camera"]


def _read_intrinsics(date: Path, camera: str) -> list[float] | None:
    """First three columns of the rectified camera's 3 x 4 projection, row by row; None without the file."""
    calibration = date / "calib_cam_to_cam.txt"
    if not calibration.is_file():
        return None
    for line in calibration.read_text().splitlines():
        key, _, numbers = line.partition(":")
        if key == f"P_rect_{camera.removeprefix('image_')}":
            values = [float(number) for number in numbers.split()]
            if len(values) == 12:
                return values[0:3] + values[4:7] + values[8:11]
    raise DataLayoutError(
        f"{calibration}: must have a line P_rect_{camera.removeprefix('image_')} of 12 numbers. Fetch it again."
    )


def _nine_numbers(path: Path) -> list[float] | None:
    if not path.is_file():
        return None
    values = [float(number) for number in path.read_text().split()]
    if len(values) != 9:
        raise DataLayoutError(f"{path}: must hold 9 numbers, got {len(values)}. Fetch it again.")
    return values
