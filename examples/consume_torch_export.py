"""Run a file of `open-dpt export --format torch-export --dynamic` on a photo. Needs torch, numpy and pillow only.

python examples/consume_torch_export.py dpt-tiny.pt2 photo.jpg prediction.npy
"""

import json
import sys

import numpy as np
import torch
from PIL import Image, ImageOps


def main(model: str, photo: str, output: str) -> None:
    extra = {"open_dpt.json": ""}
    graph = torch.export.load(model, extra_files=extra).module()
    text = json.loads(extra["open_dpt.json"])
    image = torch.from_numpy(np.array(ImageOps.exif_transpose(Image.open(photo)).convert("RGB")))
    with torch.inference_mode():
        prediction = graph(image[None])  # (1, height, width)
    np.save(output, prediction[0].numpy())
    print(f"{text['kind']} ({text['unit']}) by {text['model']}: {prediction.min():.3g} to {prediction.max():.3g}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
