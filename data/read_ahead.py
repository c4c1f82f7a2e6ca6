"""Rows read by processes that work ahead. What cannot be read comes as a value in its place: a data loader would put a
whole stack trace into the message."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader


@dataclass(frozen=True)
class UnreadableRow:
    """Stands in the stream for a row whose files cannot be read."""

    index: int
    error: Exception


def read_ahead(read: Callable[[int], Any], indices: list[int], num_workers: int = 0) -> Iterator[Any]:
    """`read(index)`, or an `UnreadableRow`, for each index in order.

    Args:
        read: Picklable, where there are processes that work ahead.
        indices: Of rows.
        num_workers: How many processes; 0 reads in this one.

    Raises:
        Exception: what `read` raises but OSError and ValueError, such as ImportError for a missing package.
    """
    rows = _Reading(read, indices)
    return expected(DataLoader(rows, batch_size=None, num_workers=num_workers, collate_fn=_as_it_is))


def tried(read: Callable[[int], Any], index: int) -> Any:
    """`read(index)`, or an `UnreadableRow` with whatever that raises."""
    try:
        return read(index)
    except Exception as error:
        return UnreadableRow(index, error)


def expected(items: Iterable[Any]) -> Iterator[Any]:
    """Pass on what `tried` gave, but raise errors that are not those of a file."""
    for item in items:
        if isinstance(item, UnreadableRow) and not isinstance(item.error, (OSError, ValueError)):
            raise item.error
        yield item


@dataclass(frozen=True)
class _Reading:
    """What a data loader asks."""

    read: Callable[[int], Any]
    indices: list[int]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Any:
        return tried(self.read, self.indices[position])


def _as_it_is(item: Any) -> Any:
    return item
