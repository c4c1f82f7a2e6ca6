"""Protocols: what a file must hold, what a change does to name and hash, and that no rule changes by itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from open_dpt.evaluation.protocol import Protocol, ProtocolError, load_protocol, protocol_names, protocol_titles

# A line each: name, version, hash. To change a rule, raise the version in the YAML and put the new line here.
PINNED = dict(
    ((name, int(version)), sha256)
    for name, version, sha256 in (
        line.split() for line in Path(__file__).with_name("protocol_hashes.txt").read_text().splitlines()
    )
)


@pytest.mark.parametrize("name", protocol_names())
def test_rules_do_not_change_without_a_new_version(name):
    protocol = load_protocol(name)
    assert PINNED.get((name, protocol.version)) == protocol.sha256


@pytest.mark.parametrize("name", protocol_names())
def test_a_file_is_named_as_its_protocol_and_survives_json(name):
    protocol = load_protocol(name)
    assert protocol.name == name
    assert Protocol.from_dict(protocol.to_dict()) == protocol
    assert protocol.label == f"{name} v{protocol.version}"


@pytest.mark.parametrize("name", protocol_names())
def test_a_protocol_that_facts_leave_open_names_the_other_reading(name):
    words = (load_protocol(name).unconfirmed or "").replace(",", " ").replace(".", " ").replace(";", " ").split()
    assert not words or {*words} & {*protocol_names()} - {name}


def test_rules_of_the_papers_tables():
    nyu, kitti = load_protocol("nyu-eigen"), load_protocol("kitti-eigen-garg")
    assert (nyu.score.window, nyu.score.truth_range, nyu.quantisation.scale) == ("eigen", (0.001, 10.0), 1000)
    assert (kitti.score.window, kitti.score.grid, kitti.quantisation.scale) == ("garg", "image", 256)
    assert (nyu.inference.size, kitti.inference.size) == ((480, 640), (352, 1216))
    assert not nyu.inference.flip and nyu.inference.output_resize == "bicubic"
    assert load_protocol("kitti-eigen-garg-kbcrop").score.grid == "crop"


def test_words_change_no_hash_and_rules_do():
    protocol = load_protocol("nyu-eigen")
    values = protocol.to_dict()
    assert Protocol.from_dict(values | {"title": "other", "name": "mine", "paper": None}).sha256 == protocol.sha256
    for changes in ({"alignment": "median"}, {"inference.flip": True}, {"score.truth_range": [0.1, 10]}):
        assert protocol.with_changes(changes).sha256 != protocol.sha256


def test_changes_are_told_by_the_label_and_equal_rules_have_equal_hashes():
    protocol = load_protocol("nyu-eigen")
    changed = protocol.with_changes({"alignment": "median", "score.truth_range": [0.001, 8]})
    assert changed.label == "nyu-eigen v1 with alignment=median, score.truth_range=[0.001, 8]"
    assert changed.score.truth_range == (0.001, 8.0)
    assert protocol.with_changes({"score.window": "eigen"}) == protocol
    adabins = {"inference.flip": True, "inference.output_resize": "bilinear-corners", "quantisation": None}
    assert protocol.with_changes(adabins).sha256 == load_protocol("nyu-eigen-adabins").sha256


def test_changes_add_up_and_are_kept():
    twice = load_protocol("nyu-eigen").with_changes({"inference.flip": True}).with_changes({"quantisation": None})
    assert twice.changes == {"inference.flip": True, "quantisation": None}
    assert Protocol.from_dict(twice.to_dict()) == twice


def test_another_split_has_another_number_of_images():
    assert load_protocol("kitti-eigen-garg").data.images == 652
    assert load_protocol("kitti-eigen-garg").with_changes({"data.split": "test-161"}).data.images is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score.windw": "garg"}, "nyu-eigen: score.windw is no key of a protocol. Did you mean 'score.window'?"),
        ({"score.window": "eigenn"}, "score.window must be one of none, eigen, garg, got 'eigenn'. Did you mean 'eig"),
        ({"title": "mine"}, "title describes the protocol"),
        ({"data.dataset": "nyu"}, "data.dataset must be a known data set, got 'nyu'"),
        ({"data.split": "val"}, "data.split must be one of train, test, official-train, all, got 'val'"),
        ({"data.options.depth": "raw"}, "data.options.depth is no option of nyuv2-bts"),
        ({"alignment": "least-squares-disparity", "score.prediction_range": [0.1, None]}, "needs a largest value"),
        ({"score.prediction_range": [None, None]}, "needs a least value above 0"),
        ({"quantisation.scale": 0}, "quantisation.scale must be a number above 0, got 0"),
        ({"quantisation": 1000}, "quantisation must be a mapping, got 1000"),
        ({"inference.size": 384}, "inference.size must be .height, width. in pixels, or null, got 384"),
        ({"inference.flip": 1}, "inference.flip must be true or false, got 1"),
        ({"score.truth_range": [10, 1]}, "0 <= least < largest"),
        ({"score.truth_range": "1e-3"}, "got '1e-3'"),
    ],
)
def test_changes_that_cannot_be(changes, message):
    with pytest.raises(ProtocolError, match=message.replace("?", r"\?")):
        load_protocol("nyu-eigen").with_changes(changes)


def test_a_name_that_is_nearly_right():
    with pytest.raises(ProtocolError, match=r"nothing is called 'nyu-eign'\. Did you mean 'nyu-eigen'"):
        load_protocol("nyu-eign")


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("extends: kitti-eigen-garg\nname: mine\nversion: 2\ntitle: short range\nscore: {window: none}\n")
    protocol = load_protocol(path)
    assert (protocol.label, protocol.score.window, protocol.score.truth_range) == ("mine v2", "none", (0.001, 80.0))


def test_titles_are_those_of_the_protocols():
    loaded = [load_protocol(name) for name in protocol_names()]
    assert protocol_titles() == {protocol.label: protocol.title for protocol in loaded}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("extends: nyu-eigen\nname: mine\ntitle: mine\n", "version is missing"),
        ("extends: nyu-eigen\nname: mine\nversion: 1\ntitle: m\nmetrics: [delta9]\n", "metrics must be among.*delta9"),
        ("extends: nyu-eigen\nalignment: median\n", r"mine\.yaml: name is missing\. State it, it is not taken from"),
        (
            "extends: nyu-eigen\nname: nyu-eigen\nversion: 1\ntitle: m\nalignment: median\n",
            "name must be a new one for new rules, got 'nyu-eigen'",
        ),
        ("extends: mine\nname: mine\n", "extends itself"),
        ("extends: not-there\n", "not-there.yaml: cannot be read"),
        ("- 1\n", "must hold `key: value` lines, got list"),
        ("a: [\n", "not YAML"),
        ("extends: nyu-eigen\nname: m\nversion: 1\ntitle: m\ntask: ordinal\n", "score.averaging is no key"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, content, message):
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(ProtocolError, match=message) as error:
        load_protocol(tmp_path / "mine.yaml")
    assert "\n" not in str(error.value)


def test_protocols_are_listed_without_loading_torch():
    code = (
        "import sys; from open_dpt.evaluation.protocol import load_protocol; load_protocol('nyu-eigen').sha256; "
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
