"""What each score is called in print, its unit, which direction is better, and how images become one total."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One score.

    Attributes:
        label: Name in tables.
        unit: As printed; "" for plain numbers.
        better: "higher", "lower", or "zero": the nearer to 0.
        decimals: Digits after the point in tables.
        pooled: How scores of images become that of all pixels together: "mean" (weighted by pixels), "root" (root of
            the mean square), "silog" (from rmse_log and log_bias), "images" (no mean over pixels: always the mean over
            images).
        factor: Printed value / stored value; fractions that papers print in percent have 100.
    """

    label: str
    unit: str
    better: str
    decimals: int
    pooled: str = "mean"
    factor: float = 1.0

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label} [{self.unit}]" if self.unit else self.label

    def text(self, value: float) -> str:
        """`value` as tables print it, without its unit."""
        return f"{self.factor * value:.{self.decimals}f}"


DEPTH_METRICS = {
    "delta1": Metric("delta<1.25", "", "higher", 3),
    "delta2": Metric("delta<1.25^2", "", "higher", 3),
    "delta3": Metric("delta<1.25^3", "", "higher", 3),
    "abs_rel": Metric("AbsRel", "", "lower", 3),
    "sq_rel": Metric("SqRel", "m", "lower", 3),
    "rmse": Metric("RMSE", "m", "lower", 3, "root"),
    "rmse_log": Metric("RMSElog", "", "lower", 3, "root"),
    "log10": Metric("log10", "", "lower", 3),
    "silog": Metric("SILog", "", "lower", 3, "silog"),
    "log_bias": Metric("log bias", "", "zero", 3),
    "irmse": Metric("iRMSE", "1/km", "lower", 2, "root"),
    "abs_error_rel": Metric("absErrorRel", "%", "lower", 2),
    "sq_error_rel": Metric("sqErrorRel", "%", "lower", 2),
    "delta_outliers1": Metric("delta>1.25", "%", "lower", 2),
    "boundary_f1": Metric("boundary F1", "", "higher", 3, "images"),
}

SEGMENTATION_METRICS = {
    "pixel_accuracy": Metric("pixAcc", "%", "higher", 2, factor=100.0),
    "mean_iou": Metric("mIoU", "%", "higher", 2, factor=100.0),
    "mean_iou_present": Metric("mIoU of present classes", "%", "higher", 2, factor=100.0),
}

ORDINAL_METRICS = {"whdr": Metric("WHDR", "%", "lower", 2, factor=100.0)}

# By the task of a protocol.
TASK_METRICS = {"depth": DEPTH_METRICS, "segmentation": SEGMENTATION_METRICS, "ordinal": ORDINAL_METRICS}

METRICS = DEPTH_METRICS | SEGMENTATION_METRICS | ORDINAL_METRICS
