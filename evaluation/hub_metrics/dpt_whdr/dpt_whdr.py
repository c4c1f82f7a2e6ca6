"""WHDR as an `evaluate` metric. Imports are absolute: `evaluate` copies this file elsewhere to run it."""

from open_dpt.evaluation.hub_metrics import map_metric
from open_dpt.evaluation.ordinal_metrics import OrdinalMetrics

DESCRIPTION = """\
Weighted human disagreement rate with all weights 1, as MiDaS and DPT report it on Depth in the Wild: how often a
disparity map is wrong about which of two points is farther. Nothing is aligned.
"""

INPUTS = """
Args:
    predictions: list of maps (height, width) of disparity, any unit, larger is nearer, at the size of the images that
        were annotated.
    references: for each map a list of (row_a, column_a, row_b, column_b, relation), pixels from 0; relation is 1
        where A is farther and -1 where B is.
    ties: equal disparities count "as-nearer" (the map says that A is nearer) or as "wrong".
Returns:
    whdr (a fraction), and the counts wrong, ties, pairs, images.
Examples:
    >>> metric = evaluate.load("dpt_whdr")
    >>> metric.add_batch(predictions=[[[1.0, 2.0]]], references=[[[0, 0, 0, 1, 1]]])
    >>> metric.compute()["whdr"]
    0.0
"""

CITATION = """\
@inproceedings{Chen2016, title={Single-Image Depth Perception in the Wild}, author={Chen, Weifeng and Fu, Zhao and
  Yang, Dawei and Deng, Jia}, booktitle={NeurIPS}, year={2016}}
"""


class DptWhdr(map_metric.MapMetric):
    """See DESCRIPTION and INPUTS."""

    def _info(self):
        url = "https://arxiv.org/abs/1604.03901"
        return map_metric.metric_info(DESCRIPTION, INPUTS, CITATION, url, predictions="float64", references="int64")

    def _compute(self, predictions, references, ties="as-nearer"):
        metrics = OrdinalMetrics(ties)
        for disparity, points in zip(predictions, references, strict=True):
            metrics.update(disparity, points)
        return metrics.compute()
