"""Endless training batches of procedural scenes, cached or rendered while training."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from ..batches import BatchPlan, augmentation_draws
from .augmentation import DRAWS, normalise, random_views
from .cache import CachedScenes
from .catalogue import HELD_OUT_SEED
from .render import render_batch


class ProceduralLoader:
    """Random views of procedural scenes, with the interface of `data.loading.TrainingLoader`.

    Scenes and views depend on the seed and a sample's global position alone.

    Args:
        cache: Folder written by `write_cache`; None renders every scene when it is needed, which is meant for a GPU.
        batch_size: Samples per batch and process.
        size: Side of the square views in pixels, or a function of the batch's number, called when it is made.
        seed: Same seed, same batches.
        rank, world_size: This process, and all of them.
        num_workers: Processes that read the cache ahead; 0 reads in this one.
        device: Where scenes are rendered and views are cut.
        render_size: Side of rendered scenes in pixels.
        smallest_area, colour: As in `random_views`.
        image_mean, image_std: Of the values in 0 to 1.

    Raises:
        FileNotFoundError, ValueError: the cache is missing or damaged, or a number makes no sense.
    """

    def __init__(
        self,
        cache: str | Path | None,
        *,
        batch_size: int,
        size: int | Callable[[int], int],
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        device: torch.device | str = "cpu",
        render_size: int = 192,
        smallest_area: float = 0.4,
        colour: float = 1.0,
        image_mean: float = 0.5,
        image_std: float = 0.5,
    ):
        self._scenes = None if cache is None else CachedScenes(cache)
        counts = [HELD_OUT_SEED if self._scenes is None else len(self._scenes)]
        self._plan = BatchPlan(counts, batch_size, seed, 0, rank, world_size)
        self._size = size if callable(size) else lambda batch: size
        self._workers, self._device, self._render_size = num_workers, device, render_size
        self._views = {"smallest_area": smallest_area, "colour": colour}
        self._image_mean, self._image_std = image_mean, image_std

    def __len__(self) -> int:
        """Scenes in the cache: an epoch.

        Raises:
            TypeError: scenes are rendered while training, so that none comes twice.
        """
        if self._scenes is None:
            raise TypeError(
                "scenes: rendered while training, there is no epoch. Give the length of training in steps."
            )
        return len(self._scenes)

    def batches(self, first: int = 0) -> Iterator[dict[str, Tensor]]:
        """Batches from number `first` on, without end, on the device.

        Yields:
            pixel_values (B, 3, S, S), labels (disparity in 1/m, 0 = sky) and valid_mask (True: rendered disparity is
            exact everywhere, and the sky's 0 is a value like any other), (B, S, S) each.
        """
        for batch, (images, disparities) in enumerate(self._scenes_from(first), first):
            draws = augmentation_draws(self._plan.seed, self._plan.positions(batch), DRAWS)
            views, labels = random_views(images, disparities, self._size(batch), draws, **self._views)
            valid = torch.ones_like(labels, dtype=torch.bool)
            pixels = normalise(views, self._image_mean, self._image_std)
            yield {"pixel_values": pixels, "labels": labels, "valid_mask": valid}

    def _scenes_from(self, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images uint8 (B, 3, H, W) and disparities (B, H, W) of every batch."""
        plan = self._plan
        if self._scenes is None:
            side, batch = self._render_size, first
            while True:
                # Seeds of different runs lie apart; those of the held-out scenes are never reached.
                seeds = [(plan.seed * 50_000_000 + at) % HELD_OUT_SEED for at in plan.positions(batch)]
                yield render_batch(seeds, (side, side), self._device)
                batch += 1
        plan = BatchPlan(plan.counts, plan.batch_size, plan.seed, first, plan.rank, plan.world_size)
        loader = DataLoader(
            self._scenes,
            batch_sampler=([draw.index for draw in draws] for draws in plan),
            num_workers=self._workers,
            generator=Generator().manual_seed(plan.seed % 2**64),  # for the workers' own seeds, else a global one
        )
        for scenes in loader:
            yield scenes["image"].to(self._device), scenes["disparity"].to(self._device)
