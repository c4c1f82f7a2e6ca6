"""What "auto" picks, on machines described by what they can do."""

import pytest
import torch

from open_dpt.processing.dtypes import choose_dtype


@pytest.fixture
def cpu_with(monkeypatch):
    def pretend(*capabilities, onednn=True):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(capabilities, True))
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)

    return pretend


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


@pytest.mark.parametrize(
    ("capability", "dtype"), [((6, 1), "float32"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((12, 0), "bfloat16")]
)
def test_a_gpu_takes_what_its_generation_multiplies(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype("cuda:1")[0] == dtype


def test_unknown_kinds_of_device_stay_exact():
    assert choose_dtype("mps") == ("float32", "no shorter one has been checked on mps")
