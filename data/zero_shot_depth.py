"""Sets on which zero-shot depth is measured: ETH3D, Sintel, and the dynamic part of TUM RGB-D. Depth in metres.

Sources: Ranftl et al., arXiv:1907.01341, section 6, for which images; the sets' own documentation and loaders, and
geometry-preserving-de (SamsungLabs), for the files.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from .layout import DataLayoutError, keep_present, open_root, require, require_choice
from .readers import ENTRY, explained
from .samples import columns_of, make_rows

if TYPE_CHECKING:
    from datasets import Dataset


class _Form(NamedTuple):
    """Folders of a scene that hold images, where they hold depth, and its suffixes; the first that exists counts."""

    images: tuple[str, ...]
    depths: tuple[str, ...]
    suffixes: tuple[str, ...]


ETH3D_FORMS = {
    "official": _Form(("images/dslr_images",), ("ground_truth_depth/dslr_images",), (".JPG",)),
    "rendered": _Form(
        ("images_out/dslr_images_undistorted", "images/dslr_images_undistorted"),
        ("depth/dslr_images_undistorted",),
        (".png", ".npy", ".pfm"),
    ),
}
ETH3D_LAYOUT = (
    "<scene>/images/dslr_images/*.JPG and <scene>/ground_truth_depth/dslr_images/*.JPG (official), or "
    "<scene>/images[_out]/dslr_images_undistorted/*.JPG and <scene>/depth/dslr_images_undistorted/*.png (rendered)"
)
SINTEL_LAYOUT = "final/<scene>/frame_0001.png and depth/<scene>/frame_0001.dpt, both in the folder or in training/"
TUM_LAYOUT = "*.h5 (or tum_hdf5/*.h5) with the arrays gt/img_1 and gt/gt_depth"


def load_eth3d(
    root: str | Path, split: str, *, truth: str = "official", depth_scale: float = 1000.0, missing: str = "error"
) -> "Dataset":
    """ETH3D: the 454 DSLR images of the multi-view training scenes, which are those with ground truth.

    Official depth maps are bare float32 metres in files called .JPG, not finite where unknown, and belong to the
    distorted images. They are sparse for a camera of 24 megapixels; Ranftl et al. rendered their own somehow.

    Args:
        root: Folder of the scenes.
        split: "all".
        truth: "official", or "rendered": undistorted images with your own depth maps, of any size of the same view:
            16-bit .png, or .npy and .pfm in metres.
        depth_scale: Of rendered .png: stored value of one metre.
        missing: "error", or "skip" to use the images that have depth.

    Raises:
        DataLayoutError: no scenes, or files are missing. SampleError: an image cannot be read. ValueError: bad option.
    """
    require_choice("truth", truth, tuple(ETH3D_FORMS))
    root, form = open_root(root, ETH3D_LAYOUT), ETH3D_FORMS[truth]
    scenes = sorted({folder.parents[1] for name in form.images for folder in root.glob(f"*/{name}")})
    if not scenes:
        raise DataLayoutError(
            f"{root}: no scene with {' or '.join(form.images)} found. Expected inside: {ETH3D_LAYOUT}."
        )
    records = [record for scene in scenes for record in _eth3d_records(scene, form)]
    records = keep_present(records, ("image", "depth"), root=root, layout=ETH3D_LAYOUT, missing=missing)
    columns = columns_of(records) | {"depth_kind": "metres", "depth_scale": 1.0}
    if truth == "official":
        columns["depth"] = [f"{record['depth']}{ENTRY}float32/{_size(record['image'])}" for record in records]
    else:
        columns["depth_scale"] = [depth_scale if path.suffix == ".png" else 1.0 for path in columns["depth"]]
        columns["depth_own_size"] = True
    return make_rows(columns)


def load_sintel(root: str | Path, split: str, *, missing: str = "error") -> "Dataset":
    """MPI Sintel: the 1,064 frames of its training films, final pass, with depth.

    Args:
        root: Folder with final/ and depth/ (or training/ with these).
        split: "all".
        missing: "error", or "skip" to use the frames that have depth.

    Raises:
        DataLayoutError: folders or files are missing. ValueError: bad option.
    """
    root = open_root(root, SINTEL_LAYOUT)
    if not (root / "final").is_dir() and (root / "training").is_dir():
        root = root / "training"
    require(root, ["final", "depth"], SINTEL_LAYOUT)
    records = [
        {
            "image": path,
            "depth": root / "depth" / path.parent.name / f"{path.stem}.dpt",
            "scene": path.parent.name,
            "frame": path.stem,
        }
        for path in sorted((root / "final").glob("*/*.png"))
    ]
    records = keep_present(records, ("image", "depth"), root=root, layout=SINTEL_LAYOUT, missing=missing)
    return make_rows(columns_of(records) | {"depth_kind": "metres", "depth_scale": 1.0})


def load_tum(root: str | Path, split: str) -> "Dataset":
    """TUM RGB-D, the 1,815 frames with people of Li et al. (arXiv:1904.11111), as their archive tum_hdf5.tgz has them.

    Arrays are rows first: gt/img_1 (H, W, 3) in 0..1, gt/gt_depth (H, W) in metres, 0 = unknown. A file is called
    <film>_<time>.jpg.h5; `scene` is the film.

    Args:
        root: Folder of the files, or the one above.
        split: "test".

    Raises:
        DataLayoutError: no such files.
    """
    root = open_root(root, TUM_LAYOUT)
    folder = root / "tum_hdf5" if (root / "tum_hdf5").is_dir() else root
    require(folder, ["*.h5"], TUM_LAYOUT)
    files = sorted(folder.glob("*.h5"))
    names = [path.name.removesuffix(".h5").removesuffix(".jpg") for path in files]
    return make_rows(
        {
            "image": [f"{path}{ENTRY}gt/img_1" for path in files],
            "depth": [f"{path}{ENTRY}gt/gt_depth" for path in files],
            "depth_kind": "metres",
            "depth_scale": 1.0,
            "scene": [name.rpartition("_")[0] or None for name in names],
            "frame": [name.rpartition("_")[2] for name in names],
        }
    )


def _eth3d_records(scene: Path, form: _Form) -> list[dict[str, Any]]:
    images = next(scene / name for name in form.images if (scene / name).is_dir())
    depths = next((scene / name for name in form.depths if (scene / name).is_dir()), scene / form.depths[0])
    present = {path.name for path in depths.iterdir()} if depths.is_dir() else set()
    return [
        {
            "image": path,
            "depth": depths / next((name for name in _names(path, form) if name in present), _names(path, form)[0]),
            "scene": scene.name,
            "frame": path.stem,
        }
        for path in sorted(images.iterdir())
        if path.suffix.lower() in (".jpg", ".jpeg", ".png")
    ]


def _names(image: Path, form: _Form) -> list[str]:
    return [f"{image.stem}{suffix}" for suffix in form.suffixes]


def _size(image: Path) -> str:
    """Rows x columns as they are stored; only the head of the file is read."""
    with explained(str(image)), Image.open(image) as opened:
        return f"{opened.height}x{opened.width}"
