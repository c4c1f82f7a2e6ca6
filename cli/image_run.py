"""The run over many images that `predict` and `segment` share: bounded memory, failures named, resumable."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .journal import Journal
from .messages import RequestError, one_line
from .sources import Source


@dataclass(frozen=True)
class ImageRun:
    """Predict `sources` and write `writers` of each prediction below `output`.

    Args:
        command: name of the command, for the journal.
        sources: what to predict.
        output: folder for the results.
        writers: from the ending of a file name, such as "_color.png", to the function (prediction, image, path) that
            writes it, completely or not at all; the image is a uint8 array (H, W, 3).
        settings: what the results depend on; results of other settings are not taken for done.
        overwrite: replace results that exist.
    """

    command: str
    sources: list[Source]
    output: Path
    writers: dict[str, Callable[[Any, Any, Path], Any]]
    settings: dict
    overwrite: bool

    def run(self, predict: Callable[[Iterable], Iterator], *, device: Any, batch_size: int = 1) -> int:
        """Do what is left to do and return the exit status: 1 if any image failed.

        Args:
            predict: from a stream of uint8 arrays (H, W, 3) to one prediction or `FailedImage` each, in order.
            device: of the model.
            batch_size: images that `predict` puts together.
        """
        from tqdm import tqdm

        from ..processing.image_io import load_pixels
        from ..processing.overlap import predict_files

        journal = Journal(self.output, self.command, self.settings, overwrite=self.overwrite)
        left = journal.remaining({source: self._files(source) for source in self.sources})
        self._sweep(left)
        failures: list[str] = []

        def write(source: Source, image: Any, prediction: Any) -> None:
            self._write(source, image, prediction)
            journal.add(source, self._files(source))

        try:
            with tqdm(total=len(left), unit="image", disable=None) as progress:
                for source, error in predict_files(
                    left,
                    read=lambda source: load_pixels(source.location),
                    predict=predict,
                    write=write,
                    device=device,
                    batch_size=batch_size,
                ):
                    if error is not None:
                        message = one_line(error)
                        failures.append(message if source.location in message else f"{source.location}: {message}")
                    progress.update()
        except KeyboardInterrupt:
            print(f"\n{self.output}: keeps what is finished; the same command continues.", file=sys.stderr)
            raise
        self._report(len(left) - len(failures), failures)
        return 1 if failures else 0

    def _files(self, source: Source) -> list[Path]:
        return [self.output / f"{source.name}{ending}" for ending in self.writers]

    def _sweep(self, sources: list[Source]) -> None:
        """Remove what a killed run left of files that it had not finished."""
        paths = {path for source in sources for path in self._files(source)}
        for folder in {path.parent for path in paths}:
            for part in folder.glob(".*.tmp"):  # the temporary names of processing.writers: .NAME.RANDOM.tmp
                if part.with_name(part.name[1:].rsplit(".", 2)[0]) in paths:
                    part.unlink(missing_ok=True)

    def _write(self, source: Source, image: Any, prediction: Any) -> None:
        for path, write in zip(self._files(source), self.writers.values(), strict=True):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write(prediction, image, path)
            except OSError as error:
                raise RequestError(
                    f"{one_line(error)} Once that is mended, the same command continues where it stopped."
                ) from error

    def _report(self, done: int, failures: list[str]) -> None:
        counts = [f"{done} done"]
        if already := len(self.sources) - done - len(failures):
            counts.append(f"{already} there already")
        if failures:
            counts.append(f"{len(failures)} failed")
        print(f"{self.output}: {', '.join(counts)}")
        for reason in failures:
            print(f"failed: {reason}", file=sys.stderr)
