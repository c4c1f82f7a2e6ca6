"""Segmentation scores as an `evaluate` metric. Imports are absolute: `evaluate` copies this file to run it."""

from open_dpt.evaluation.hub_metrics import map_metric
from open_dpt.evaluation.segmentation_metrics import SegmentationMetrics

DESCRIPTION = """\
Pixel accuracy and mean IoU from one confusion matrix over all images, as Zhang et al. compute them for ADE20K and
Pascal Context: a class that occurs nowhere counts as 0. The mean over the classes that occur, the IoU of each class
and the matrix itself come with them. Maps may have any sizes.
"""

INPUTS = """
Args:
    predictions: list of maps (height, width) of class ids.
    references: list of maps (height, width) of class ids, or ignore_index where nothing is labelled.
    num_labels: number of classes.
    ignore_index: label of pixels that do not count.
Returns:
    mean_iou, mean_iou_present, pixel_accuracy, per_class_iou (None for a class that occurs nowhere), confusion_matrix
    (rows are true classes), and the counts images, pixels, empty_images.
Examples:
    >>> metric = evaluate.load("dpt_segmentation")
    >>> metric.add_batch(predictions=[[[0, 1, 1]]], references=[[[0, 0, 1]]])
    >>> metric.compute(num_labels=2)["mean_iou"]
    0.5
"""

CITATION = """\
@inproceedings{Zhang2018, title={Context Encoding for Semantic Segmentation}, author={Zhang, Hang and Dana, Kristin and
  Shi, Jianping and Zhang, Zhongyue and Wang, Xiaogang and Tyagi, Ambrish and Agrawal, Amit}, booktitle={CVPR},
  year={2018}}
"""


class DptSegmentation(map_metric.MapMetric):
    """See DESCRIPTION and INPUTS."""

    def _info(self):
        url = "https://arxiv.org/abs/1803.08904"
        return map_metric.metric_info(DESCRIPTION, INPUTS, CITATION, url, predictions="int64", references="int64")

    def _compute(self, predictions, references, num_labels, ignore_index=255):
        metrics = SegmentationMetrics(num_labels, ignore_index)
        for prediction, labels in zip(predictions, references, strict=True):
            metrics.update(prediction, labels)
        iou = [value if value == value else None for value in metrics.iou_per_class().tolist()]
        return metrics.compute() | {"per_class_iou": iou, "confusion_matrix": metrics.confusion().tolist()}
