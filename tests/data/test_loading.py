import pickle
import random
import time
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from open_dpt.data import SampleError, loading, make_rows, read_sample
from open_dpt.data.loading import TrainingLoader
from open_dpt.data.transforms import TrainTransform

TRANSFORM = TrainTransform((16, 24), rescale=(0.7, 1.4), rotation=5, colour=1.0)


def write_images(folder, count, first=0):
    folder.mkdir(exist_ok=True)
    paths = []
    for index in range(first, first + count):
        paths.append(str(folder / f"{index}.png"))
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (20, 28, 3), np.uint8)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@pytest.fixture(scope="module")
def rows(folder):
    """10 images whose depth is their number in metres everywhere, in one HDF5 file."""
    with h5py.File(folder / "depth.h5", "w") as file:
        file["depth"] = np.arange(1, 11, dtype=np.float32)[:, None, None] * np.ones((10, 20, 28), np.float32)
    depths = [f"{folder / 'depth.h5'}::depth/{index}" for index in range(10)]
    cameras = [[30.0, 0, 14, 0, 30, 10, 0, 0, 1]] * 10
    return make_rows({"image": write_images(folder / "good", 10), "depth": depths, "intrinsics": cameras})


@pytest.fixture(scope="module")
def other_rows(folder):
    """3 images whose depth is 100 metres and more, without intrinsics."""
    paths = []
    for index in range(3):
        paths.append(str(folder / f"other{index}.npy"))
        np.save(paths[-1], np.full((20, 28), 100.0 + index, np.float32))
    return make_rows({"image": write_images(folder / "other", 3, 50), "depth": paths})


@pytest.fixture
def damaged_rows(tmp_path):
    """8 images with their numbers as labels; the 3rd and 4th image cannot be read."""
    images = write_images(tmp_path, 8)
    for path in images[2:4]:
        Path(path).write_bytes(b"no image")
    labels = []
    for index in range(8):
        labels.append(str(tmp_path / f"label{index}.png"))
        Image.fromarray(np.full((20, 28), index, np.uint8)).save(labels[-1])
    return make_rows({"image": images, "label": labels})


LABELS = TrainTransform((16, 24), targets="label", flip=0)


def loader(rows, transform=TRANSFORM, **options):
    return TrainingLoader(rows, transform, **{"batch_size": 4, "seed": 1} | options)


def take(rows, count, first=0, transform=TRANSFORM, **options):
    return list(islice(loader(rows, transform, **options).batches(first), count))


def same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys() and batch["unreadable"] == other["unreadable"]
        assert all(torch.equal(batch[key], other[key]) for key in batch if key != "unreadable")
    return True


def numbers(batches):
    """The depth of each image, which says which one it is."""
    return [int(labels.max()) for batch in batches for labels in batch["labels"]]


def test_batches_hold_what_a_model_takes(rows):
    batch = next(loader(rows).batches())
    shapes = {key: (tuple(value.shape), value.dtype) for key, value in batch.items() if key != "unreadable"}
    assert shapes == {
        "pixel_values": ((4, 3, 16, 24), torch.float32),
        "labels": ((4, 16, 24), torch.float32),
        "valid_mask": ((4, 16, 24), torch.bool),
        "intrinsics": ((4, 3, 3), torch.float64),
    }
    assert batch["unreadable"] == []


def test_an_epoch_shows_every_sample_once(rows):
    assert len(loader(rows)) == 10
    assert sorted(numbers(take(rows, 5, batch_size=2))) == list(range(1, 11))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_do_not_change_the_batches(rows, other_rows, workers):
    same(take([rows, other_rows], 6), take([rows, other_rows], 6, num_workers=workers))


@pytest.mark.parametrize("first", [1, 5])
@pytest.mark.parametrize("workers", [0, 2])
def test_any_batch_can_be_the_first(rows, other_rows, first, workers):
    whole = take([rows, other_rows], 8)
    same(take([rows, other_rows], 8 - first, first, num_workers=workers), whole[first:])


def test_two_processes_share_the_batches_of_one(rows, other_rows):
    single = take([rows, other_rows], 5, batch_size=4)
    parts = [take([rows, other_rows], 5, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    for whole, first, second in zip(single, *parts, strict=True):
        for key in ("pixel_values", "labels", "valid_mask"):
            assert torch.equal(torch.cat([first[key], second[key]]), whole[key])


def test_two_small_batches_are_one_large_one(rows):
    small, large = take(rows, 4, batch_size=2), take(rows, 2, batch_size=4)
    assert torch.equal(*(torch.cat([batch["pixel_values"] for batch in batches]) for batches in (small, large)))


def test_the_seed_changes_order_and_views(rows):
    first, second = take(rows, 3, seed=1), take(rows, 3, seed=2)
    assert numbers(first) != numbers(second)
    by_number = [dict(zip(numbers([batch]), batch["pixel_values"], strict=True)) for batch in (first[0], second[0])]
    shared = set(by_number[0]) & set(by_number[1])
    assert shared and not any(torch.equal(by_number[0][at], by_number[1][at]) for at in shared)


def test_several_data_sets_are_drawn_alike_and_lose_what_only_some_have(rows, other_rows):
    batches = take([rows, other_rows], 50)
    assert 0.4 < sum(number >= 100 for number in numbers(batches)) / 200 < 0.6
    mixed = [batch for batch in batches if len({number >= 100 for number in numbers([batch])}) == 2]
    assert mixed and not any("intrinsics" in batch for batch in mixed)


def test_files_that_this_process_has_open_do_not_disturb_workers(rows):
    expected = take(rows, 4)  # leaves the HDF5 file open here
    read_sample(rows[0])
    running = loader(rows, num_workers=2).batches()
    same([next(running), next(running)], expected[:2])
    read_sample(rows[1])
    same([next(running), next(running)], expected[2:])


def test_a_loader_can_be_sent_to_workers_that_are_not_forked(rows):
    same(list(islice(pickle.loads(pickle.dumps(loader(rows))).batches(), 2)), take(rows, 2))


@pytest.mark.parametrize("workers", [0, 2])
def test_global_generators_are_neither_read_nor_changed(rows, workers):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = take(rows, 3, num_workers=workers)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]
    torch.manual_seed(123)
    same(take(rows, 3, num_workers=workers), first)


@pytest.mark.parametrize("workers", [0, 2])
def test_transforming_on_a_device_gives_the_same_batches(rows, workers):
    same(take(rows, 3, device="cpu", num_workers=workers), take(rows, 3))


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 1, "device": "cpu"}])
def test_an_unreadable_image_is_replaced_and_reported(damaged_rows, options):
    expected = take(damaged_rows, 8, transform=LABELS)
    batches = take(damaged_rows, 8, transform=LABELS, **options)
    same(batches, expected)
    assert not {2, 3} & set(numbers(batches))
    messages = [message for batch in batches for message in batch["unreadable"]]
    assert len(messages) >= 8 and {message.partition(".png")[0][-1] for message in messages} == {"2", "3"}
    assert all("\n" not in message for message in messages)


def test_replacements_do_not_depend_on_where_a_run_began_or_on_processes(damaged_rows):
    whole = take(damaged_rows, 8, transform=LABELS)
    same(take(damaged_rows, 5, first=3, transform=LABELS), whole[3:])
    parts = [take(damaged_rows, 8, transform=LABELS, batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    assert [x for pair in zip(*parts, strict=True) for batch in pair for x in numbers([batch])] == numbers(whole)


@pytest.mark.parametrize("workers", [0, 2])
def test_stopping_names_the_file_in_one_line(damaged_rows, workers):
    with pytest.raises(SampleError, match=r"[23]\.png: ") as caught:
        take(damaged_rows, 3, transform=LABELS, on_unreadable="stop", num_workers=workers)
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_each_unreadable_image_counts_once_and_only_so_many_are_skipped(damaged_rows, workers):
    patient = loader(damaged_rows, LABELS, max_unreadable=2, num_workers=workers)
    list(islice(patient.batches(), 20))
    assert len(patient.unreadable) == 2
    with pytest.raises(SampleError, match=r"\.png: .* 2 samples cannot be read, at most 1 are skipped") as caught:
        take(damaged_rows, 20, transform=LABELS, max_unreadable=1, num_workers=workers)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [2, 100])
def test_data_of_which_nothing_can_be_read_ends_soon(damaged_rows, limit):
    with pytest.raises(SampleError, match=r"\.png: .* (2 samples cannot be read|no readable sample)"):
        take(damaged_rows.select([2, 3]), 1, transform=LABELS, max_unreadable=limit if limit > 2 else 1)


def test_workers_that_are_stuck_are_told(rows, monkeypatch):
    monkeypatch.setattr(loading, "_PATIENCE_SECONDS", 1)
    with pytest.raises(SampleError, match=r"1 workers gave no batch within 1 s\. .* try fewer workers"):
        take(rows, 1, num_workers=1, read=lambda row: time.sleep(30))


@pytest.mark.parametrize("options", [{}, {"num_workers": 1}, {"num_workers": 1, "device": "cpu"}])
def test_what_the_transform_refuses_stops_with_its_message(rows, options):
    with pytest.raises(ValueError, match=r"\.png: training needs its label, got depth") as caught:
        take(rows, 1, transform=LABELS, **options)
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_named(rows):
    with pytest.raises(ValueError, match="on_unreadable: must be one of skip, stop, got 'ignore'"):
        loader(rows, on_unreadable="ignore")
    with pytest.raises(TypeError, match="read by index, got IterableDataset"):
        loader(rows.to_iterable_dataset())
    with pytest.raises(ValueError, match="got 10, 0 samples"):
        loader([rows, rows.select([])])
