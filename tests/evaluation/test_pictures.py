import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.evaluation.pictures import Extremes
from open_dpt.evaluation.protocol import load_protocol
from open_dpt.evaluation.scored import Scored


def rows_of(scores, name="delta1"):
    return [
        {"index": 10 + index, "status": "scored", "name": f"{index}.png", name: score}
        for index, score in enumerate(scores)
    ]


def chosen(scores, protocol="nyu-eigen", name="delta1", **options):
    extremes = Extremes(rows_of(scores, name), load_protocol(protocol), **options)
    return {index - 10: role for index, role in extremes._chosen.items()}


def test_best_median_and_worst_by_the_first_metric():
    assert chosen([0.5, 0.9, 0.1, 0.7, 0.3]) == {1: ("best", 1), 0: ("median", 1), 2: ("worst", 1)}
    scores = [30.0, 5.0, 80.0]  # per cent of bad pixels: less is better
    assert chosen(scores, "zero-shot-kitti", "delta_outliers1") == {1: ("best", 1), 0: ("median", 1), 2: ("worst", 1)}


def test_several_of_each_from_best_to_worst():
    got = chosen([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], each=2)
    assert list(got) == [6, 5, 4, 3, 1, 0]
    assert list(got.values()) == [("best", 1), ("best", 2), ("median", 1), ("median", 2), ("worst", 2), ("worst", 1)]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5], {0: ("best", 1)}),
        ([0.5, 0.6], {1: ("best", 1), 0: ("worst", 1)}),
        ([0.5, None, float("nan")], {0: ("best", 1)}),
        ([], {}),
    ],
)
def test_no_image_twice_and_only_scored_ones(scores, expected):
    assert chosen(scores, each=3) == expected
    rows = [*rows_of(scores), {"index": 99, "status": "empty", "name": "x", "delta1": None}]
    assert 99 not in Extremes(rows, load_protocol("nyu-eigen")).indices


def test_a_depth_picture(tmp_path):
    extremes = Extremes(rows_of([0.1, 0.5, 0.9]), load_protocol("nyu-eigen"))
    truth = torch.full((48, 64), 3.0, dtype=torch.float64)
    used = torch.zeros(48, 64, dtype=torch.bool)
    used[10:40, 10:50] = True
    sample = {"image": torch.zeros(3, 48, 64, dtype=torch.uint8)}
    path = extremes.draw(tmp_path / "new", extremes.indices[-1], sample, Scored({}, 1.2 * truth, truth, used), "depth")
    assert path == tmp_path / "new" / "worst-1.png"
    assert np.asarray(Image.open(path)).shape[1] == 4 * 320 + 3 * 4


def test_a_crop_is_put_where_it_came_from(tmp_path):
    extremes = Extremes(rows_of([0.1]), load_protocol("kitti-eigen-garg"))
    maps = torch.full((40, 100), 5.0)
    sample = {
        "image": torch.full((3, 30, 60), 200, dtype=torch.uint8),
        "image_size": (40, 100),
        "crop": (10, 40, 20, 80),
    }
    path = extremes.draw(tmp_path, 10, sample, Scored({}, maps, maps, maps > 0), "depth")
    photo = np.asarray(Image.open(path))[-600:]  # two rows of pictures, 600 x 240 each
    column = np.flatnonzero((photo[:300] == 200).all(-1).any(0))
    assert (column.min(), column.max()) == (pytest.approx(120, abs=3), pytest.approx(479, abs=3))


def test_segmentation_and_ordinal_pictures(tmp_path):
    labels = torch.randint(0, 3, (20, 30))
    labels[0] = 255
    sample = {"image": torch.zeros(3, 20, 30, dtype=torch.uint8), "ordinal": torch.tensor([[1, 2, 10, 20, 1]])}
    rows = [row | {"mean_iou": 0.5, "pixel_accuracy": 0.5, "pairs": 1, "wrong": 1} for row in rows_of([0.5])]
    maps = Scored({}, labels.clamp(max=2), labels, labels != 255)
    assert Extremes(rows, load_protocol("ade20k")).draw(tmp_path / "a", 10, sample, maps, "labels").is_file()
    ordinal = Extremes(rows, load_protocol("zero-shot-diw"))
    for kind in ("disparity", "depth", "relative-depth"):
        assert ordinal.draw(tmp_path / kind, 10, sample, Scored({}, torch.rand(20, 30)), kind).is_file()


def test_a_table_of_rows_does_too():
    import pyarrow as pa

    rows = rows_of([0.5, 0.1, 0.9])
    protocol = load_protocol("nyu-eigen")
    assert Extremes(pa.Table.from_pylist(rows), protocol.to_dict()).indices == Extremes(rows, protocol).indices


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    extremes = Extremes(rows_of([0.5]), load_protocol("nyu-eigen"))
    maps = torch.ones(4, 4)
    with pytest.raises(OSError, match="file"):
        extremes.draw(
            tmp_path / "file", 10, {"image": torch.zeros(3, 4, 4)}, Scored({}, maps, maps, maps > 0), "depth"
        )
