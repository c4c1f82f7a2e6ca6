"""Segmentation scores from one confusion matrix over a whole data set.

Source: the protocol of Zhang et al. (PyTorch-Encoding), which the DPT paper's tables 4 and 5 follow.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .streaming import StreamingSums, as_maps

Maps = Tensor | Sequence[Tensor]


class SegmentationMetrics(StreamingSums):
    """Confusion matrix in whole numbers on the device of the maps; those of several processes add up exactly.

    Args:
        num_labels: Number of classes K.
        ignore_index: Label of pixels that do not count, whatever is predicted there.
    """

    def __init__(self, num_labels: int, ignore_index: int = 255):
        self.num_labels, self.ignore_index = num_labels, ignore_index
        super().__init__(num_labels**2 + 2, torch.int64)  # the matrix; images with labelled pixels, and without

    def update(self, prediction: Maps, labels: Maps) -> None:
        """Add one image or a batch.

        Args:
            prediction: Class ids, integer. One map (H, W), a batch (B, H, W), or a list of maps of any sizes.
            labels: True class ids, or ignore_index. Shapes as prediction, integer.

        Raises:
            ValueError: the shapes differ, or an id that counts is no class. Nothing of the batch is added then.
        """
        predictions, labels = as_maps(prediction), as_maps(labels)
        if [(2, one.shape) for one in predictions] != [(one.ndim, one.shape) for one in labels]:
            got = [", ".join(str(tuple(one.shape)) for one in maps) for maps in (predictions, labels)]
            raise ValueError(
                f"prediction, labels: must have one shape (height, width), got {got[0]} and {got[1]}. "
                "Resize the logits to the labels."
            )
        if not predictions:
            return
        images = torch.stack([(one != self.ignore_index).any() for one in labels]).sum()
        predicted, true = (torch.cat([one.flatten() for one in maps]).long() for maps in (predictions, labels))
        predicted = predicted.to(true.device)
        counted = true != self.ignore_index
        strays = counted & ((true < 0) | (true >= self.num_labels) | (predicted < 0) | (predicted >= self.num_labels))
        # One count for everything: two bins behind the matrix take what is ignored and what cannot be.
        cells = self.num_labels**2
        bins = torch.where(counted, true * self.num_labels + predicted, cells).masked_fill(strays, cells + 1)
        counts = bins.bincount(minlength=cells + 2)
        if counts[-1]:
            self._raise_stray(predicted[strays][0].item(), true[strays][0].item())
        self._add(torch.cat([counts[:cells], torch.stack([images, len(labels) - images])]))

    def confusion(self) -> Tensor:
        """Pixels by [true class, predicted class], int64 (K, K)."""
        return self._sums[:-2].view(self.num_labels, self.num_labels).clone()

    def iou_per_class(self) -> Tensor:
        """Intersection over union, float64 (K,); NaN for a class that is neither labelled nor predicted."""
        confusion = self.confusion().cpu().double()
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
        images, empty = self._sums[-2:].tolist()
        if not images:
            raise ValueError(
                f"labels: need an image with a pixel that is not {self.ignore_index} (ignored), got none in {empty}. "
                "Check the label maps."
            )
        iou, confusion = self.iou_per_class(), self.confusion()
        pixels = confusion.sum().item()
        return {
            "mean_iou": iou.nan_to_num(0.0).mean().item(),
            "mean_iou_present": iou.nanmean().item(),
            "pixel_accuracy": confusion.diagonal().sum().item() / pixels,
            "images": images,
            "pixels": pixels,
            "empty_images": empty,
        }

    def _raise_stray(self, predicted: int, true: int) -> None:
        name, value = ("labels", true) if not 0 <= true < self.num_labels else ("prediction", predicted)
        raise ValueError(
            f"{name}: ids must be below {self.num_labels} (num_labels) or, in labels, {self.ignore_index} "
            f"(ignored), got {value}. Check num_labels and do_reduce_labels."
        )
