"""What scoring one image gives: a row of numbers, and the maps to draw."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scored:
    """One image, scored.

    Attributes:
        row: JSON data, the fields of the image's line in the table of rows. "status" is "scored", or "empty" where the
            truth has no pixel that counts: `reason` says why, and scores are missing.
        prediction: Metres as they were scored (aligned, clamped), class ids, or disparity. Shape (H, W).
        truth: Metres (0 where unknown) or class ids, on the same grid. Shape (H, W). None for ordinal truth.
        used: True where pixels counted. Shape (H, W), bool. None for ordinal truth.
    """

    row: dict[str, Any]
    prediction: "Tensor | None" = None
    truth: "Tensor | None" = None
    used: "Tensor | None" = None
