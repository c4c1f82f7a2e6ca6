"""The Space of this metric: a predicted map of class ids and the true one in, scores out."""

from pathlib import Path

import evaluate
import gradio as gr

from open_dpt.processing.image_io import load_label_map

metric = evaluate.load(str(Path(__file__).with_name("dpt_segmentation.py")))


def score(prediction, labels, num_labels, ignore_index):
    """Both files are label images or .npy of class ids."""
    try:
        maps = [load_label_map(path).long() for path in (prediction, labels)]
        sizes = {"num_labels": int(num_labels), "ignore_index": int(ignore_index)}
        return metric.compute(predictions=maps[:1], references=maps[1:], **sizes)
    except (OSError, ValueError) as error:
        raise gr.Error(str(error)) from error


demo = gr.Interface(
    fn=score,
    inputs=[
        gr.File(label="Prediction (PNG of class ids or .npy)", type="filepath"),
        gr.File(label="Labels (the same)", type="filepath"),
        gr.Number(label="Number of classes", value=150),
        gr.Number(label="Label that is ignored", value=255),
    ],
    outputs=gr.JSON(label="Scores"),
    title="Segmentation metrics of DPT",
    description=metric.description,
)

if __name__ == "__main__":
    demo.launch()
