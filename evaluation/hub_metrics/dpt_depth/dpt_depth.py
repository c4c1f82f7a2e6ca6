"""Depth scores as an `evaluate` metric. Imports are absolute: `evaluate` copies this file elsewhere to run it."""

from open_dpt.evaluation.aligning import align
from open_dpt.evaluation.depth_metrics import DepthMetrics
from open_dpt.evaluation.hub_metrics import map_metric

DESCRIPTION = """\
Scores of depth maps in metres as the evaluators of BTS, AdaBins, ZoeDepth and DPT compute them (delta1 to delta3,
AbsRel, SqRel, RMSE, RMSElog, log10, SILog) and as the KITTI depth benchmark does (iRMSE, absErrorRel, sqErrorRel).
Maps may have any sizes; ground truth may be sparse.
"""

INPUTS = """
Args:
    predictions: list of maps (height, width): metres, or what `kind` says.
    references: list of maps (height, width): metres, 0 where unknown. Set to 0 what the protocol crops away.
    min_depth, max_depth: metres; ground truth strictly between them counts, predictions are clamped to them.
    averaging: "image" (mean of the images' scores) or "pixel" (all pixels as one image).
    unusable: predictions that are NaN, 0 or negative count as "minimum" (min_depth) or are "excluded".
    alignment: "none", "median", "least-squares-depth", "least-squares-disparity" or "robust-disparity": what is fitted
        to each image's ground truth first.
    kind: what predictions are: "depth" in metres, "relative-depth", or "disparity" (larger is nearer).
Returns:
    abs_rel, sq_rel, rmse, rmse_log, log_bias, log10, silog, irmse (1/km), abs_error_rel (%), sq_error_rel (%), delta1,
    delta2, delta3, and the counts images, pixels, empty_images, nan_pixels, nonpositive_pixels, infinite_pixels.
Examples:
    >>> metric = evaluate.load("dpt_depth")
    >>> metric.add_batch(predictions=[[[1.0, 2.0]]], references=[[[1.0, 4.0]]])
    >>> metric.compute(max_depth=10)["abs_rel"]
    0.25
"""

CITATION = """\
@inproceedings{Eigen2014, title={Depth Map Prediction from a Single Image using a Multi-Scale Deep Network},
  author={Eigen, David and Puhrsch, Christian and Fergus, Rob}, booktitle={NeurIPS}, year={2014}}
@inproceedings{Uhrig2017, title={Sparsity Invariant CNNs}, author={Uhrig, Jonas and Schneider, Nick and Schneider,
  Lukas and Franke, Uwe and Brox, Thomas and Geiger, Andreas}, booktitle={3DV}, year={2017}}
@inproceedings{Ranftl2021, title={Vision Transformers for Dense Prediction}, author={Ranftl, Ren{\\'e} and Bochkovskiy,
  Alexey and Koltun, Vladlen}, booktitle={ICCV}, year={2021}}
"""


class DptDepth(map_metric.MapMetric):
    """See DESCRIPTION and INPUTS."""

    def _info(self):
        url = "https://arxiv.org/abs/2103.13413"
        return map_metric.metric_info(DESCRIPTION, INPUTS, CITATION, url, predictions="float64", references="float64")

    def _compute(
        self,
        predictions,
        references,
        min_depth=1e-3,
        max_depth=10.0,
        averaging="image",
        unusable="minimum",
        alignment="none",
        kind="depth",
    ):
        metrics = DepthMetrics(min_depth, max_depth, averaging, unusable)
        for prediction, truth in zip(predictions, references, strict=True):
            if (alignment, kind) != ("none", "depth") and prediction.shape == truth.shape:
                usable = (truth > min_depth) & (truth < max_depth)
                prediction, *_ = align(alignment, prediction, kind, truth, usable, max_depth)
            metrics.update(prediction, truth)
        return metrics.compute()
