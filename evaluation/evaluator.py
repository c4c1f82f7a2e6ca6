"""A model or anything else that answers images, measured under a protocol.

    result = evaluate("nyu-eigen", "nyu/", load_adapter("Intel/dpt-large", "depth"), output="runs/large")
    result.metrics["abs_rel"]

Rows are kept as they are finished (`row_files`), totals are made of them at the end (`results`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import SampleError, class_names, load_data
from ..data.read_ahead import UnreadableRow
from ..data.readers import source_name
from ..data.samples import spread
from .aligning import check_alignable
from .images import Images
from .protocol import Protocol, load_protocol
from .results import Result, build_result, images_sha256
from .row_files import RowWriter, read_rows
from .scored import Scored
from .team import Team
from .unit_check import unit_problem

if TYPE_CHECKING:
    from .adapters.base import Adapter

# Modules with `score(prediction, kind, sample, protocol) -> Scored`, by the task of a protocol.
TASKS = {"depth": ".score_depth", "ordinal": ".score_ordinal", "segmentation": ".score_segmentation"}

# Parts of an adapter's description that no row depends on; the last only where a fingerprint tells what was there.
_PLACE = ("device", "notes", "source")


def evaluate(
    protocol: str | Protocol,
    root: str | Path,
    adapter: "Adapter",
    *,
    rows: Any = None,
    output: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 1,
    num_workers: int = 0,
    accelerator: Any = None,
    options: dict[str, Any] | None = None,
    on_unreadable: str = "skip",
    overwrite: bool = False,
    pictures: bool = True,
    progress: bool = True,
) -> Result:
    """Measure `adapter` on the images of a protocol.

    Each process takes its share, every image once. A run that was stopped continues when it is called with the same
    output; the number of processes, limit and batch_size may be others then.

    Args:
        protocol: Its name, or a `Protocol`.
        root: Where its data set lies.
        adapter: See `adapters.loading.load_adapter`.
        rows: Images of your own in the form of `data.samples`, a list or `datasets.Dataset`, instead of those at root.
        output: Folder for the rows as they are finished, the result (result.json, rows.parquet) and pictures of the
            best, the median and the worst image. None: nothing is written.
        limit: Use so many images, spread evenly over the data set.
        batch_size: Images that the adapter gets at a time.
        num_workers: Processes that read ahead.
        accelerator: `accelerate.Accelerator`; None for one process.
        options: Of the data set, see `load_data`. One that the protocol states is a change of it, and its label says
            so; the others only say where and how the data is stored.
        on_unreadable: "skip" counts images that cannot be read; "stop" raises at the first.
        overwrite: Forget what output holds of another run.
        pictures: Draw pictures, if there is an output.
        progress: Show a bar.

    Returns:
        The result, the same in every process. `extra["warning"]`: where units seem to be mixed up.

    Raises:
        ValueError: protocol, data, model and output do not go together, or no image could be scored.
        OSError: a folder cannot be written.
    """
    if on_unreadable not in ("stop", "skip"):
        raise ValueError(f"on_unreadable: must be 'stop' or 'skip', got {on_unreadable!r}.")
    if batch_size < 1 or (limit is not None and limit < 1):
        raise ValueError(f"batch_size, limit: must be 1 or more, got {batch_size} and {limit}.")
    if rows is not None and options:
        raise ValueError(f"options: are for loading a data set, got {', '.join(options)} and rows. Leave one out.")
    protocol, options = _changed_by(options or {}, load_protocol(protocol) if isinstance(protocol, str) else protocol)
    _check_kind(adapter, protocol)
    own_rows, data = rows is not None, protocol.data
    images = Images(
        rows if own_rows else load_data(data.dataset, root, data.split, **data.options, **options), protocol.image_crop
    )
    chosen, team = spread(len(images), limit), Team(accelerator)
    output = None if output is None else _free(Path(output).expanduser(), images, adapter)
    job = _Job(protocol, adapter, images)

    model = team.in_main(lambda: job.described(chosen))
    settings = _settings(protocol, options, images, model)
    done = team.in_main(lambda: read_rows(output, settings, overwrite=overwrite))
    left = [index for index in chosen if index not in done]

    def measured() -> list[dict[str, Any]]:
        share = _with_bar(job.rows(team.share(left), batch_size, num_workers), len(chosen), len(left), team, progress)
        found = []
        with RowWriter(output, settings, team.rank) as writer:
            for row in share:
                if row["status"] == "unreadable" and on_unreadable == "stop":
                    raise SampleError(row["reason"])
                writer.add(row)
                found.append(row)
        return found

    done |= {row["index"]: row for part in team.in_all(measured) for row in part}
    table = [done[index] for index in chosen]
    _check_some_scored(table, protocol)
    described = {
        "dataset": "own rows" if own_rows else data.dataset,
        "split": None if own_rows else data.split,
        "options": data.options | options,
        "listed": len(images),
        "limit": limit,
    }
    warning = unit_problem(table)
    result = build_result(
        protocol,
        table,
        model,
        described,
        roots=[root, *(Path(root) / value for value in options.values() if isinstance(value, str))],
        class_names=None if own_rows else class_names(data.dataset, root, **data.options, **options),
        extra={"warning": warning} if warning else None,
    )
    if output is not None:
        team.in_main(lambda: _write(result, output, job if pictures else None))
    return result


@dataclass(frozen=True)
class _Job:
    """What is done with every image."""

    protocol: Protocol
    adapter: "Adapter"
    images: Images

    def described(self, chosen: list[int]) -> dict[str, Any]:
        """The adapter's description, once it has said that it can answer all that was chosen."""
        rows = self.images.rows
        used = rows if len(chosen) == len(rows) else (rows[index] for index in chosen)
        self.adapter.check(used, self.protocol)
        return self.adapter.describe()

    def rows(self, indices: list[int], batch_size: int, num_workers: int) -> Iterator[dict[str, Any]]:
        """The row of each image."""
        for batch in self.images.batches(indices, batch_size, num_workers):
            if isinstance(batch, UnreadableRow):
                yield self._unreadable(batch.index, batch.error)
                continue
            for sample, scored in zip(batch, self._scored(batch), strict=True):
                if isinstance(scored, Exception):
                    yield self._unreadable(sample["row_index"], scored)
                    continue
                height, width = sample["image_size"]
                identity = self.images.identity(sample["row_index"])
                yield identity | {"height": height, "width": width} | scored.row

    def drawn(self, index: int) -> tuple[dict[str, Any], Scored]:
        """The sample and its maps, to be drawn: its image is what the protocol compares on, whole or cropped."""
        whole = self.images.read(index)
        sample = self.images.cropped(whole)
        (scored,) = self._scored([sample])
        if isinstance(scored, Exception):
            raise scored
        return (sample if getattr(self.protocol.score, "grid", "image") == "crop" else whole), scored

    def _scored(self, batch: list[dict[str, Any]]) -> list[Scored | Exception]:
        """Of each sample; the error of one that has no answer that can be read."""
        score = import_module(TASKS[self.protocol.task], __package__).score
        try:
            predictions = self.adapter.predict(batch, self.protocol.inference)
        except (SampleError, OSError) as error:
            return [error] if len(batch) == 1 else [one for sample in batch for one in self._scored([sample])]
        pairs = zip(predictions, batch, strict=True)
        return [score(prediction, self.adapter.kind, sample, self.protocol) for prediction, sample in pairs]

    def _unreadable(self, index: int, error: Exception) -> dict[str, Any]:
        return self.images.identity(index) | {"status": "unreadable", "reason": " ".join(str(error).split())}


def _changed_by(options: dict[str, Any], protocol: Protocol) -> tuple[Protocol, dict[str, Any]]:
    """The protocol with those options that it states itself, and the other options."""
    stated = {key: value for key, value in options.items() if key in protocol.data.options}
    others = {key: value for key, value in options.items() if key not in stated}
    return protocol.with_changes({f"data.options.{key}": value for key, value in stated.items()}), others


def _check_kind(adapter: "Adapter", protocol: Protocol) -> None:
    if protocol.task != "depth":
        return
    try:
        check_alignable(protocol.alignment, adapter.kind)
    except ValueError as error:
        raise ValueError(f"{adapter.name} under {protocol.label}: {error}") from None


def _free(output: Path, images: Images, adapter: "Adapter") -> Path:
    """`output`, unless its files would be taken for images or predictions: those folders are searched."""
    first = Path(source_name(images.rows[0]["image"]))
    searched = [first.parent] if first.is_file() else []
    searched += [adapter.folder] if isinstance(getattr(adapter, "folder", None), Path) else []
    for folder in searched:
        if folder.resolve() in (output.resolve(), *output.resolve().parents):
            raise ValueError(f"{output}: output must lie outside {folder}, whose files are read. Choose another.")
    return output


def _settings(protocol: Protocol, options: dict[str, Any], images: Images, model: dict[str, Any]) -> dict[str, Any]:
    """What rows depend on, by names that make sense after "made with another"."""
    place = _PLACE if model.get("fingerprint") else _PLACE[:-1]
    return {
        "protocol": protocol.label,
        "protocol's rules": protocol.sha256,
        "list of images": images_sha256(map(images.identity, range(len(images)))),
        "data options": options,
        **{f"model's {key}": value for key, value in model.items() if key not in place},
    }


def _with_bar(rows: Iterator[dict], total: int, left: int, team: Team, progress: bool) -> Iterator[dict]:
    """The rows, with a bar in the main process that goes as if the others were as fast."""
    from tqdm import tqdm

    shown = progress and team.rank == 0
    with tqdm(total=total, initial=total - left, unit="image", disable=None if shown else True) as bar:
        for row in rows:
            yield row
            bar.update(min(team.size, total - bar.n))


def _check_some_scored(rows: list[dict[str, Any]], protocol: Protocol) -> None:
    if any(row["status"] == "scored" for row in rows):
        return
    kinds = {status: [row for row in rows if row["status"] == status] for status in ("empty", "unreadable")}
    told = [f"{len(found)} {status} ({found[0]['reason'].rstrip('.')})" for status, found in kinds.items() if found]
    remedy = "Check the data's folder and options (depth_scale), and the protocol's range and window."
    raise ValueError(
        f"{protocol.name}: none of {len(rows)} images could be scored: {', '.join(told)}."
        f"{f' {unit_problem(rows) or remedy}' if kinds['empty'] else ''}"
    )


def _write(result: Result, output: Path, job: _Job | None) -> None:
    result.save(output)
    if job is not None:
        from .pictures import Extremes

        extremes = Extremes(result.rows, result.protocol, num_labels=result.data.get("classes"))
        for index in extremes.indices:
            extremes.draw(output / "pictures", index, *job.drawn(index), job.adapter.kind)
