"""Our row beside those of the paper, and what keeps it from being compared with them."""

import textwrap
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from .metric_table import METRICS
from .protocol import protocol_names
from .result_files import ResultError
from .results import Result

_WIDTH = 110


def paper_table(result: Result, name: str | None = None) -> str:
    """The table of the paper that the result's protocol belongs to, ours below, as text of several lines.

    Where the paper has no such table, ours stands alone. Lines below say why a comparison would mislead: other rules,
    other images, unreadable ones, or what the sources leave open.

    Args:
        result: Of any protocol.
        name: What to call our row; the name of the model by default.
    """
    remarks = [*_obstacles(result), *_open_questions(result)]
    head, name = f"{result.protocol['label']}: {result.protocol['title']}", name or result.name
    place = _place(result)
    if place is None:
        headings, row = _own_columns(result)
        rest = _wrapped(["The paper has no table of this protocol.", *remarks])
        return "\n".join([head, "", *_grid(["", *headings], [[name, *row]]), "", *rest])
    table, columns = place
    ours = {key: result.metrics.get(column["metric"]) for key, column in columns.items()}
    return "\n".join([head, table["title"], "", *_with_rows(table, columns, {f"{name} (this run)": ours}, remarks)])


def zero_shot_table(results: Sequence[Result]) -> str:
    """Results of zero-shot protocols as rows of table 1 of the paper, one a model, below those of the paper.

    Raises:
        ResultError: a result belongs to no column of that table, or two of one model belong to the same.
    """
    table, ours, remarks = load_tables()[1], {}, []
    for result, name in zip(results, _row_names(results), strict=True):
        label, place = result.protocol["label"], _place(result)
        if place is None or place[0] is not table:
            raise ResultError(f"{label}: belongs to no column of table 1 of the paper. Use a zero-shot protocol.")
        [(key, column)] = place[1].items()
        row = ours.setdefault(f"{name} (this run)", {})
        if key in row:
            raise ResultError(f"{name}: has two results for {key} in table 1. Leave one out.")
        row[key] = result.metrics.get(column["metric"])
        about = f"{name}, {label}: "
        remarks += [about + text for text in (*_obstacles(result), *_open_questions(result))]
    return "\n".join([table["title"], "", *_with_rows(table, table["columns"], ours, remarks)])


def _row_names(results: Sequence[Result]) -> list[str]:
    """Names of the results' models; a number tells those apart that share one and have other weights."""
    # Folders of prediction files have a fingerprint a data set, and no dtype.
    models = [(result.name, result.model.get("dtype") and result.model.get("fingerprint")) for result in results]
    sharing = {name: [model for model in dict.fromkeys(models) if model[0] == name] for name, _ in models}
    return [
        name if len(sharing[name]) == 1 else f"{name} ({sharing[name].index((name, weights)) + 1})"
        for name, weights in models
    ]


@lru_cache
def load_tables() -> dict[int, dict[str, Any]]:
    """Number of a table in the paper -> title, columns, rows, remarks; see paper_tables.yaml."""
    import yaml

    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))


def _place(result: Result) -> tuple[dict, dict] | None:
    """Table and columns of the paper that the protocol names; None where it names none."""
    place = result.protocol.get("paper")
    if not place:
        return None
    table = load_tables().get(place.get("table"))
    if table is None or place.get("column", "") not in ("", *table["columns"]):
        raise ResultError(
            f"{result.protocol['label']}: paper must name a table of the paper and its column, got {place}."
        )
    if "column" in place:
        return table, {place["column"]: table["columns"][place["column"]]}
    return table, table["columns"]


def _with_rows(table: dict, columns: dict, ours: dict[str, dict], remarks: Iterable[str]) -> list[str]:
    notes, rows = [], []
    for row in table["rows"]:
        cells = [row["name"]]
        for key, column in columns.items():
            cells.append(f"{row['values'][key]:.{column['decimals']}f}")
            if key in row.get("notes", {}):
                notes.append(f"[{len(notes) + 1}] {row['notes'][key]}.")
                cells[-1] += f" [{len(notes)}]"
        rows.append(cells)
    rows += [[name, *(_our_cell(values.get(key), columns[key]) for key in columns)] for name, values in ours.items()]
    grid = _grid(["", *(column["heading"] for column in columns.values())], rows)
    return [*grid, "", *_wrapped([*notes, *table.get("remarks", []), *remarks])]


def _our_cell(value: float | None, column: dict) -> str:
    return "-" if value is None else f"{METRICS[column['metric']].factor * value:.{column['decimals']}f}"


def _own_columns(result: Result) -> tuple[list[str], list[str]]:
    names = [name for name in result.protocol["metrics"] if name in result.metrics]
    return [METRICS[name].heading for name in names], [METRICS[name].text(result.metrics[name]) for name in names]


def _obstacles(result: Result) -> list[str]:
    """Why numbers of the paper may not be set against these."""
    protocol, data, counted, found = result.protocol, result.data, result.counts, []
    if protocol.get("paper") and protocol.get("name") not in protocol_names():
        found.append("the protocol is one of your own")
    if protocol.get("changes"):
        found.append("rules were changed: " + protocol["label"].partition(" with ")[2])
    used, expected = data.get("used"), data.get("expected")
    if expected is not None and used != expected:
        found.append(f"{used} of {expected} images")
    elif expected is None and data.get("listed") not in (None, used):
        found.append(f"{used} of {data['listed']} images")
    if counted.get("unreadable"):
        found.append(f"{counted['unreadable']} images were unreadable")
    if not found:
        return []
    against = "with the paper" if protocol.get("paper") else "with results of the whole protocol"
    return [f"NOT COMPARABLE {against}: {'; '.join(found)}."]


def _open_questions(result: Result) -> list[str]:
    found = []
    if result.counts.get("empty"):
        found.append(f"{result.counts['empty']} images have no pixel that counts; they are left out.")
    if result.protocol.get("paper") and result.model.get("uses_protocol_inference") is False:
        found.append("Network size and flip are those of the model or program, not the protocol's.")
    if text := result.protocol.get("unconfirmed"):
        found.append(f"Open: {' '.join(text.split())}")
    return found


def _grid(head: list[str], rows: list[list[str]]) -> list[str]:
    """Lines with the first column to the left, the others to the right; a rule below the head."""
    marked = {index for row in rows for index, cell in enumerate(row) if cell.endswith("]")}
    rows = [
        [cell + " " * 4 if index in marked and not cell.endswith("]") else cell for index, cell in enumerate(row)]
        for row in rows
    ]
    widths = [max(len(row[index]) for row in (head, *rows)) for index in range(len(head))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in (head, *rows)
    ]
    return [lines[0].rstrip(), "-" * len(lines[0]), *(line.rstrip() for line in lines[1:])]


def _wrapped(remarks: Iterable[str]) -> list[str]:
    return [
        line
        for text in remarks
        for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    ]
