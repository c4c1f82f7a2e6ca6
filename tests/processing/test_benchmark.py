"""How candidates are compared and timed; no test here depends on how fast anything is."""

import json
import time
import types
from importlib.metadata import version

import pytest
import torch

from open_dpt.processing import dtypes
from open_dpt.processing.benchmark import folder, machine, measure, suites, timing
from open_dpt.processing.benchmark.checkpoints import needed_flop
from open_dpt.processing.benchmark.machine import ceilings, describe_machine
from open_dpt.processing.benchmark.measure import Reference, Work, compare_and_time, count_flop, reference_for
from open_dpt.processing.benchmark.report import write_report
from open_dpt.processing.benchmark.suites import Options, Peer, options_for
from open_dpt.processing.benchmark.timing import Times, extra_memory, take_turns


def _work(value: float, calls: list | None = None, name: str = "") -> Work:
    def run(number: int = 0) -> torch.Tensor:
        if calls is not None:
            calls.append((name, number))
        return torch.tensor([1.0, 2.0, value])

    return Work(run, run)


def _compare(works: dict, tolerance: float = 1e-5) -> dict[str, dict]:
    reference = Reference(torch.tensor([1.0, 2.0, 3.0]), tolerance)
    given = {name: (lambda work=work: work) for name, work in works.items()}
    result = compare_and_time(given, reference, Options(rounds=3), dtype=torch.float32, images=2, warm_up=0)
    return {row["candidate"]: row for row in result["rows"]}


def test_candidates_take_turns_after_a_warm_up():
    calls = []
    runs = {name: lambda number, name=name: calls.append((name, number)) for name in "ABC"}
    times, failed = take_turns(runs, rounds=2, seconds=60, warm_up=1)
    assert calls == [(name, number) for number in (-1, 0, 1) for name in "ABC"]
    assert [len(times[name].wall) for name in "ABC"] == [2, 2, 2] and not failed


@pytest.mark.parametrize(("rounds", "seconds", "taken"), [(9, 0.0, 3), (2, 0.0, 2), (5, 60.0, 5)])
def test_time_ends_the_rounds_but_never_before_three(rounds, seconds, taken):
    assert len(take_turns({"A": lambda _: None}, rounds=rounds, seconds=seconds)[0]["A"].wall) == taken


def test_times_are_told_by_median_and_quartiles_and_compared_round_by_round():
    slow, fast = Times((2.0, 4.0, 30.0), (1.0, 1.0, 7.0)), Times((1.0, 4.0, 10.0), (1.0, 1.0, 1.0))
    assert slow.summary() == {
        "rounds": 3,
        "median_ms": 4000.0,
        "low_ms": 3000.0,
        "high_ms": 17000.0,
        "fastest_ms": 2000.0,
        "cpu_ms": 1000.0,
    }
    # By the clock of 2, 1 and 3, where medians alone would say 1; of the processors 1, 1, 7.
    assert fast.compared_with(slow) == {"times_as_fast": 2.0, "times_as_fast_cpu": 1.0}


def test_time_by_the_clock_and_by_the_processor():
    times = take_turns({"sleeps": lambda _: time.sleep(0.02)}, rounds=1, seconds=1, warm_up=0)[0]["sleeps"]
    assert times.wall[0] >= 0.02 > times.cpu[0]


def test_memory_needed_beyond_what_is_held():
    held = torch.ones(4_000_000)
    needed = extra_memory(lambda: (held + 1).sum())
    if needed is None:
        pytest.skip("this system does not tell the peak of a process")
    assert 15e6 < needed < 40e6


def test_a_candidate_that_answers_something_else_is_reported_and_never_timed():
    calls = []
    rows = _compare({"right": _work(3.0), "wrong": _work(3.1, calls, "wrong"), "nan": _work(float("nan"))})
    assert rows["right"]["status"] == "timed" and rows["right"]["median_ms"] > 0
    assert rows["wrong"]["status"] == "differs" and "3.3e-02" in rows["wrong"]["reason"]
    assert rows["wrong"]["difference"] == pytest.approx(0.1 / 3, rel=1e-3)
    assert "median_ms" not in rows["wrong"] and len(calls) == 1
    assert rows["nan"]["status"] == "differs" and rows["nan"]["difference"] is None


def test_the_difference_of_another_kind_of_arithmetic_is_told_but_not_judged():
    work = _work(3.1)
    rows = _compare({"open_dpt, coarse": Work(work.run, work.output, judged=False)})
    row = rows["open_dpt, coarse"]
    assert row["status"] == "timed" and row["difference"] == pytest.approx(0.1 / 3, rel=1e-3)
    nothing = Work(lambda _: None, lambda: torch.full((3,), float("nan")), judged=False)
    assert _compare({"open_dpt": nothing})["open_dpt"]["status"] == "differs"


def test_another_shape_is_named():
    row = _compare({"flat": Work(lambda _: None, lambda: torch.zeros(2))})["flat"]
    assert row["status"] == "differs" and row["reason"].startswith("answers (2,), not (3,)")


def test_one_that_fails_is_named_in_one_line_and_the_others_go_on():
    def fail():
        raise RuntimeError("no such\nkernel")

    reference = Reference(torch.tensor([1.0, 2.0, 3.0]), 1e-5)
    given = {"broken": fail, "right": lambda: _work(3.0)}
    rows = compare_and_time(given, reference, Options(rounds=3), dtype=torch.float32, images=1)["rows"]
    assert [row["status"] for row in rows] == ["failed", "timed"]
    assert rows[0]["reason"] == "RuntimeError: no such kernel"


@pytest.mark.parametrize("calls", [0, 2, 3])  # so many succeed: the last of three rounds fails, or the call for memory
def test_one_that_fails_after_its_answer_was_right_takes_no_further_turn(calls):
    left = iter(range(calls))

    def run(_: int) -> None:
        if next(left, None) is None:
            raise torch.OutOfMemoryError("as large as\na house")

    right = _work(3.0)
    rows = _compare({"transformers": Work(run, right.output), "open_dpt": right})
    reason = "OutOfMemoryError: as large as a house"
    assert rows["transformers"] == {"candidate": "transformers", "status": "failed", "reason": reason}
    assert rows["open_dpt"]["status"] == "timed" and rows["open_dpt"]["against"] == {}


def test_speeds_are_multiples_of_the_first_peer_that_was_timed(monkeypatch):
    monkeypatch.setitem(measure.PEERS, "gone", Peer("", ("no_such_module_here",), "pip install it", ()))
    rows = _compare({"gone": _work(3.0), "smp": _work(2.0), "transformers": _work(3.0), "open_dpt": _work(3.0)})
    assert rows["gone"]["reason"] == "no_such_module_here not installed: pip install it"
    assert rows["gone"]["status"] == "missing" and rows["smp"]["status"] in ("missing", "differs")
    assert rows["transformers"]["times_as_fast"] == 1.0 and rows["open_dpt"]["as"] == "transformers"
    assert rows["open_dpt"]["images_per_second"] == pytest.approx(2000 / rows["open_dpt"]["median_ms"])


def test_other_dtypes_may_be_twice_as_far_off_as_our_plain_model():
    plain = torch.tensor([[1.0, 2.0, 4.0]])
    assert reference_for(plain, None).tolerance == 1e-5
    reference = reference_for(plain, torch.tensor([[1.0, 2.04, 4.0]]).bfloat16())
    assert reference.tolerance == pytest.approx(2 * 0.04 / 4, rel=0.2)
    assert reference.values.dtype == torch.float32


def test_a_flat_answer_proves_nothing():
    with pytest.raises(ValueError, match="the same everywhere"):
        reference_for(torch.ones(1, 4, 4), None)


@pytest.mark.parametrize("wrong", [float("inf"), float("nan")])
def test_an_answer_that_overflows_is_no_reference(wrong):
    right, broken = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 2.0, wrong])
    with pytest.raises(ValueError, match="in this dtype is not finite; choose another dtype"):
        reference_for(right, broken.half())
    with pytest.raises(ValueError, match="in float32 is not finite"):
        reference_for(broken, None)


def test_the_file_is_json_whatever_the_figures(tmp_path):
    row = {"candidate": "open_dpt", "status": "differs", "reason": "", "difference": float("inf")}
    shape = {"preset": "debug", "dtype": "float32", "height": None, "width": None, "batch": None}
    case = {"suite": "loading", **shape, "gflop": None, "ceiling": None, "ceiling_tflops": None, "rows": [row]}
    write_report(tmp_path, {"load": float("nan")}, [case])
    data = json.loads((tmp_path / "bench.json").read_text(), parse_constant=pytest.fail)
    assert data["machine"]["load"] is None and data["cases"][0]["rows"][0]["difference"] is None


def test_flop_are_counted_with_attention():
    query = torch.rand(1, 2, 10, 8)
    weight = torch.rand(8, 8)
    attention = 2 * 2 * (10 * 10 * 8) * 2  # two heads, two products, a multiplication and an addition each
    counted = count_flop(lambda: torch.nn.functional.scaled_dot_product_attention(query @ weight, query, query))
    assert counted == attention + 2 * 2 * 10 * 8 * 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_operations_that_stand_for_the_machine_do_what_they_are_said_to_cost(dtype):
    found = ceilings(dtype, "cpu")
    assert set(found) == {"square product", "3x3 convolution"}
    for run, flop in found.values():
        assert count_flop(lambda run=run: run(0)) == flop and run(0).dtype == dtype


def test_the_ceiling_is_the_fastest_of_them(monkeypatch):
    now = [0.0]
    clocks = dict.fromkeys(("perf_counter", "process_time"), lambda: now[0])
    monkeypatch.setattr(timing, "time", types.SimpleNamespace(**clocks))

    def takes(seconds):
        return lambda _: now.append(now.pop() + seconds)

    products = {"slow": (takes(0.02), 1e9), "fast": (takes(0.01), 1e9)}
    monkeypatch.setattr(measure, "ceilings", lambda dtype, device: products)
    given = {"open_dpt": lambda: Work(takes(0.02), None)}
    case = compare_and_time(given, None, Options(rounds=3), dtype=torch.float32, images=1, flop=10**9)
    assert case["ceiling"] == "fast" and case["ceiling_tflops"] == pytest.approx(0.1)
    assert case["rows"][0]["part_of_ceiling"] == pytest.approx(0.5)


def test_needed_arithmetic_is_that_of_the_plain_network_whatever_a_machine_makes_of_it():
    from transformers import DPTConfig as StockConfig
    from transformers import DPTForDepthEstimation as StockModel

    with torch.device("meta"):
        stock, pixels = StockModel(StockConfig()).eval(), torch.empty(1, 3, 384, 384)  # its defaults are DPT-Base
    theirs = count_flop(lambda: stock(pixels))
    # The stock class projects after upsampling, on four times as many pixels, and the readout of every token.
    saved = sum(2 * 256 * 256 * (4 - 1) * side**2 for side in (12, 24, 48, 96)) + 4 * 2 * 24**2 * 768 * 768
    ours = needed_flop("dpt-base", 1, (384, 384))
    assert ours == pytest.approx(theirs - saved, rel=0.002)
    assert needed_flop("debug", 2, (64, 96)) == pytest.approx(3 * needed_flop("debug", 1, (64, 64)), rel=0.02)


def test_the_machine_is_described_as_json_data():
    found = describe_machine(libraries=("hypothesis", "no-such-distribution"))
    assert found["cores"] >= 1 and found["threads"] == torch.get_num_threads() and found["cpu"]
    assert found["torch"] == version("torch") and "hypothesis" in found and "no-such-distribution" not in found
    assert {"isa", "load", "git", "date", "open_dpt", "transformers", "python"} <= set(found)


def test_a_graphics_card_is_described_with_its_libraries(monkeypatch):
    card = types.SimpleNamespace(name="A Card", total_memory=24 * 2**30, major=8, minor=9, uuid="12-34")
    said = types.SimpleNamespace(stdout="570.1\n")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(machine, "git_revision", lambda: None)
    monkeypatch.setattr(machine.subprocess, "run", lambda command, **_: said if "--id=GPU-12-34" in command else None)
    found = describe_machine("cuda:0")
    assert (found["device"], found["device_memory_gb"], found["capability"]) == ("A Card", 24.0, "8.9")
    assert (found["cuda"], found["cudnn"], found["driver"]) == ("12.8", 91002, "570.1")
    assert "cuda" not in describe_machine("cpu")
    monkeypatch.undo()
    monkeypatch.setenv("PATH", "")
    assert machine._driver(card) is None


@pytest.mark.parametrize(
    ("suite", "given", "told"),
    [
        ("latencies", {}, "suite: unknown name 'latencies'. Did you mean latency?"),
        ("latency", {"presets": ("dpt-bse",)}, "preset: unknown name 'dpt-bse'. Did you mean dpt-base?"),
        ("latency", {"dtypes": ("bfloat",)}, "dtype: unknown name 'bfloat'. Did you mean bfloat16?"),
        ("latency", {"peers": ("transformer",)}, "peer: unknown name 'transformer'. Did you mean transformers?"),
        ("latency", {"ways": ("compile",)}, "way: unknown name 'compile'. Did you mean compiled?"),
        ("latency", {"peers": ("zzz",)}, "peer: unknown name 'zzz'. Choose from transformers, "),
        ("latency", {"sizes": ((390, 376),)}, "must be multiples of 16 for dpt-tiny, got 390x376. Nearest: 384x384."),
        ("latency", {"presets": ()}, "preset: needs at least one, got none. Choose from "),
        ("latency", {"dtypes": ()}, "dtype: needs at least one, got none. Choose from float32, "),
        ("latency", {"ways": ()}, "way: needs at least one, got none. Choose from optimized, "),
        ("latency", {"sizes": ()}, "size: needs at least one, got none."),
        ("latency", {"batch_sizes": ()}, "batch size: needs at least one, got none."),
        ("latency", {"seconds": -1.0}, "seconds: must be 0 or more, got -1.0."),
        ("latency", {"seconds": float("nan")}, "seconds: must be 0 or more, got nan."),
        ("training", {"dtypes": ("fp16",)}, "dtype: training in float16 needs its gradients scaled"),
        ("folder", {"peers": ("openvino",)}, "openvino has no part in folder. Choose from pipeline, loop."),
    ],
)
def test_what_is_unknown_is_told_with_the_nearest(suite, given, told):
    with pytest.raises(ValueError) as error:
        options_for(suite, **given)
    assert told in str(error.value)


def test_cases_are_counted_before_they_are_measured():
    given = {"presets": ("debug", "dpt-base"), "sizes": ((64, 64),), "batch_sizes": (1, 2), "dtypes": ("float32",)}
    counts = {suite: len(suites.list_cases(suite, options_for(suite, **given))) for suite in suites.SUITES}
    assert counts == {"latency": 4, "throughput": 4, "size": 4, "stream": 2, "folder": 4, "loading": 2, "training": 4}


def test_short_names_of_dtypes():
    assert options_for("latency", dtypes=("bf16", "float32")).dtypes == ("bfloat16", "float32")


def test_a_device_that_is_fast_takes_more_rounds():
    assert options_for("latency").rounds == 7 and options_for("latency", device="cuda:1").rounds == 100
    assert options_for("latency", device="cuda", rounds=3).rounds == 3 and options_for("latency", peers=()).peers == ()


def test_dtype_auto_is_what_the_device_is_fast_in(monkeypatch):
    monkeypatch.setattr(dtypes, "choose_dtype", lambda device: ({"cuda:1": "float16"}.get(device, "float32"), ""))
    assert options_for("folder", dtypes=("auto", "bf16"), device="cuda:1").dtypes == ("float16", "bfloat16")
    assert options_for("latency", dtypes=("auto",)).dtypes == ("float32",)


def test_the_standard_selection_is_valid_and_covers_every_suite():
    for suite, given in suites.STANDARD:
        assert options_for(suite, **given)
    assert {suite for suite, _ in suites.STANDARD} == set(suites.SUITES)
    assert dict(suites.STANDARD)["folder"]["photos"] == len(folder.PHOTO_SIZES)  # one of each


def test_the_picture_has_a_panel_a_case_and_one_for_all_sizes():
    from open_dpt.processing.benchmark.picture import _panels

    cases = [{"suite": suite, "number": number} for number, suite in enumerate(["latency", "size", "size", "loading"])]
    assert [[case["number"] for case in panel] for panel in _panels(cases)] == [[0], [1, 2], [3]]
    assert [len(panel) for panel in _panels(cases[:2])] == [1, 1]


def test_bars_lines_and_cases_without_any_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from open_dpt.processing.benchmark.picture import draw

    row = {"candidate": "open_dpt", "status": "timed", "median_ms": 2.0, "low_ms": 1.0, "high_ms": 3.0}
    shape = {"preset": "debug", "dtype": "float32", "width": 64, "batch": 1}
    cases = [{"suite": "size", "height": height, **shape, "rows": [row]} for height in (32, 64, 96)]
    cases += [{"suite": "latency", "height": 64, **shape, "rows": [row | {"status": "failed"}]}]
    draw(cases, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").stat().st_size > 5000


def test_accelerators_are_waited_for(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    timing.await_device("cuda:1")
    timing.await_device("cpu")
    assert waited == ["cuda:1"]


def test_a_module_of_a_package_that_is_not_there_is_missing():
    peer = Peer("", ("no_such_package_here.models", "torch"), "get it", ())
    assert peer.missing() == "no_such_package_here.models not installed: get it"
