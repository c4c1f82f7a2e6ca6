"""The Space of this metric: a disparity map and pairs of points in, scores out."""

from pathlib import Path

import evaluate
import gradio as gr
import numpy as np
from PIL import Image

metric = evaluate.load(str(Path(__file__).with_name("dpt_whdr.py")))


def score(prediction, points, ties):
    """The file is a one-channel image or .npy, larger is nearer; a pair of points is a line of five numbers."""
    try:
        pairs = np.loadtxt(points.splitlines(), delimiter=",", dtype=np.int64, ndmin=2)
        disparity = np.load(prediction) if prediction.endswith(".npy") else np.array(Image.open(prediction))
        return metric.compute(predictions=[disparity], references=[pairs], ties=ties)
    except (OSError, ValueError) as error:
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    fn=score,
    inputs=[
        gr.File(label="Disparity (16-bit PNG or .npy)", type="filepath"),
        gr.Textbox(label="Pairs: row_a, column_a, row_b, column_b, relation (1: A is farther, -1: B is)", lines=5),
        gr.Radio(["as-nearer", "wrong"], label="Equal disparities count", value="as-nearer"),
    ],
    outputs=gr.JSON(label="Scores"),
    title="WHDR of DPT",
    description=metric.description,
)

if __name__ == "__main__":
    demo.launch()
