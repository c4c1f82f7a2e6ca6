"""Segmentation scores from one confusion matrix over a whole data set.

Source: the protocol of Zhang et al. (PyTorch-Encoding), which the DPT paper's tables 4 and 5 follow.
"""

import torch
from torch import Tensor


class SegmentationMetrics:
    """Confusion matrix in whole numbers; those of several processes add up exactly.

    Args:
        num_labels: Number of classes K.
        ignore_index: Label of pixels that do not count, whatever is predicted there.
    """

    def __init__(self, num_labels: int, ignore_index: int = 255):
        self.num_labels, self.ignore_index = num_labels, ignore_index
        self._confusion = torch.zeros(num_labels, num_labels, dtype=torch.int64)  # [true class, predicted class]
        self._images = torch.zeros(2, dtype=torch.int64)  # with labelled pixels, without

    def update(self, prediction: Tensor, labels: Tensor) -> None:
        """Add one image.

        Args:
            prediction: Class ids. Shape (H, W), integer.
            labels: True class ids, or ignore_index. Shape (H, W), integer.

        Raises:
            ValueError: the shapes differ, or an id that counts is no class.
        """
        if prediction.ndim != 2 or prediction.shape != labels.shape:
            raise ValueError(
                f"prediction, labels: must have one shape (height, width), got {tuple(prediction.shape)} and "
                f"{tuple(labels.shape)}. Resize the logits to the labels."
            )
        prediction, labels = prediction.detach().cpu().long(), labels.detach().cpu().long()
        counted = labels != self.ignore_index
        prediction, labels = prediction[counted], labels[counted]
        self._images += torch.tensor([labels.numel() > 0, labels.numel() == 0])
        for name, ids in (("labels", labels), ("prediction", prediction)):
            stray = ids[(ids < 0) | (ids >= self.num_labels)]
            if stray.numel():
                raise ValueError(
                    f"{name}: ids must be below {self.num_labels} (num_labels) or, in labels, {self.ignore_index} "
                    f"(ignored), got {stray[0].item()}. Check num_labels and do_reduce_labels."
                )
        pairs = torch.bincount(labels * self.num_labels + prediction, minlength=self.num_labels**2)
        self._confusion += pairs.view(self.num_labels, self.num_labels)

    def state(self) -> Tensor:
        """Everything counted so far, int64 (K * K + 2,): what other processes need."""
        return torch.cat([self._confusion.flatten(), self._images])

    def merge(self, state: Tensor) -> None:
        """Add the state of another process."""
        state = state.to(self._confusion)
        self._confusion += state[:-2].view_as(self._confusion)
        self._images += state[-2:]

    def iou_per_class(self) -> Tensor:
        """Intersection over union, float64 (K,); NaN for a class that is neither labelled nor predicted."""
        confusion = self._confusion.double()
        intersection = confusion.diagonal()
        return intersection / (confusion.sum(0) + confusion.sum(1) - intersection)

    def compute(self) -> dict[str, float]:
        """Scores over all images.

        Returns:
            mean_iou: mean over all classes, where an absent one counts as 0 (the published protocol).
            mean_iou_present: mean over the classes that are labelled or predicted somewhere.
            pixel_accuracy: correct pixels over labelled pixels.
            images, pixels (labelled ones), empty_images (left out: nothing labelled).

        Raises:
            ValueError: nothing was labelled.
        """
        images, empty = self._images.tolist()
        if not images:
            raise ValueError(
                f"labels: need an image with a pixel that is not {self.ignore_index} (ignored), got none in {empty}. "
                "Check the label maps."
            )
        iou, pixels = self.iou_per_class(), self._confusion.sum().item()
        return {
            "mean_iou": iou.nan_to_num(0.0).mean().item(),
            "mean_iou_present": iou.nanmean().item(),
            "pixel_accuracy": self._confusion.diagonal().sum().item() / pixels,
            "images": images,
            "pixels": pixels,
            "empty_images": empty,
        }
