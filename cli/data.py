"""`open-dpt data check`: what a data set holds, and what is wrong with it."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from .options import key_value, positive

SUMMARY = "check a data set before training on it"
DESCRIPTION = """Data sets, where they lie on disk.

`open-dpt data check DIR --dataset NAME` opens every file, prints counts, sizes and ranges, names missing, unreadable
and mismatched files and likely mistakes, and draws a contact sheet. The exit status is 1 if there is any."""

_BAR = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from ..data.registry import DATASETS

    width = max(map(len, DATASETS))
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="open every file, report, draw a contact sheet",
        description=DESCRIPTION,
        epilog="data sets:\n" + "\n".join(f"  {name:{width}}  {info.title}" for name, info in DATASETS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("root", metavar="DIR", help="folder of the data set; the table of a manifest; a hub id")
    check.add_argument("--dataset", required=True, choices=list(DATASETS), metavar="NAME", help="one of those below")
    check.add_argument("--split", help="default: train, or the first that it has")
    check.add_argument(
        "--option",
        action="append",
        type=key_value,
        default=[],
        metavar="KEY=VALUE",
        help="of the data set, as load_data takes it, such as depth_scale=1000; may be repeated",
    )
    check.add_argument("--samples", type=positive, default=6, metavar="N", help="on the contact sheet (default: 6)")
    check.add_argument("--output", type=Path, metavar="SHEET.png", help="default: open_dpt_output/NAME_SPLIT.png")
    check.add_argument("--limit", type=positive, metavar="N", help="open only N rows, evenly spaced")
    check.add_argument("--workers", type=positive, metavar="N", help="threads (default: one a core, at most 8)")
    check.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..data.check import check_rows
    from ..data.layout import MissingFilesWarning
    from ..data.registry import DATASETS, class_names, load_data
    from ..data.samples import raw_rows, spread

    info = DATASETS[arguments.dataset]
    split = arguments.split or next(iter(info.splits), "train")
    options = dict(arguments.option)
    if "missing" in info.options:
        options.setdefault("missing", "skip")  # all of them are to be named
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        rows = raw_rows(load_data(arguments.dataset, arguments.root, split, **options))
    names = class_names(arguments.dataset, arguments.root, **options)

    selected = spread(len(rows), arguments.limit)
    with tqdm(total=len(selected), unit="sample", disable=None) as progress:
        report = check_rows(
            rows, names, limit=arguments.limit, workers=arguments.workers, on_sample=lambda _: progress.update()
        )
    for warning in caught:
        if isinstance(warning.message, MissingFilesWarning):
            report.problems += [f"missing, or without a partner: {path}" for path in warning.message.files]
        elif issubclass(warning.category, UserWarning):
            report.notes.append(str(warning.message))
    place = Path(arguments.root).resolve().name
    heading = f"{place} ({arguments.dataset}, {split}): {len(rows):,} rows, {len(report.measured):,} opened"
    print(heading)
    _print_contents(report)
    sheet = _draw(arguments, rows, report, heading, split)
    print(f"{'sheet':<11}{sheet or 'none: no sample can be read'}")
    for note in report.notes:
        print(f"note: {note}")
    for problem in report.problems:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if report.problems else 0


def _print_contents(report: Any) -> None:
    usable = report.usable
    if not usable:
        return
    lines = {"image": _sizes(usable), "scenes": _scenes(usable)}
    cameras = sum(each.has_intrinsics for each in usable)
    lines["intrinsics"] = f"known for {cameras:,} of {len(usable):,}" if cameras else ""
    for kind, unit in (("depth", " m"), ("disparity", "")):
        found = [each for each in usable if each.kind == kind and each.depth]
        if found:
            lowest, highest = min(each.depth[0] for each in found), max(each.depth[2] for each in found)
            medians = sorted(each.depth[1] for each in found)
            lines[kind] = (
                f"{lowest:.3g} to {highest:.3g}{unit}, median {medians[len(medians) // 2]:.3g}{unit} "
                f"(of an image {medians[0]:.3g} to {medians[-1]:.3g})"
            )
    if known := [each for each in usable if each.valid is not None]:
        least = min(known, key=lambda each: each.valid)
        mean = sum(each.valid for each in known) / len(known)
        lines["valid"] = f"{mean:.1%} of the pixels; least {least.valid:.1%} in {least.name}"
    for name, text in lines.items():
        if text:
            print(f"{name:<11}{text}")
    _print_labels(report)


def _sizes(usable: list[Any]) -> str:
    """The most frequent sizes, width first as people say them."""
    counts: dict[str, int] = {}
    for each in usable:
        name = f"{each.size[1]} x {each.size[0]}"
        counts[name] = counts.get(name, 0) + 1
    return _most(counts, "sizes")


def _scenes(usable: list[Any]) -> str:
    counts: dict[str, int] = {}
    for each in usable:
        if each.scene is not None:
            counts[each.scene] = counts.get(each.scene, 0) + 1
    return _most(counts, "scenes")


def _most(counts: dict[str, int], what: str, shown: int = 4) -> str:
    if len(counts) == 1:
        return next(iter(counts))
    order = sorted(counts.items(), key=lambda item: -item[1])
    more = f", and {len(counts) - shown:,} more {what}" if len(counts) > shown else ""
    return ", ".join(f"{name} ({count:,})" for name, count in order[:shown]) + more


def _print_labels(report: Any) -> None:
    from ..data.label_rules import IGNORED

    counts = report.label_counts
    total = sum(counts.values())
    if not total:
        return
    ids = sorted(set(counts) - {IGNORED})
    print(f"{'labels':<11}{len(ids)} ids occur, {counts[IGNORED] / total:.1%} of the pixels are ignored")
    highest = max(counts[number] for number in ids) if ids else 1
    width = max((len(name) for name in report.class_names), default=0)
    for number in ids:
        name = report.class_names[number] if number < len(report.class_names) else ""
        bar = "#" * round(counts[number] / highest * _BAR)
        print(f"{number:>6}  {name:<{width}}  {counts[number] / total:>6.1%}  {bar}".rstrip())


def _draw(arguments: argparse.Namespace, rows: Any, report: Any, heading: str, split: str) -> Path | None:
    from ..data.contact_sheet import draw_contact_sheet
    from ..data.samples import read_sample, spread
    from ..processing.writers import write_image

    usable = report.usable
    if not usable:
        return None
    chosen = [usable[place].index for place in spread(len(usable), arguments.samples)]
    samples = [read_sample(rows[index]) for index in chosen]
    path = arguments.output or Path("open_dpt_output") / f"{arguments.dataset}_{split}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, draw_contact_sheet(samples, title=heading, class_names=report.class_names))
    return path
