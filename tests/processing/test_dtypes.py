"""What "auto" picks, on machines described by what they can do."""

from contextlib import nullcontext

import pytest
import torch

from open_dpt.modeling_dpt.cpu import bfloat16_instructions
from open_dpt.processing.dtypes import choose_dtype


@pytest.fixture
def cpu_with(monkeypatch):
    def pretend(*capabilities, onednn=True):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(capabilities, True))
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
        bfloat16_instructions.cache_clear()

    yield pretend
    bfloat16_instructions.cache_clear()


@pytest.mark.parametrize(
    ("capabilities", "dtype", "told"),
    [
        (("avx512_f", "avx512_bf16", "amx_bf16"), "bfloat16", "amx_bf16"),
        (("avx512_f", "avx512_bf16"), "bfloat16", "avx512_bf16"),
        (("avx512_f", "avx512_vnni"), "float32", "no amx_bf16, no avx512_bf16"),
        ((), "float32", "no amx_bf16, no avx512_bf16"),
    ],
)
def test_a_cpu_takes_bfloat16_where_it_multiplies_it_in_hardware(cpu_with, capabilities, dtype, told):
    cpu_with(*capabilities)
    chosen, reason = choose_dtype("cpu")
    assert chosen == dtype and told in reason


def test_hardware_that_this_torch_does_not_use_does_not_count(cpu_with):
    cpu_with("avx512_bf16", onednn=False)
    assert choose_dtype("cpu")[0] == "float32"


@pytest.fixture
def gpus(monkeypatch):
    """Pretends GPUs: a list of whether each has bfloat16, and its generation."""
    current = []

    def enter(device):
        current.append(device.index)
        return nullcontext()

    def pretend(*gpus):
        monkeypatch.setattr(torch.cuda, "device", enter)
        monkeypatch.setattr(
            torch.cuda,
            "is_bf16_supported",
            lambda including_emulation=True: including_emulation or gpus[current[-1]][0],
        )
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: gpus[device.index][1])

    return pretend


@pytest.mark.parametrize(
    ("has_bfloat16", "capability", "dtype"),
    [
        (False, (6, 1), "float32"),
        (False, (7, 5), "float16"),
        (True, (8, 0), "bfloat16"),
        (True, (12, 0), "bfloat16"),
        (False, (9, 0), "float16"),  # the generation does not tell
    ],
)
def test_a_gpu_takes_what_it_multiplies_in_hardware(gpus, has_bfloat16, capability, dtype):
    gpus((not has_bfloat16, (7, 0)), (has_bfloat16, capability))
    assert choose_dtype("cuda:1")[0] == dtype


def test_float16_is_told_to_be_unchecked(gpus):
    gpus((False, (7, 5)))
    assert "fast, not checked on every encoder" in choose_dtype("cuda:0")[1]


def test_unknown_kinds_of_device_stay_exact():
    assert choose_dtype("mps") == ("float32", "no shorter one has been checked on mps")
