"""The split lists that ship with open_dpt, in `splits/`: which frames of which scene belong to a split."""

from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple


class ListedFrame(NamedTuple):
    """scene: scene or drive. number: of the frame. has_truth: whether ground truth exists for it."""

    scene: str
    number: int
    has_truth: bool


def read_split_list(name: str) -> list[ListedFrame]:
    """Frames of a shipped list, sorted by scene and number.

    Args:
        name: nyu_train_24k, nyu_test_654, kitti_eigen_train or kitti_eigen_test.
    """
    text = (files(__package__) / "splits" / f"{name}.txt").read_text(encoding="utf-8")
    frames = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        scene, _, numbers = line.partition(" ")
        present, _, absent = numbers.partition("without")
        frames += [ListedFrame(scene, number, True) for number in _numbers(present)]
        frames += [ListedFrame(scene, number, False) for number in _numbers(absent)]
    return sorted(frames)


def _numbers(text: str) -> Iterator[int]:
    """ "3 5-7 10-20/5" -> 3, 5, 6, 7, 10, 15, 20."""
    for part in text.split():
        first, _, rest = part.partition("-")
        last, _, step = rest.partition("/")
        yield from range(int(first), int(last or first) + 1, int(step or 1))
