"""What docs/data.md says exists: names, splits, options, commands; its first example runs."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from open_dpt.cli.main import main
from open_dpt.data import DATASETS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
COMMANDS = re.findall(r"^open-dpt .*$", DOCUMENT, re.MULTILINE)


def test_every_call_names_what_exists():
    calls = [
        node
        for block in PYTHON
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "load_data"
    ]
    assert len(calls) >= 5
    for call in calls:
        info = DATASETS[call.args[0].value]
        assert not info.splits or call.args[2].value in info.splits
        assert {keyword.arg for keyword in call.keywords} <= {*info.options, "streaming"}, ast.unparse(call)


def test_every_command_names_what_exists(capsys):
    assert len(COMMANDS) >= 9
    for line in COMMANDS:
        words = line.split("#")[0].split()
        info = DATASETS[words[words.index("--dataset") + 1]]
        if "--split" in words and info.splits:
            assert words[words.index("--split") + 1] in info.splits, line
        assert {option for option in re.findall(r"--option '?(\w+)=", line)} <= set(info.options), line
        with pytest.raises(SystemExit) as exit_:
            main([*words[1:], "--help"])
        assert exit_.value.code == 0, line


def test_every_data_set_and_option_of_a_folder_is_described():
    missing = [name for name in DATASETS if not re.search(rf'[`" ]{name}[`" ]', DOCUMENT)]
    assert not missing
    for option in DATASETS["folder"].options:
        assert f"`{option}" in DOCUMENT, option


def test_the_first_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "depths"):
        (tmp_path / "my_scans" / "train" / "kitchen" / folder).mkdir(parents=True)
    scene = tmp_path / "my_scans" / "train" / "kitchen"
    Image.new("RGB", (64, 48)).save(scene / "images" / "0001.jpg")
    Image.fromarray(np.full((48, 64), 1500, np.uint16)).save(scene / "depths" / "0001.png")
    scope = {}
    exec(PYTHON[0], scope)
    assert scope["sample"]["depth"].unique().tolist() == [1.5] and scope["sample"]["scene"] == "kitchen"
