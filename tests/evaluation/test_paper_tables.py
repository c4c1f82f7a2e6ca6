import dataclasses
import re

import pytest

from open_dpt.evaluation.metric_table import METRICS
from open_dpt.evaluation.paper_tables import load_tables, paper_table, zero_shot_table
from open_dpt.evaluation.protocol import load_protocol, protocol_names
from open_dpt.evaluation.results import ResultError, build_result

SCORES = {"depth": {name: 0.5 for name, metric in METRICS.items() if metric.factor == 1}}
SCORES["ordinal"] = {"pairs": 4, "wrong": 1, "ties": 0}
SCORES["segmentation"] = {"confusion": [[0, 0, 3], [0, 1, 1]]}


def make(name, images=2, model="mine", data=None, statuses=(), described=None, **changes):
    protocol = load_protocol(name)
    protocol = protocol.with_changes(changes) if changes else protocol
    scored = {"status": "scored", "pixels": 4} | SCORES[protocol.task]
    rows = [scored | {"index": index, "name": f"{index}.png"} for index in range(images)]
    rows += [{"index": images + index, "name": "x", "status": status} for index, status in enumerate(statuses)]
    return build_result(protocol, rows, {"name": model} | (described or {}), data or {}, class_names=list("abc"))


def row_of(text, name):
    return re.split(r"\s{2,}", next(line for line in text.splitlines() if line.startswith(name)))


def test_table_2_has_the_published_rows_and_ours():
    text = paper_table(make("nyu-eigen", 654))
    published = ["0.904", "0.988", "0.998", "0.109 [1]", "0.054", "0.357", "0.129", "9.521", "0.045"]
    assert row_of(text, "DPT-Hybrid ")[1:] == published
    assert row_of(text, "DPT-Hybrid, newer checkpoint")[-2:] == ["9.427", "0.045"]
    assert row_of(text, "mine (this run)") == ["mine (this run)", *["0.500"] * 9]
    assert "NOT COMPARABLE" not in text


@pytest.mark.parametrize(
    ("protocol", "marked", "note"),
    [
        ("nyu-eigen", "0.109 [1]", "[1] 0.110 in the paper, 0.109 in EVALUATION.md."),
        ("kitti-eigen-garg", "2.575 [1]", "[1] 2.573 in the paper, 2.575 in EVALUATION.md."),
        ("zero-shot-diw", "12.46 [1]", "[1] 12.27 in table 9 of the paper of MiDaS"),
    ],
)
def test_both_values_where_sources_differ(protocol, marked, note):
    text = paper_table(make(protocol))
    assert marked in text and note in text


def test_table_1_has_one_column_a_protocol():
    text = paper_table(make("zero-shot-kitti", 161))
    assert row_of(text, "DPT-Large, MIX 6")[1:] == ["8.46"]
    assert row_of(text, "mine (this run)")[1:] == ["0.50"]  # already in percent
    text = paper_table(make("zero-shot-diw"))
    assert row_of(text, "DPT-Hybrid, MIX 6")[1:2] == ["11.06"]
    assert row_of(text, "mine (this run)")[1:] == ["25.00"]  # of a fraction


def test_segmentation_is_printed_in_percent():
    text = paper_table(make("ade20k", 2000))
    assert row_of(text, "DPT-Large")[1:] == ["82.70", "47.63"]
    assert row_of(text, "mine (this run)")[1:] == ["75.00", f"{100 * 0.75 / 150:.2f}"]


def test_a_whole_row_of_table_1():
    sets = [make("zero-shot-diw"), make("zero-shot-kitti", 161), make("zero-shot-tum", 1815)]
    text = zero_shot_table([*sets, make("zero-shot-kitti", 161, model="other")])
    assert row_of(text, "DPT-Large, MIX 6")[1:] == ["10.82", "0.089", "0.270", "8.46", "8.32", "9.97"]
    assert row_of(text, "mine (this run)")[1:] == ["25.00", "-", "-", "0.50", "-", "0.50"]
    assert row_of(text, "other (this run)")[1:] == ["-", "-", "-", "0.50", "-", "-"]
    assert "mine, zero-shot-diw v1: NOT COMPARABLE with the paper: 2 of 74441 images." in text
    assert "zero-shot-kitti v1: NOT" not in text


def test_models_of_one_name_have_rows_of_their_own():
    def one(protocol, weights):
        return make(protocol, described={"dtype": "float32", "fingerprint": weights})

    text = zero_shot_table([one("zero-shot-nyu", "a"), one("zero-shot-tum", "a"), one("zero-shot-nyu", "b")])
    assert row_of(text, "mine (1) (this run)")[-3:] == ["-", "0.50", "0.50"]
    assert row_of(text, "mine (2) (this run)")[-3:] == ["-", "0.50", "-"]
    files = [make(name, described={"fingerprint": name}) for name in ("zero-shot-nyu", "zero-shot-tum")]
    assert row_of(zero_shot_table(files), "mine (this run)")[-2:] == ["0.50", "0.50"]


def test_rules_of_ones_own_are_not_those_behind_the_papers_numbers(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: nyu-eigen\nname: mine\nversion: 1\ntitle: m\nalignment: median\ndata: {images: null}\n")
    text = paper_table(make(path))
    assert "NOT COMPARABLE with the paper: the protocol is one of your own." in text


def test_table_1_refuses_what_does_not_belong():
    with pytest.raises(ResultError, match="nyu-eigen v1: belongs to no column of table 1"):
        zero_shot_table([make("nyu-eigen")])
    with pytest.raises(ResultError, match="mine: has two results for NYU"):
        zero_shot_table([make("zero-shot-nyu"), make("zero-shot-nyu-long384")])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": 2}, "NOT COMPARABLE with the paper: 2 of 654 images."),
        (
            {"images": 654, "alignment": "median"},
            "NOT COMPARABLE with the paper: rules were changed: alignment=median.",
        ),
        (
            {"images": 653, "statuses": ["unreadable"]},
            "NOT COMPARABLE with the paper: 1 images were unreadable.",
        ),
        ({"images": 653, "statuses": ["empty"]}, "1 images have no pixel that counts; they are left out."),
        (
            {"images": 654, "described": {"uses_protocol_inference": False}},
            "Network size and flip are those of the model or program, not the protocol's.",
        ),
    ],
)
def test_what_a_reader_must_know(options, said):
    assert said in paper_table(make("nyu-eigen", **options))
    assert said not in paper_table(make("nyu-eigen", 654))


def test_empty_images_alone_do_not_forbid_a_comparison():
    assert "NOT COMPARABLE" not in paper_table(make("zero-shot-sintel", 1045, statuses=["empty"] * 19))


def test_what_the_sources_leave_open_is_told():
    assert "Open: Table 4 of the paper was made with" in paper_table(make("ade20k"))


def test_a_protocol_without_a_table_prints_its_own_metrics():
    text = paper_table(make("own-folder", 3, data={"listed": 9}), "my model")
    assert row_of(text, "my model")[1:] == ["0.500"] * 9
    assert "The paper has no table of this protocol." in text
    assert "NOT COMPARABLE with results of the whole protocol: 3 of 9 images." in text
    assert "NOT COMPARABLE" not in paper_table(make("own-folder", 3, data={"listed": 3}))


def test_every_protocol_prints():
    for name in protocol_names():
        assert "mine" in paper_table(make(name)), name


def test_a_protocol_of_your_own_with_a_wrong_table_is_told():
    result = make("nyu-eigen")
    for paper in ({"table": 12}, {"table": 1, "column": "Moon"}):
        wrong = dataclasses.replace(result, protocol=result.protocol | {"paper": paper})
        with pytest.raises(ResultError, match="paper must name a table of the paper and its column"):
            paper_table(wrong)


def test_the_tables_are_whole():
    tables = load_tables()
    assert sorted(tables) == [1, 2, 3, 4, 5]
    for table in tables.values():
        for row in table["rows"]:
            assert set(row["values"]) == set(table["columns"]) >= set(row.get("notes", {}))
        assert {column["metric"] for column in table["columns"].values()} <= set(METRICS)
