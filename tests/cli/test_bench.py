import json
import sys

import pytest

from open_dpt.cli.main import _parser, main
from open_dpt.processing.benchmark import suites


def _case(name):
    row = {"candidate": "open_dpt", "status": "failed", "reason": "for a test"}
    shape = {"preset": "debug", "dtype": "float32", "height": None, "width": None, "batch": None}
    return {"suite": name, **shape, "gflop": None, "ceiling": None, "ceiling_tflops": None, "rows": [row]}


TINY = ["--preset", "debug", "--size", "64x64", "--rounds", "1", "--seconds", "0"]


def test_a_run_prints_tables_and_writes_three_files(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    words = ["latency", "size", *TINY, "--dtype", "fp32", "--peers", "transformers", "--output", str(tmp_path / "out")]
    assert main(["bench", *words]) == 0
    out = capsys.readouterr().out
    assert "### latency: debug, float32, 64x64, batch 1\n\nneeded: 0." in out and "GFLOP; ceiling: " in out
    assert "| transformers | " in out and "| open_dpt " in out
    ratios = out.partition("## open_dpt is so many times as fast, by the clock (by CPU)\n\n")[2]
    *ratios, total = ratios.strip().split("\n\n")
    for suite, table in zip(("latency", "size"), ratios, strict=True):
        head, _, row = table.splitlines()
        assert head.startswith(f"| {suite} ") and head.endswith("| transformers |")
        assert row.startswith("| debug, float32, 64x64, batch 1 | ")
    assert total.startswith("2 cases, ") and total.endswith(" s")
    data = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert data["format"] == 1 and set(data) == {"format", "machine", "cases"}
    assert {"cpu", "cores", "threads", "isa", "torch", "transformers", "date", "git"} <= set(data["machine"])
    assert [case["suite"] for case in data["cases"]] == ["latency", "size"]
    for case in data["cases"]:
        assert {
            "preset",
            "dtype",
            "height",
            "width",
            "batch",
            "gflop",
            "ceiling",
            "ceiling_tflops",
            "seconds",
            "rows",
        } <= set(case)
        for row in case["rows"]:
            assert row["status"] == "timed"
            assert {"candidate", "rounds", "median_ms", "low_ms", "high_ms", "fastest_ms", "cpu_ms"} <= set(row)
            assert {"images_per_second", "times_as_fast", "part_of_ceiling", "difference"} <= set(row)
    text = (tmp_path / "out" / "bench.md").read_text()
    assert "## latency: milliseconds for one image" in text and "| transformers |" in text
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_help_calls_all_peers_so(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    text = capsys.readouterr().out
    assert "Peers, each left out" in text and "Others" not in text and "rival" not in text


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
        count = len(suites.list_cases(name, suites.options_for(name, **options)))
        yield from [_case(name) for _ in range(count)]

    monkeypatch.setattr(suites, "run_suite", record)
    assert main(["bench", "--rounds", "2"]) == 0
    out, err = capsys.readouterr()
    total = out.count("### ")
    assert f"[1 of {total}, latency; 0 s so far]" in err and f"[{total} of {total}, " in err
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
        (["latency", "--dtype", ","], "dtype: needs at least one, got none. Choose from float32, "),
        (["latency", "--photos", "4"], "--photos: has no part in latency. Leave it out, or choose folder."),
        (
            ["loading", "training", "--ways", "int8"],
            "--ways: has no part in loading, training. Leave it out, or choose",
        ),
        (["loading", "--dtype", "bf16"], "--dtype: has no part in loading. Leave it out, or choose latency, "),
        (["stream", "--batch-size", "2"], "--batch-size: has no part in stream. Leave it out, or choose latency, "),
        (["latency", "--output", __file__ + "/out"], "not a directory. Choose another place."),
        (["latency", "--seconds", "nan"], "seconds: must be 0 or more, got nan."),
        (["latency", "--device", "tpu9"], "--device: "),
    ],
)
def test_bad_requests_are_refused_in_one_line_before_anything_runs(words, told, monkeypatch, capsys):
    monkeypatch.setattr(suites, "run_suite", lambda *args, **options: pytest.fail("ran"))
    assert main(["bench", *words]) == 2
    err = capsys.readouterr().err
    assert told in err and len(err.strip().splitlines()) == 1 and err.startswith("open-dpt bench: ")


def test_a_folder_is_measured_as_predict_goes_through_it():
    predict = _parser().parse_args(["predict", "photos"])
    assert suites.options_for("folder").batch_sizes == (predict.batch_size,)


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
    monkeypatch.setattr(suites, "run_suite", lambda name, **options: (_case(name) for _ in range(99)))
    try:
        assert main(["bench", "loading", "--threads", "3"]) == 0
        assert torch.get_num_threads() == 3 and "threads 3" in capsys.readouterr().out
    finally:
        torch.set_num_threads(before)


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, monkeypatch, capsys):
    closed = []

    def interrupted(name, **options):
        try:
            yield _case(name)
            raise KeyboardInterrupt
        finally:
            closed.append(True)

    monkeypatch.setattr(suites, "run_suite", interrupted)
    assert main(["bench", "latency", "--output", str(tmp_path)]) == 130
    out, err = capsys.readouterr()
    assert "interrupted; what was measured before is kept" in err and "bench.json" in err and closed
    assert out.strip().splitlines()[-1].startswith("1 cases, ")
    assert len(json.loads((tmp_path / "bench.json").read_text())["cases"]) == 1
