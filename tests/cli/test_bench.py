import json
import sys

import pytest

from open_dpt.cli.main import main
from open_dpt.processing.benchmark import suites

TINY = ["--preset", "debug", "--size", "64x64", "--rounds", "1", "--seconds", "0"]


def test_a_run_prints_tables_and_writes_three_files(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ["latency", "size", *TINY, "--dtype", "fp32", "--peers", "transformers", "--output", str(tmp_path / "out")]
    assert main(["bench", *words]) == 0
    out = capsys.readouterr().out
    assert "latency: debug, float32, 64x64, batch 1; products of matrices: " in out
    assert "| transformers | " in out and "| open_dpt " in out
    data = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert data["format"] == 1 and set(data) == {"format", "machine", "cases"}
    assert {"cpu", "cores", "threads", "isa", "torch", "transformers", "date", "git"} <= set(data["machine"])
    assert [case["suite"] for case in data["cases"]] == ["latency", "size"]
    for case in data["cases"]:
        assert {"preset", "dtype", "height", "width", "batch", "gflop", "ceiling_tflops", "rows"} <= set(case)
        for row in case["rows"]:
            assert row["status"] == "timed"
            assert {"candidate", "rounds", "median_ms", "low_ms", "high_ms", "fastest_ms", "cpu_ms"} <= set(row)
            assert {"images_per_second", "times_as_fast", "part_of_ceiling", "difference"} <= set(row)
    text = (tmp_path / "out" / "bench.md").read_text()
    assert "## latency: milliseconds for one image" in text and "| transformers |" in text
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_timed_is_listed_with_its_reason(monkeypatch, capsys):
    absent = suites.Peer("", ("no_such_module_here",), "pip install smp-or-so", ("latency",))
    monkeypatch.setitem(suites.PEERS, "smp", absent)
    assert main(["bench", "latency", *TINY, "--dtype", "fp32", "--peers", "smp"]) == 0
    assert "- smp: missing, no_such_module_here not installed: pip install smp-or-so" in capsys.readouterr().out


def test_loading_and_missing_matplotlib(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    assert (
        main(["bench", "loading", "--preset", "debug", "--peers", "none", "--rounds", "1", "--output", str(tmp_path)])
        == 0
    )
    out, err = capsys.readouterr()
    assert "first read ms" in out and "loading: debug, float32" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]
    assert "bench.png: not drawn, it needs `pip install 'open-dpt[evaluate]'`" in err


def test_without_a_suite_the_standard_selection_runs(monkeypatch, capsys):
    plan = []

    def record(name, **options):
        plan.append((name, options["rounds"], options["device"]))
        return iter(())

    monkeypatch.setattr(suites, "run_suite", record)
    assert main(["bench", "--rounds", "2"]) == 0
    assert plan == [(name, 2, "cpu") for name, _ in suites.STANDARD]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["latncy"], "suite: unknown name 'latncy'. Did you mean latency?"),
        (["latency", "--peers", "openvin"], "peer: unknown name 'openvin'. Did you mean openvino?"),
        (["latency", "--preset", "dpt-huge"], "preset: unknown name 'dpt-huge'. Did you mean "),
        (["size", "--dtype", "float64"], "dtype: unknown name 'float64'. Did you mean float"),
        (["size", "--size", "100x384"], "size: must be multiples of 16 for dpt-base, got 100x384. Nearest: 96x384."),
        (["training", "--peers", "smp"], "peer: smp has no part in training. Choose from transformers."),
        (["latency", "--device", "tpu9"], "--device: "),
    ],
)
def test_bad_requests_are_refused_in_one_line_before_anything_runs(words, told, monkeypatch, capsys):
    monkeypatch.setattr(suites, "run_suite", lambda *args, **options: pytest.fail("ran"))
    assert main(["bench", *words]) == 2
    err = capsys.readouterr().err
    assert told in err and len(err.strip().splitlines()) == 1 and err.startswith("open-dpt bench: ")


@pytest.mark.parametrize("words", [["--size", "0"], ["--batch-size", "1,x"], ["--rounds", "-1"]])
def test_numbers_must_be_numbers(words, capsys):
    with pytest.raises(SystemExit):
        main(["bench", "latency", *words])
    assert "must be" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "there").write_text("")
    assert main(["bench", "latency", "--output", str(tmp_path / "there")]) == 2
    assert "is a file, --output must be a folder" in capsys.readouterr().err


def test_threads_are_set(monkeypatch, capsys):
    import torch

    before = torch.get_num_threads()
    monkeypatch.setattr(suites, "run_suite", lambda *args, **options: iter(()))
    try:
        assert main(["bench", "latency", "--threads", "3"]) == 0
        assert torch.get_num_threads() == 3 and "threads 3" in capsys.readouterr().out
    finally:
        torch.set_num_threads(before)
