"""The gradient of attention in bfloat16 is nearer to that in float64 than scaled_dot_product_attention's."""

import copy

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from open_dpt import DPTForDepthEstimation
from open_dpt.modeling_dpt import attention_gradient
from open_dpt.modeling_dpt.attention_gradient import attend, gains
from open_dpt.modeling_dpt.cpu import bfloat16_instructions

needs_bfloat16 = pytest.mark.skipif(bfloat16_instructions() != "avx512_bf16", reason="not faster on this CPU")


def plainly(query, key, value, scaling):
    return scaled_dot_product_attention(query, key, value, scale=scaling).transpose(1, 2)


def gradients(run, tensors, goal, scaling):
    context = run(*(each.transpose(1, 2) for each in tensors), scaling)
    return context, *torch.autograd.grad((context.double() - goal).square().sum(), tensors)


@pytest.mark.parametrize("spread", [0.1, 1, 3, 8])
@pytest.mark.parametrize(("shape", "bytes_of_thread"), [((2, 145, 3, 64), 1 << 20), ((1, 70, 5, 20), 4 * 2 * 70**2)])
def test_nearer_to_float64(monkeypatch, spread, shape, bytes_of_thread):
    monkeypatch.setattr(attention_gradient, "BYTES_OF_THREAD", bytes_of_thread)  # several groups, the last smaller
    tensors = [torch.randn(shape).bfloat16().mul(spread if each == 1 else 1).requires_grad_() for each in range(3)]
    goal, scaling = torch.randn(shape).double(), shape[-1] ** -0.5
    # Of the output as it was rounded, so that both go back from the same gradient.
    exact = [each.detach().double().requires_grad_() for each in tensors]
    rounded = plainly(*(each.transpose(1, 2) for each in tensors), scaling).detach()
    context = plainly(*(each.transpose(1, 2) for each in exact), scaling)
    true_gradients = torch.autograd.grad(context, exact, (2 * (rounded.double() - goal)).bfloat16().double())
    ours, usual = (gradients(run, tensors, goal, scaling) for run in (attend, plainly))
    assert torch.equal(ours[0], usual[0])
    assert all(one.dtype == torch.bfloat16 and one.is_contiguous() for one in ours[1:])
    errors, usual_errors = (
        torch.stack(
            [(one.double() - true).norm() / true.norm() for one, true in zip(each[1:], true_gradients, strict=True)]
        )
        for each in (ours, usual)
    )
    # All three together: of the few numbers of one, here and there the usual ones are nearer by chance.
    assert errors.norm() < usual_errors.norm() and errors.max() <= 4e-3


@needs_bfloat16
def test_where_it_gains():
    query = torch.randn(1, 2, 70, 16).bfloat16().requires_grad_()
    assert gains(query, query, query)
    assert not gains(query.detach(), query.detach(), query.detach())
    assert not gains(*[query.float()] * 3)
    assert not gains(*[torch.randn(1, 1, 1201, 8).bfloat16().requires_grad_()] * 3)
    assert not gains(*[query.detach().to("meta").requires_grad_()] * 3)
    assert not gains(*[query[:, :, :0]] * 3)
    with torch.no_grad():
        assert not gains(query, query, query)


@needs_bfloat16
@pytest.mark.parametrize("overrides", [{}, {"attention_probs_dropout_prob": 0.5}, {"attn_implementation": "eager"}])
def test_a_model_learns_the_same(tiny, monkeypatch, overrides):
    overrides = dict(overrides)
    implementation = overrides.pop("attn_implementation", "sdpa")
    model = DPTForDepthEstimation(tiny("vit", **overrides)).train()
    model.set_attn_implementation(implementation)
    pixel_values, goal = torch.randn(2, 3, 64, 96), torch.randn(2, 64, 96)
    calls = []
    monkeypatch.setattr(attention_gradient, "attend", lambda *of: (calls.append(of), attend(*of))[1])

    def learned(model, dtype):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.float32):
            depth = model(pixel_values.to(dtype)).predicted_depth
        loss = (depth.double() - goal).square().mean()
        used = [each for each in model.parameters() if each.requires_grad]
        return torch.cat([each.double().flatten() for each in torch.autograd.grad(loss, used)])

    ours = learned(model, torch.float32)
    assert len(calls) == (0 if overrides or implementation == "eager" else 4)
    monkeypatch.setattr(attention_gradient, "gains", lambda *_: False)
    usual = learned(model, torch.float32)
    if calls:
        exact = learned(copy.deepcopy(model).double(), torch.float64)
        assert (ours - exact).norm() <= 1.5 * (usual - exact).norm()
    else:
        assert torch.equal(ours, usual)
