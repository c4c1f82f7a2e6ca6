"""Run a file of `open-dpt export --format onnx --dynamic` on a photo. Needs onnxruntime, numpy and pillow only.

python examples/consume_onnx.py dpt-tiny.onnx photo.jpg prediction.npy
"""

import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def main(model: str, photo: str, output: str) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map
    image = np.asarray(ImageOps.exif_transpose(Image.open(photo)).convert("RGB"))
    (prediction,) = session.run(None, {"image": image[None]})  # (1, height, width)
    np.save(output, prediction[0])
    print(f"{text['kind']} ({text['unit']}) by {text['model']}: {prediction.min():.3g} to {prediction.max():.3g}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
