"""Pictures that show how training goes."""

from collections.abc import Callable
from typing import Any

import numpy as np


class SpreadPanels:
    """Draws a few of the samples that an evaluation goes through, evenly spread; to be passed as `on_sample`.

    Args:
        draw: (image, prediction, truth) -> uint8 (H, W, 3), such as `processing.panels.depth_panel`.
        wanted: Number of pictures.
        total: Samples that this process will see.
    """

    def __init__(self, draw: Callable[[Any, Any, Any], np.ndarray], wanted: int, total: int):
        self._draw, self._wanted = draw, wanted
        self._every = max(1, total // max(1, wanted))
        self._seen = 0
        self.pictures: dict[str, np.ndarray] = {}

    def __call__(self, index: int, image: Any, prediction: Any, truth: Any) -> None:
        if self._seen % self._every == 0 and len(self.pictures) < self._wanted:
            self.pictures[f"validation_{len(self.pictures)}"] = self._draw(image, prediction, truth)
        self._seen += 1
