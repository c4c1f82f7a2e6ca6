"""Run a file of `open-dpt export --format openvino --dynamic` on a photo. Needs openvino, numpy and pillow only.

python examples/consume_openvino.py dpt-tiny.xml photo.jpg prediction.npy
"""

import sys

import numpy as np
import openvino
from PIL import Image, ImageOps


def main(model: str, photo: str, output: str) -> None:
    graph = openvino.Core().read_model(model)
    text = graph.get_rt_info("open_dpt").value
    # The plugin chooses bfloat16 where the machine has it; {"INFERENCE_PRECISION_HINT": "f32"} is exact.
    run = openvino.compile_model(graph, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    image = np.asarray(ImageOps.exif_transpose(Image.open(photo)).convert("RGB"))
    prediction = run(image[None])[0]  # (1, height, width)
    np.save(output, prediction[0])
    print(f"{text['kind']} ({text['unit']}) by {text['model']}: {prediction.min():.3g} to {prediction.max():.3g}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
