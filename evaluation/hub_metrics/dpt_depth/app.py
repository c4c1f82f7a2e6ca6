"""The Space of this metric: a predicted map and its ground truth in, scores out."""

from pathlib import Path

import evaluate
import gradio as gr

from open_dpt.processing.image_io import load_depth_map

metric = evaluate.load(str(Path(__file__).with_name("dpt_depth.py")))


def score(prediction, truth, scale, min_depth, max_depth):
    """Both files are one-channel images or .npy, in metres x scale; 0 is missing."""
    try:
        maps = [load_depth_map(path).double() / scale for path in (prediction, truth)]
        return metric.compute(predictions=maps[:1], references=maps[1:], min_depth=min_depth, max_depth=max_depth)
    except (OSError, ValueError) as error:
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    fn=score,
    inputs=[
        gr.File(label="Prediction (16-bit PNG or .npy)", type="filepath"),
        gr.File(label="Ground truth (the same)", type="filepath"),
        gr.Number(label="Stored value of 1 m", value=1000),
        gr.Number(label="Smallest depth that counts, metres", value=0.001),
        gr.Number(label="Largest depth that counts, metres", value=10),
    ],
    outputs=gr.JSON(label="Scores"),
    title="Depth metrics of DPT",
    description=metric.description,
)

if __name__ == "__main__":
    demo.launch()
