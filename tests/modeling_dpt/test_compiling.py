"""Compiling for mixed sizes, and going on where it fails. Tracing is enough here: the compiler itself is PyTorch's."""

import contextvars
import copy

import pytest
import torch
from torch._dynamo.utils import counters

from open_dpt.configuration import DPTConfig
from open_dpt.modeling_dpt import DPTForDepthEstimation
from open_dpt.modeling_dpt.compiling import compile_model

SIZES = [(160, 192), (192, 160), (224, 160), (192, 256)]


@pytest.fixture
def model():
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    yield DPTForDepthEstimation(DPTConfig.from_preset("debug")).optimize_for_inference()
    torch._dynamo.reset()


@torch.inference_mode()
def _answers(model) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [model(torch.randn(1, 3, *size, generator=generator)).predicted_depth for size in SIZES]


def test_a_stream_of_mixed_sizes_is_compiled_once(model):
    expected = _answers(model)
    found = _answers(compile_model(model, backend="eager"))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert counters["stats"]["unique_graphs"] == 1, counters


@torch.inference_mode()
def test_a_convolutional_stem_is_compiled_for_each_size(model):
    hybrid = DPTForDepthEstimation(DPTConfig.from_preset("dpt-tiny")).optimize_for_inference()
    compile_model(hybrid, backend="eager")
    for count, size in enumerate([(64, 96), (96, 64)], start=1):
        hybrid(torch.zeros(1, 3, *size))
        assert counters["stats"]["unique_graphs"] == count, counters
    hybrid(torch.zeros(1, 3, 64, 96))
    assert counters["stats"]["unique_graphs"] == 2, counters


def test_where_compiling_fails_the_model_goes_on_and_says_so_once(model):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here\nand a long story")

    expected = _answers(model)
    with pytest.warns(UserWarning, match="compiling failed, the model runs uncompiled") as told:
        found = _answers(compile_model(model, backend=broken))
    assert len([warning for warning in told if "compiling" in str(warning.message)]) == 1
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@torch.inference_mode()
def test_calls_leave_nothing_behind(model):
    compile_model(model, backend="eager")
    image = torch.zeros(1, 3, *SIZES[0])
    model(image)
    before = len(contextvars.copy_context())
    for _ in range(3):
        model(image)
    assert len(contextvars.copy_context()) == before


def test_too_little_memory_is_no_fault_of_compiling(model):
    def too_large(graph, inputs):
        def run(*arguments):
            raise torch.OutOfMemoryError("too large")

        return run

    compile_model(model, backend=too_large)
    with pytest.raises(torch.OutOfMemoryError), torch.inference_mode():
        model(torch.zeros(1, 3, *SIZES[0]))
    assert model._compiled_call_impl.compiled is not None


def test_mistakes_of_the_caller_are_his(model):
    compile_model(model, backend="eager")
    with pytest.raises(Exception, match="pixel_values"):
        model(torch.zeros(1, 3, 2, 2))
    assert model._compiled_call_impl is not None


def test_a_compiled_model_is_copied_and_saved_uncompiled(model, tmp_path):
    compile_model(model, backend="eager")
    assert copy.deepcopy(model)._compiled_call_impl is None
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
