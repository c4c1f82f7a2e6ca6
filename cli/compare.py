"""`open-dpt compare`: which differences between results are more than chance?"""

import argparse
import json
import sys
from pathlib import Path

from .messages import RequestError
from .options import positive

SUMMARY = "results side by side, with intervals and which differences are real"
DESCRIPTION = """Compare results of `open-dpt evaluate` with the first of them.

Every number gets the 95 % interval of a paired bootstrap: the same images are drawn again with replacement for all
results. A difference counts as resolved where its interval leaves out 0. Results of different protocols or lists of
images are refused.

  open-dpt compare runs/large runs/hybrid --output comparison/    comparison.md, .json and .png
  open-dpt compare runs/diw runs/kitti runs/nyu --table-1         a row as table 1 of the paper has it"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", metavar="RESULT", help="result.json, or the folder that holds it")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="also write comparison.md, comparison.json and .png"
    )
    parser.add_argument(
        "--names", metavar="A,B...", help="what to call the results (default: the names of the models)"
    )
    parser.add_argument(
        "--allow-different",
        action="store_true",
        help="compare although protocols or images differ; the table is marked",
    )
    parser.add_argument(
        "--resamples", type=positive, default=10_000, metavar="N", help="draws of the bootstrap (default: %(default)s)"
    )
    parser.add_argument(
        "--by",
        choices=("image", "scene"),
        default="image",
        help="what is drawn: scenes where images of one scene are much alike (default: image)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (default: 0)")
    parser.add_argument(
        "--table-1", action="store_true", help="instead: print zero-shot results as rows of table 1 of the paper"
    )


def run(arguments: argparse.Namespace) -> int:
    from ..evaluation.results import Result

    if arguments.table_1:
        from ..evaluation.paper_tables import zero_shot_table

        print(zero_shot_table([Result.load(path, rows=False) for path in arguments.results]))
        return 0
    if len(arguments.results) < 2:
        raise RequestError(f"{arguments.results[0]}: is one result, a comparison needs two or more. Name another.")
    names = _names(arguments)
    if arguments.output is not None and arguments.output.is_file():
        raise RequestError(f"{arguments.output}: is a file, --output must be a folder.")

    from ..evaluation.comparison import compare
    from ..evaluation.comparison_report import markdown

    results = [Result.load(path) for path in arguments.results]
    comparison = compare(
        results,
        names or _distinct_names(results, arguments.results),
        allow_different=arguments.allow_different,
        resamples=arguments.resamples,
        by=arguments.by,
        seed=arguments.seed,
    )
    text = markdown(comparison)
    print(text, end="")
    if arguments.output is not None:
        _write(arguments.output, comparison, text)
    return 0


def _names(arguments: argparse.Namespace) -> list[str] | None:
    if arguments.names is None:
        return None
    names = [name.strip() for name in arguments.names.split(",")]
    if len(names) != len(arguments.results) or not all(names) or len(set(names)) < len(names):
        raise RequestError(
            f"--names: must be {len(arguments.results)} different names with commas between, got {arguments.names!r}."
        )
    return names


def _distinct_names(results: list, paths: list[str]) -> list[str]:
    """The models' names, or where two share one, those of the folders."""
    names = [result.name for result in results]
    if len(set(names)) == len(names):
        return names
    folders = [Path(path).absolute() for path in paths]
    folders = [folder.parent if folder.suffix == ".json" else folder for folder in folders]
    return [folder.name for folder in folders]


def _write(folder: Path, comparison, text: str) -> None:
    from ..evaluation.comparison_report import draw
    from ..processing.writers import atomic_write

    folder.mkdir(parents=True, exist_ok=True)
    files = {"comparison.md": text, "comparison.json": json.dumps(comparison.to_dict(), indent=1) + "\n"}
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(content.encode())
    try:
        draw(comparison, folder / "comparison.png")
        written = [*files, "comparison.png"]
    except ImportError as error:
        print(f"comparison.png: not drawn. {error}", file=sys.stderr)
        written = list(files)
    print(f"{folder}: wrote {', '.join(written)}", file=sys.stderr)
