"""Several processes that do one job: what one of them finds or fails at, all of them know."""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Team:
    """The processes of an `accelerate.Accelerator`, or this one alone (None)."""

    def __init__(self, accelerator: Any = None):
        self._alone = accelerator is None or accelerator.num_processes == 1
        self.rank, self.size = (0, 1) if self._alone else (accelerator.process_index, accelerator.num_processes)

    def share(self, items: list[T]) -> list[T]:
        """This process's part; all parts together are `items`."""
        return items[self.rank :: self.size]

    def in_all(self, work: Callable[[], T]) -> list[T]:
        """Do `work` in every process and return what each of them found.

        Raises:
            Exception: what `work` raised; ValueError with its message in the processes where it went well. So none of
                them waits for one that has given up.
        """
        found = problem = None
        try:
            found = work()
        except Exception as error:
            problem = error
        if self._alone:
            if problem is not None:
                raise problem
            return [found]
        from accelerate.utils import gather_object

        told = gather_object([(found, None if problem is None else str(problem))])
        if problem is not None:
            raise problem
        if failed := [text for _, text in told if text is not None]:
            raise ValueError(failed[0])
        return [found for found, _ in told]

    def in_main(self, work: Callable[[], T]) -> T:
        """Do `work` in the main process only; all get what it found, or raise, as in `in_all`."""
        return self.in_all(work if self.rank == 0 else lambda: None)[0]
