from pathlib import Path

import pytest

from open_dpt.data.kitti import VALIDATION_DRIVES
from open_dpt.data.split_lists import read_split_list

ORIGINALS = Path(__file__).parents[3] / "shared" / "splits"
COUNTS = {
    "nyu_train_24k": (24231, 284, 24231),
    "nyu_test_654": (654, 16, 654),
    "kitti_eigen_train": (23158, 33, 23158),
    "kitti_eigen_test": (697, 28, 652),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_the_published_ones(name):
    frames = read_split_list(name)
    assert len(set(frames)) == len(frames)
    assert (len(frames), len({frame.scene for frame in frames}), sum(frame.has_truth for frame in frames)) == COUNTS[
        name
    ]


def test_no_drive_of_kitti_is_in_both_lists():
    train, test = ({frame.scene for frame in read_split_list(f"kitti_eigen_{split}")} for split in ("train", "test"))
    assert not train & test


def test_the_161_of_midas():
    frames = [frame for frame in read_split_list("kitti_eigen_test") if frame.scene in VALIDATION_DRIVES]
    assert len(frames) == 175 and sum(frame.has_truth for frame in frames) == 161


@pytest.mark.parametrize("name", COUNTS)
def test_nothing_was_lost_against_the_original_lists(name):
    path = ORIGINALS / f"{name}.txt"
    if not path.is_file():
        pytest.skip("the original lists are not here")
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    expected = {(scene, int(number), rest != ["0"]) for scene, number, *rest in lines}
    assert {tuple(frame) for frame in read_split_list(name)} == expected
