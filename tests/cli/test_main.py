"""The command as a whole: quick to answer, one line per error."""

import os
import subprocess
import sys

import pytest

from open_dpt import __version__
from open_dpt.cli.main import main


def test_help_of_every_command_loads_no_torch():
    code = (
        "import sys, contextlib\n"
        "from open_dpt.cli.main import main\n"
        "for command in ['predict', 'segment', 'convert', 'info', 'doctor', 'align', 'data', 'evaluate', 'bench']:\n"
        "    with contextlib.suppress(SystemExit): main([command, '--help'])\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("usage: open-dpt") == 9


def test_version(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"open-dpt {__version__}\n"


def test_an_error_is_one_line_and_debug_shows_its_origin(capsys):
    assert main(["predict", "missing.jpg"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "open-dpt predict: missing.jpg: does not exist. Name an image, a folder, or a quoted pattern such as '*.jpg'."
    ]
    with pytest.raises(ValueError, match=r"missing\.jpg"):
        main(["predict", "missing.jpg", "--debug"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "png16,jpg"], "unknown format 'jpg'; choose from png16, color, side-by-side, npy, npz, pfm"),
        (["--batch-size", "0"], "must be 1 or more, got 0"),
        (["--image-size", "1x2x3"], "must be one number or HEIGHTxWIDTH, got 1x2x3"),
        (["--image-size", "384x"], "must be one number or HEIGHTxWIDTH, got 384x"),
        (["--dtype", "int4"], "invalid choice: 'int4'"),
    ],
)
def test_bad_options_are_named(capsys, options, message):
    with pytest.raises(SystemExit) as exit_:
        main(["predict", "a.jpg", *options])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_unexpected_errors_are_one_line_too(capsys, monkeypatch):
    def fail(arguments):
        raise KeyError("inner\ndetail")

    monkeypatch.setattr("open_dpt.cli.info.run", fail)
    assert main(["info"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "unexpected KeyError" in error and "--debug" in error


def test_interrupt_is_told_without_a_traceback(capsys, monkeypatch):
    def interrupt(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("open_dpt.cli.info.run", interrupt)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "\nopen-dpt info: interrupted\n"


def test_memory_comes_in_huge_pages_unless_the_user_says_otherwise(monkeypatch):
    for given, taken in ((None, "1"), ("0", "0")):
        monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
        if given:
            monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", given)
        main(["predict", "missing.jpg"])
        assert os.environ["THP_MEM_ALLOC_ENABLE"] == taken
