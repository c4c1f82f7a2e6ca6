"""Many files from image to result, with the processor's cores and the device kept busy.

On a CPU several images go through at once, each with its share of the threads: decoding and encoding have one thread
anyway, and so have parts of the network. Batches gain nothing there. On other devices one stream of images goes
through, and threads beside it decode the next files and encode the last results.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

import torch

from .predictor import WINDOW_BATCHES, FailedImage

# Every lane holds a photo and the network's maps.
MOST_LANES = 4
THREADS = min(4, os.cpu_count() or 1)


def predict_files(
    sources: Iterable,
    *,
    read: Callable[[Any], Any],
    predict: Callable[[Iterable], Iterator],
    write: Callable[[Any, Any, Any], Any],
    device: str | torch.device,
    batch_size: int = 1,
) -> Iterator[tuple[Any, Exception | None]]:
    """Read, predict and write each source. What is held at a time does not depend on how many there are.

    Args:
        sources: Names of files, or whatever `read` takes.
        read: From a source to an image. OSError and ValueError mean that this one cannot be had. Called in threads.
        predict: From a stream of images to one prediction or `FailedImage` each, in order. On a CPU several such
            streams run at once, so a model in it must be in eval mode.
        write: Called with source, image and prediction, in threads.
        device: Of the model.
        batch_size: Images that `predict` puts together; it then gets streams long enough to find some of equal size.

    Yields:
        (source, None) when it is written, or (source, error) where it could not be read; in order of the sources
        but for those errors.

    Raises:
        What `write` and `predict` raise. What is under way is finished first.
    """
    stream = partial(_stream, read=read, predict=predict, write=write)
    if torch.device(device).type != "cpu":
        yield from stream(sources, map_=map_ahead)
        return
    sources, threads = iter(sources), torch.get_num_threads()
    length = batch_size * WINDOW_BATCHES if batch_size > 1 else 1
    parts = list(iter(lambda: list(islice(sources, length)), []))
    lanes = min(MOST_LANES, threads, len(parts))
    if lanes < 2:
        for part in parts:
            yield from stream(part, map_=map)
        return
    try:
        for done in map_ahead(
            lambda part: list(stream(part, map_=map)),
            parts,
            threads=lanes,
            ahead=2 * lanes,
            prepare=partial(torch.set_num_threads, threads // lanes),
        ):
            yield from done
    finally:
        torch.set_num_threads(threads)


def map_ahead(
    function: Callable[[Any], Any],
    items: Iterable,
    *,
    threads: int = THREADS,
    ahead: int = THREADS,
    prepare: Callable[[], Any] | None = None,
) -> Iterator:
    """`map` in threads, in order: while the caller has a result in hand, the next ones are being made.

    Args:
        function: Called with an item, in one of the threads.
        items: Taken one by one in the caller's thread, at most `ahead` beyond the result that is out.
        threads: That work.
        ahead: Results under way or waiting.
        prepare: Called by each thread first.

    Raises:
        What `function` raises, when that item's turn comes. What waits is not begun then, and what is under way ends
        first; so, too, when the caller stops early.
    """
    pending: deque[Future] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="open_dpt", initializer=prepare)
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _stream(sources: Iterable, read, predict, write, map_: Callable) -> Iterator[tuple[Any, Exception | None]]:
    waiting: deque[tuple[Any, Any]] = deque()
    failed: deque[tuple[Any, Exception]] = deque()

    def images() -> Iterator:
        for source, image in map_(partial(_read, read), sources):
            if isinstance(image, FailedImage):
                failed.append((source, image.error))
            else:
                waiting.append((source, image))
                yield image

    def results() -> Iterator:
        for prediction in predict(images()):
            source, image = waiting.popleft()
            if isinstance(prediction, FailedImage):
                failed.append((source, prediction.error))
            else:
                yield source, image, prediction

    for source in map_(partial(_write, write), results()):
        while failed:
            yield failed.popleft()
        yield source, None
    yield from failed


def _read(read, source: Any) -> tuple[Any, Any]:
    try:
        return source, read(source)
    except (OSError, ValueError) as error:
        return source, FailedImage(source, error)


def _write(write, result: tuple[Any, Any, Any]) -> Any:
    write(*result)
    return result[0]
