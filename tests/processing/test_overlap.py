"""Many files at once: order, failures, and how much is held."""

import threading
import time

import pytest
import torch

from open_dpt.processing import FailedImage
from open_dpt.processing.overlap import map_ahead, predict_files

DEVICES = ["cpu", "meta"]  # lanes, and one stream with threads beside it


class Photo:
    """Knows how many of its kind there are."""

    alive = most = 0
    lock = threading.Lock()

    def __init__(self, name):
        self.name = name
        with Photo.lock:
            Photo.alive += 1
            Photo.most = max(Photo.most, Photo.alive)

    def __del__(self):
        with Photo.lock:
            Photo.alive -= 1


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    Photo.alive = Photo.most = 0
    yield
    torch.set_num_threads(before)


def _run(count, device, *, read=Photo, predict=None, write=lambda *_: None, batch_size=1):
    predict = predict or (lambda images: (image.name * 10 for image in images))
    stages = {"read": read, "predict": predict, "write": write}
    return list(predict_files(range(count), **stages, device=device, batch_size=batch_size))


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("device", DEVICES)
def test_every_source_is_written_with_its_own_image_and_prediction(device, batch_size):
    written = {}

    def write(source, image, prediction):
        time.sleep(0.002 * (source % 3))  # so that later ones would overtake
        written[source] = (image.name, prediction)

    assert _run(11, device, write=write, batch_size=batch_size) == [(source, None) for source in range(11)]
    assert written == {source: (source, 10 * source) for source in range(11)}


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_held_does_not_grow_with_the_folder(device):
    most = []
    for count in (20, 200):
        Photo.most = 0
        _run(count, device)
        most.append(Photo.most)
    assert most[1] <= 12, most  # of 200: those that are decoded ahead, under way, or waiting to be written


@pytest.mark.parametrize("device", DEVICES)
def test_failures_are_told_and_the_others_written(device):
    written = []

    def read(source):
        if source == 3:
            raise OSError("broken")
        return source

    def predict(images):
        return (FailedImage(image, ValueError("odd")) if image == 5 else image for image in images)

    outcomes = _run(8, device, read=read, predict=predict, write=lambda source, *_: written.append(source))
    assert sorted(written) == [0, 1, 2, 4, 6, 7]
    told = {source: str(error) for source, error in outcomes if error}
    assert told == {3: "broken", 5: "odd"} and len(outcomes) == 8


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stage", ["predict", "write"])
def test_a_fault_of_ours_stops_the_run_and_gives_the_threads_back(device, stage):
    written = []

    def write(source, *_):
        if stage == "write" and source == 2:
            raise RuntimeError("disk full")
        written.append(source)

    def predict(images):
        for image in images:
            if stage == "predict" and image == 2:
                raise RuntimeError("disk full")
            yield image

    with pytest.raises(RuntimeError, match="disk full"):
        _run(100, device, read=lambda source: source, predict=predict, write=write)
    assert len(written) < 20 and torch.get_num_threads() == 2


def test_lanes_share_the_threads():
    seen, together = set(), threading.Barrier(2, timeout=60)

    def predict(images):
        for image in images:
            seen.add((threading.get_ident(), torch.get_num_threads()))
            together.wait()  # no lane does two images while the other does none
            yield image

    _run(8, "cpu", predict=predict)
    assert len(seen) == 2 and {threads for _, threads in seen} == {1}
    assert torch.get_num_threads() == 2


def test_a_single_image_has_all_the_threads():
    seen = []

    def predict(images):
        return (seen.append(torch.get_num_threads()) or image for image in images)

    _run(1, "cpu", predict=predict)
    assert seen == [2]


def test_no_more_items_are_taken_than_may_wait():
    taken = []
    results = map_ahead(lambda item: item + 1, (taken.append(item) or item for item in range(50)), ahead=3)
    assert next(results) == 1 and len(taken) == 4
    results.close()
    assert len(taken) == 4
