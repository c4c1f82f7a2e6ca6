"""DPTForSemanticSegmentation: logits, auxiliary head, loss, errors."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from open_dpt import DPTForSemanticSegmentation


@pytest.fixture
def pixel_values():
    return torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels():
    labels = torch.randint(0, 5, (2, 48, 80), generator=torch.Generator().manual_seed(2))
    labels[0, :10] = 255
    return labels


def test_logits_are_as_large_as_the_input(tiny, pixel_values):
    output = DPTForSemanticSegmentation(tiny()).eval()(pixel_values)
    assert output.logits.shape == (2, 5, 48, 80)
    assert output.loss is None and output.auxiliary_logits is None


@pytest.mark.parametrize("weight", [0.2, 0.4])
def test_loss_is_cross_entropy_plus_the_weighted_auxiliary_one(tiny, pixel_values, labels, weight):
    model = DPTForSemanticSegmentation(tiny(auxiliary_loss_weight=weight)).eval()
    output = model(pixel_values, labels=labels)
    expected = cross_entropy(output.logits, labels, ignore_index=255)
    expected = expected + weight * cross_entropy(output.auxiliary_logits, labels, ignore_index=255)
    torch.testing.assert_close(output.loss, expected)


def test_works_without_auxiliary_head(tiny, pixel_values, labels):
    model = DPTForSemanticSegmentation(tiny(use_auxiliary_head=False)).eval()
    output = model(pixel_values, labels=labels)
    assert output.auxiliary_logits is None
    torch.testing.assert_close(output.loss, cross_entropy(output.logits, labels, ignore_index=255))
    with pytest.raises(ValueError, match=r"^output_auxiliary_logits: .*use_auxiliary_head=False"):
        model(pixel_values, output_auxiliary_logits=True)


def test_auxiliary_head_taps_the_penultimate_fusion_output(tiny, pixel_values):
    model = DPTForSemanticSegmentation(tiny()).eval()
    fused = {}
    for number, layer in enumerate(model.neck.fusion_stage.layers):
        layer.register_forward_hook(lambda _, __, output, number=number: fused.update({number: output}))
    logits = model(pixel_values, output_auxiliary_logits=True).auxiliary_logits
    assert logits.shape == (2, 5, 48, 80)
    torch.testing.assert_close(logits, model.auxiliary_head(fused[2], (48, 80)))


def test_every_pixel_ignored_is_zero_not_nan(tiny, pixel_values):
    model = DPTForSemanticSegmentation(tiny()).train()
    loss = model(pixel_values, labels=torch.full((2, 48, 80), 255)).loss
    loss.backward()
    assert loss == 0
    assert all((value.grad == 0).all() for value in model.parameters() if value.grad is not None)


def test_ignore_index_is_configurable(tiny, pixel_values, labels):
    model = DPTForSemanticSegmentation(tiny(semantic_loss_ignore_index=-1)).eval()
    twin = DPTForSemanticSegmentation(tiny()).eval()
    with torch.no_grad():
        ours = model(pixel_values, labels=labels.masked_fill(labels == 255, -1)).loss
        torch.testing.assert_close(ours, twin(pixel_values, labels=labels).loss)


def test_wrong_labels_are_named(tiny, pixel_values, labels):
    model = DPTForSemanticSegmentation(tiny())
    with pytest.raises(ValueError, match=r"^labels: .*\(2, 48, 80\), got \(2, 48, 64\)"):
        model(pixel_values, labels=labels[..., :64])
    with pytest.raises(ValueError, match=r"^labels: .*5.*got 5"):
        model(pixel_values, labels=torch.full_like(labels, 5))
    with pytest.raises(ValueError, match=r"^labels: must be integers, got torch.float32"):
        model(pixel_values, labels=labels.float())


def test_a_few_steps_reduce_the_loss(tiny, pixel_values):
    model = DPTForSemanticSegmentation(tiny(use_batch_norm_in_fusion_residual=True)).train()
    optimizer = torch.optim.AdamW([value for value in model.parameters() if value.requires_grad], lr=3e-3)
    labels = (pixel_values[:, 0] > 0).long()
    losses = []
    for _ in range(20):
        loss = model(pixel_values, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
