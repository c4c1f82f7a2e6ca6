"""What the suites of the benchmark measure, and against whom; no test here depends on how fast anything is."""

import json
import logging
import sys
import types
from functools import partial
from pathlib import Path

import pytest
import torch

from open_dpt.processing.benchmark import candidates, checkpoints, folder, loading, suites
from open_dpt.processing.benchmark.measure import Reference
from open_dpt.processing.benchmark.report import case_table
from open_dpt.processing.benchmark.suites import options_for, run_suite

TINY = {"presets": ("debug",), "sizes": ((64, 64),), "rounds": 3, "seconds": 0.0}


def test_compiling_takes_part_only_when_named():
    assert "transformers-compiled" not in suites.chosen_peers("latency", options_for("latency"))
    named = options_for("latency", peers=("transformers-compiled",))
    assert suites.chosen_peers("latency", named) == ["transformers-compiled"]


def test_latency_with_the_stock_class_and_without_it_where_it_cannot():
    given = {**TINY, "sizes": ((64, 64), (64, 96)), "peers": ("transformers",), "ways": ("optimized", "loaded")}
    square, wide, *_ = [case for case in run_suite("latency", **given) if case["dtype"] == "float32"]
    assert [(row["candidate"], row["status"]) for row in square["rows"]] == [
        ("transformers", "timed"),
        ("open_dpt", "timed"),
        ("open_dpt, loaded", "timed"),
    ]
    for row in square["rows"]:
        assert row["difference"] < 1e-5 and row["rounds"] == 3
        assert 0 < row["part_of_ceiling"] < 1.5 and row["part_of_ceiling_cpu"] > 0 and square["gflop"] > 0.05
    stock, own, loaded = square["rows"]
    assert own["against"]["transformers"]["times_as_fast"] == own["times_as_fast"] and "against" not in stock
    stock, own, loaded = wide["rows"]
    assert stock["status"] in ("failed", "differs") and stock["reason"]
    assert own["status"] == loaded["status"] == "timed" and "times_as_fast" not in own


def test_throughput_counts_the_images_of_a_batch():
    given = {**TINY, "batch_sizes": (2, 3), "dtypes": ("bfloat16",), "peers": ()}
    two, three = list(run_suite("throughput", **given))
    assert (two["batch"], three["batch"]) == (2, 3)
    row = three["rows"][0]
    assert row["images_per_second"] == pytest.approx(3000 / row["median_ms"]) and row["difference"] <= row["tolerance"]


def test_a_stream_of_many_sizes_is_counted_by_the_image(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    sizes = ((160, 192), (192, 160))
    ways = ("loaded", "compile_model", "compiled")
    given = {**TINY, "sizes": sizes, "peers": ("transformers",), "ways": ways, "dtypes": ("float32",)}
    (case,) = run_suite("stream", **given)
    stock, loaded, once, each = case["rows"]
    assert stock["status"] == "failed" and "takes squares only, got 160x192" in stock["reason"]
    for row, graphs in ((loaded, 0), (once, 1), (each, len(sizes))):
        assert row["status"] == "timed" and row["difference"] < 1e-5 and row["graphs"] == graphs
        assert row["images_per_second"] == pytest.approx(1000 / row["median_ms"])
        assert row["low_ms"] <= row["median_ms"] <= row["high_ms"] < 1e3 * row["first_s"] and row["cpu_ms"] > 0
    assert case["gflop"] == pytest.approx(sum(checkpoints.needed_flop("debug", 1, size) for size in sizes) / 1e9)
    title, *_, head, _, first, _, _, _, why = case_table(case)
    assert title == "### stream: debug, float32, 2 sizes" and "| graphs | first round s |" in head
    assert first.startswith("| open_dpt, loaded") and why.startswith("- transformers: failed, ValueError: takes")


def test_a_stream_of_squares_is_one_that_the_stock_class_takes():
    given = {**TINY, "sizes": ((64, 64), (96, 96)), "peers": ("transformers",), "ways": ("optimized", "int8")}
    for case in run_suite("stream", **given):
        stock, own, int8 = case["rows"]
        assert (stock["status"], own["status"]) == ("timed", "timed")
        assert own["against"]["transformers"]["times_as_fast"] == own["times_as_fast"]
        assert int8["status"] in ("timed", "failed")  # where the CPU has no such products


@pytest.mark.parametrize("peer", ["openvino", "onnxruntime"])
def test_exported_graphs_answer_the_same(peer):
    for module in suites.PEERS[peer].modules:
        pytest.importorskip(module)
    (case,) = run_suite("latency", **{**TINY, "dtypes": ("float32",), "peers": (peer,)})
    row = case["rows"][0]
    assert (row["candidate"], row["status"]) == (peer, "timed") and row["difference"] < 1e-5


def test_logging_is_as_quiet_as_the_caller_made_it():
    logging.disable(logging.ERROR)
    try:
        with candidates._without_advice():
            assert logging.root.manager.disable == logging.ERROR
        assert logging.root.manager.disable == logging.ERROR
    finally:
        logging.disable(logging.NOTSET)
    with candidates._without_advice():
        assert logging.root.manager.disable == logging.WARNING
    assert logging.root.manager.disable == logging.NOTSET


def test_compiled_models_are_candidates_like_others(monkeypatch):
    library, compiled = torch.compile, set()

    def trace(model, **options):
        def backend(graph, inputs):
            compiled.add(type(model).__module__.partition(".")[0])
            return graph.forward

        return library(model, **options, backend=backend)

    monkeypatch.setattr(torch, "compile", trace)
    given = {**TINY, "dtypes": ("float32",), "peers": ("transformers-compiled",), "ways": ("compiled",)}
    (case,) = run_suite("latency", **given)
    assert [row["candidate"] for row in case["rows"]] == ["transformers-compiled", "open_dpt, compiled"]
    assert [row["status"] for row in case["rows"]] == ["timed", "timed"]
    assert compiled == {"transformers", "open_dpt"}


def test_what_another_case_compiled_has_no_part_in_the_next(monkeypatch):
    graphs = []

    def remember(graph, inputs):
        found = [value for value in inputs if isinstance(value, torch.Tensor) and value.dim() == 4]
        graphs.append({type(side) for value in found for side in value.shape})
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=remember))
    given = {**TINY, "sizes": ((96, 96), (64, 96), (96, 96)), "dtypes": ("float32",), "peers": ()}
    for case in run_suite("latency", **given, ways=("compiled",)):
        assert case["rows"][0]["status"] == "timed"
    assert graphs == [{int}] * 3


def test_a_model_that_could_not_be_compiled_is_not_timed_as_if_it_were(monkeypatch):
    def no_compiler(graph, inputs):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=no_compiler))
    given = {**TINY, "dtypes": ("float32",), "peers": (), "ways": ("compile_model", "loaded")}
    (case,) = run_suite("latency", **given)
    assert [row["status"] for row in case["rows"]] == ["failed", "timed"]
    assert "compiling failed" in case["rows"][0]["reason"]


def test_on_cuda_models_are_compiled_with_its_graphs_whose_memory_cannot_be_seen(monkeypatch):
    modes = []
    monkeypatch.setattr(torch, "compile", lambda model, mode, dynamic: modes.append(mode))
    for device, frees_memory in [("cuda:0", False), ("cpu", True)]:
        setting = candidates.Setting(Path(), "debug", torch.float32, device, torch.zeros(1))
        assert candidates._compile(None, setting).frees_memory == frees_memory
    assert modes == ["reduce-overhead", None]


def test_a_case_that_cannot_be_measured_says_so_and_the_next_goes_on(monkeypatch):
    from open_dpt.processing.benchmark import forward

    reference = forward._reference

    def overflow_in_bfloat16(setting):
        if setting.dtype == torch.bfloat16:
            raise ValueError("reference: overflows")
        return reference(setting)

    monkeypatch.setattr(forward, "_reference", overflow_in_bfloat16)
    given = {**TINY, "dtypes": ("bfloat16", "float32"), "peers": ("transformers",), "ways": ("loaded",)}
    broken, right = run_suite("latency", **given)
    reason = {"status": "failed", "reason": "ValueError: reference: overflows"}
    assert broken["rows"] == [{"candidate": name, **reason} for name in ("transformers", "open_dpt, loaded")]
    assert broken["dtype"] == "bfloat16" and broken["gflop"] is None and set(broken) == set(right)
    assert [row["status"] for row in right["rows"]] == ["timed", "timed"]
    assert case_table(broken)[-1] == "- open_dpt, loaded: failed, ValueError: reference: overflows"


def test_float32_is_whole_while_measuring_and_as_before_between_cases(monkeypatch):
    from open_dpt.processing.benchmark import forward

    def flags():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    found = []
    monkeypatch.setattr(forward, "measure", lambda *_: found.append(flags()) or {"rows": []})
    torch.backends.cuda.matmul.allow_tf32 = True  # is not torch's default, unlike that of cudnn
    try:
        for _ in run_suite("latency", **TINY):
            assert flags() == (True, True)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert found == [(False, False)] * 2


def test_a_process_that_fails_in_a_later_turn_is_left_out(monkeypatch):
    turns = {"transformers": 0, "open_dpt": 0}

    def load(name, folder):
        turns[name] += 1
        if turns[name] > 2 and name == "transformers":
            raise OSError("no memory for another process")
        figures = ("import", "load", "read", "cpu", "peak", "checksum")
        return dict.fromkeys(figures, 1.0)

    monkeypatch.setattr(loading, "_load", load)
    (case,) = run_suite("loading", presets=("debug",), rounds=3)
    assert [row["status"] for row in case["rows"]] == ["failed", "timed"] and turns["open_dpt"] == 4
    assert case["rows"][0]["reason"] == "OSError: no memory for another process"


def test_folder_in_float32_agrees_with_the_pipeline_and_in_bfloat16_the_pipeline_fails(monkeypatch):
    monkeypatch.setattr(folder, "choose_dtype", lambda device: ("bfloat16", "pretended"))
    exact, half = list(run_suite("folder", **TINY, photos=3, batch_sizes=(2,)))
    assert [(row["candidate"], row["status"]) for row in exact["rows"]] == [
        ("pipeline", "timed"),
        ("loop", "timed"),
        ("open_dpt", "timed"),
        ("open_dpt, dtype auto", "timed"),
    ]
    assert exact["photos"] == 3 and exact["rows"][2]["as"] == "pipeline"
    statuses = {row["candidate"]: row["status"] for row in half["rows"]}
    assert statuses["loop"] == statuses["open_dpt"] == "timed" and "open_dpt, dtype auto" not in statuses
    assert {row["as"] for row in half["rows"] if row["status"] == "timed"} <= {"pipeline", "loop"}


def test_our_own_answer_in_a_folder_may_not_leave_the_range_of_the_network(monkeypatch):
    def overshooting(*arguments, library=folder._own, **options):
        predict = library(*arguments, **options)
        return lambda photos, output: torch.where(
            (values := predict(photos, output)) == values.max(), 2 * values, values
        )

    monkeypatch.setattr(folder, "_own", overshooting)
    (case,) = run_suite("folder", **TINY, dtypes=("bfloat16",), photos=1, peers=())
    assert [row["status"] for row in case["rows"]] == ["differs"]


def test_photos_of_the_folder_have_mixed_sizes(tmp_path):
    from PIL import Image

    from open_dpt.processing.benchmark.folder import PHOTO_SIZES, write_photos

    paths = write_photos(tmp_path, 7)
    sizes = [Image.open(path).size[::-1] for path in paths]
    assert sizes == [*PHOTO_SIZES, PHOTO_SIZES[0]]
    assert len({path.read_bytes() for path in paths}) == 7


def test_loading_is_timed_in_processes_of_its_own():
    (case,) = run_suite("loading", presets=("debug",), rounds=1)
    stock, own = case["rows"]
    assert [stock["candidate"], own["candidate"]] == ["transformers", "open_dpt"]
    for row in (stock, own):
        assert row["status"] == "timed" and row["rounds"] == 1 and row["import_ms"] > 0 and row["read_ms"] > 0
        assert row["difference"] < 1e-9 and row["peak_memory_mb"] > 50


def test_training_steps_of_both_start_from_the_same_answer():
    exact, half = list(run_suite("training", **TINY, batch_sizes=(1,)))
    for case in (exact, half):
        assert [row["status"] for row in case["rows"]] == ["timed", "timed"]
        assert all(row["difference"] <= row["tolerance"] for row in case["rows"])
        assert case["gflop"] == pytest.approx(3 * 0.057, rel=0.1)  # backward: two products for each of forward


def test_a_training_step_changes_the_weights():
    from open_dpt import DPTConfig, DPTForDepthEstimation
    from open_dpt.processing.benchmark.training import _step

    model = DPTForDepthEstimation(DPTConfig.from_preset("debug"))
    before = model.head.head[0].weight.clone()
    _step(model, torch.optim.AdamW, torch.rand(1, 3, 64, 64), torch.rand(1, 64, 64), torch.float32).run(0)
    assert (model.head.head[0].weight != before).any() and model.head.head[0].weight.grad is None


def test_smp_is_refused_where_it_has_no_such_encoder(tmp_path):
    pytest.importorskip("segmentation_models_pytorch")
    setting = candidates.Setting(tmp_path, "debug", torch.float32, "cpu", torch.zeros(1, 3, 64, 64))
    with pytest.raises(ValueError, match="no encoder like that of debug"):
        candidates.build("smp", setting)


GOLDEN = Path(__file__).parents[1] / "golden" / "vit_project_depth"


class AuthorsModel(torch.nn.Module):
    """Stands for `dpt.models.DPTDepthModel`: parameters by its names, computed by us from a file of its layout."""

    def __init__(self, backbone: str):
        super().__init__()
        assert backbone == "vitb16_384"
        self.weights = torch.load(GOLDEN.with_suffix(".pt"))

    def state_dict(self):
        return self.weights

    def load_state_dict(self, weights):
        from open_dpt import DPTForDepthEstimation

        assert list(weights) == list(self.weights)
        file = Path(self.folder) / "authors.pt"
        torch.save(weights, file)
        self.network = DPTForDepthEstimation.from_original(file, num_attention_heads=2)

    def forward(self, pixels):
        return self.network(pixels).predicted_depth


@pytest.fixture
def authors(tmp_path, monkeypatch):
    """An installed checkout of the authors' code, and a preset of the network that it has here."""
    values = json.loads(GOLDEN.with_suffix(".json").read_text())
    values.pop("task")
    shape = {**checkpoints.DPTConfig.from_preset("debug").to_diff_dict(), **values}
    AuthorsModel.folder = tmp_path
    models = types.ModuleType("dpt.models")
    models.DPTDepthModel = AuthorsModel
    monkeypatch.setitem(sys.modules, "dpt", types.ModuleType("dpt"))
    monkeypatch.setitem(sys.modules, "dpt.models", models)
    monkeypatch.setitem(candidates._AUTHORS_ENCODERS, "debug", "vitb16_384")
    return shape


def test_the_authors_code_runs_our_weights(authors, tmp_path):
    from open_dpt import DPTForDepthEstimation

    torch.manual_seed(3)
    config = checkpoints.DPTConfig(**{key: value for key, value in authors.items() if key != "model_type"})
    for key, value in checkpoints._STOCK_FORM.items():
        setattr(config, key, value)
    model = DPTForDepthEstimation(config).eval()
    model.to_transformers(tmp_path)
    pixels = torch.randn(1, 3, 64, 96)
    work = candidates.build("authors", candidates.Setting(tmp_path, "debug", torch.float32, "cpu", pixels))
    expected = model(pixels).predicted_depth
    assert Reference(expected.detach(), 1e-5).difference(work.output()) < 1e-5
    with pytest.raises(ValueError, match="no encoder like that of dpt-tiny"):
        candidates.build("authors", candidates.Setting(tmp_path, "dpt-tiny", torch.float32, "cpu", pixels))


def test_int8_is_one_of_our_ways_and_its_difference_is_told_but_not_judged():
    (case,) = run_suite("latency", **{**TINY, "dtypes": ("bfloat16",)}, ways=("optimized", "int8"), peers=())
    row = case["rows"][-1]
    assert (row["candidate"], row["status"]) == ("open_dpt, int8", "timed") and row["difference"] > 0
