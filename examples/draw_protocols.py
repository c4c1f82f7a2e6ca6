"""Draw what a depth protocol looks at: what the model sees of an image, and which pixels count.

    python examples/draw_protocols.py kitti-eigen-garg kitti-eigen-garg-kbcrop --size 375 1242 --output windows.jpg
    python examples/draw_protocols.py nyu-eigen --image rgb_00045.jpg --depth sync_depth_00045.png --depth_scale 1000

One picture a protocol, below each other. Dark: the model does not see it. Green: pixels whose scores count, found by
scoring the image. Without --depth every pixel has ground truth, so what is green is the window.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageOps

from open_dpt.assets import bundled_photo_paths
from open_dpt.data import make_rows, read_sample
from open_dpt.evaluation.crops import crop_box
from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.score_depth import score
from open_dpt.processing import load_image

GREEN = (60, 220, 90)
CAPTION = 18  # height in pixels


def draw(name: str, sample: dict[str, Any]) -> np.ndarray:
    """What one protocol sees of a sample.

    Args:
        name: Of a depth protocol.
        sample: Of `read_sample`: image uint8 (3, H, W), depth (H, W) in metres.

    Returns:
        uint8 (CAPTION + H, W, 3).
    """
    protocol = load_protocol(name)
    image = sample["image"].permute(1, 2, 0).numpy()  # (3, H, W) -> (H, W, 3)
    # A prediction that is right everywhere.
    used = score(sample["depth"].clamp(min=0.5), "depth", sample, protocol).used.numpy()
    top, bottom, left, right = crop_box(protocol.image_crop, image.shape[:2])
    if used.shape != image.shape[:2]:  # counted on the crop's own grid
        counted = np.zeros(image.shape[:2], bool)
        counted[top:bottom, left:right] = used
        used = counted
    picture = image.astype(np.float32) * 0.3
    picture[top:bottom, left:right] = image[top:bottom, left:right]
    picture[used] = 0.6 * picture[used] + 0.4 * np.asarray(GREEN)
    canvas = Image.new("RGB", (image.shape[1], image.shape[0] + CAPTION), "white")
    canvas.paste(Image.fromarray(picture.astype(np.uint8)), (0, CAPTION))
    rows, columns = np.nonzero(used.any(1))[0], np.nonzero(used.any(0))[0]
    where = f"rows {rows[0]}:{rows[-1] + 1}, columns {columns[0]}:{columns[-1] + 1}" if len(rows) else "nothing"
    ImageDraw.Draw(canvas).text((4, 3), f"{protocol.label}: {used.sum():,} pixels count, {where}", fill="black")
    return np.asarray(canvas)


def read_pair(image: Path, depth: Path, depth_scale: float) -> dict[str, Any]:
    """A photo and its ground truth."""
    columns = {"image": [str(image)], "depth": [str(depth)], "depth_scale": depth_scale, "depth_kind": "metres"}
    return read_sample(make_rows(columns)[0])


def photo_with_plane(image: Path, size: tuple[int, int] | None) -> dict[str, Any]:
    """A photo, cut to (height, width), with a plane from 9 m at the top to 1 m at the bottom as its ground truth."""
    photo = load_image(image)
    if size:
        photo = ImageOps.fit(photo, size[::-1])
    pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
    height, width = pixels.shape[1:]
    return {"image": pixels, "depth": torch.linspace(9, 1, height)[:, None].expand(height, width).contiguous()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", nargs="+", help="Names of depth protocols.")
    parser.add_argument("--image", type=Path, default=bundled_photo_paths()[-1], help="A photo.")
    parser.add_argument("--depth", type=Path, help="Its ground truth; without, every pixel has some.")
    parser.add_argument("--depth_scale", type=float, default=1000.0, help="Stored value of one metre.")
    parser.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="Cut a photo without --depth to this.")
    parser.add_argument("--output", type=Path, default=Path("protocols.jpg"))
    args = parser.parse_args()

    if args.depth:
        sample = read_pair(args.image, args.depth, args.depth_scale)
    else:
        sample = photo_with_plane(args.image, args.size)
    pictures = [draw(name, sample) for name in args.protocols]
    Image.fromarray(np.concatenate(pictures)).save(args.output, quality=85)
    print(args.output)


if __name__ == "__main__":
    main()
