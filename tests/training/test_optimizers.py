import pytest
import torch

from open_dpt.training import SCHEDULES, build_optimizer, learning_rate_factor, parameter_groups, set_learning_rate


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.dpt = torch.nn.ModuleDict({"dense": torch.nn.Linear(2, 3), "norm": torch.nn.LayerNorm(3)})
        self.dpt.position_embeddings = torch.nn.Parameter(torch.zeros(1, 5, 3))
        self.head = torch.nn.Conv2d(3, 1, 3)
        self.frozen = torch.nn.Linear(1, 1).requires_grad_(False)


def test_only_matrices_and_kernels_decay_and_the_encoder_has_its_own_rate():
    model = Model()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, 1e-4, 0.1, encoder_learning_rate=1e-5)
    found = {names[id(p)]: (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found == {
        "dpt.dense.weight": (1e-5, 0.1),
        "dpt.dense.bias": (1e-5, 0.0),
        "dpt.norm.weight": (1e-5, 0.0),
        "dpt.norm.bias": (1e-5, 0.0),
        "dpt.position_embeddings": (1e-5, 0.0),
        "head.weight": (1e-4, 0.1),
        "head.bias": (1e-4, 0.0),
    }


def test_without_weight_decay_it_is_adam():
    torch.manual_seed(0)
    ours, theirs = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    theirs.load_state_dict(ours.state_dict())
    optimizers = build_optimizer(parameter_groups(ours, 1e-2, 0.0)), torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(3):
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight)


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        ("constant", 0.9, 1.0),
        ("linear", 0.25, 0.75),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("polynomial", 0.5, 0.5**0.9),
        ("warmup_stable_decay", 0.7, 1.0),
        ("warmup_stable_decay", 0.9, 0.5),
    ],
)
def test_schedules_by_hand(schedule, progress, expected):
    assert learning_rate_factor(schedule, progress, 500, warmup_steps=100) == pytest.approx(expected)


def test_warmup_rises_from_a_small_positive_value():
    factors = [learning_rate_factor("constant", 0.0, step, warmup_steps=4) for step in range(6)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_unknown_schedule_is_named():
    assert "cosine" in SCHEDULES
    with pytest.raises(ValueError, match="'cosin'"):
        learning_rate_factor("cosin", 0, 0, 0)


def test_each_group_keeps_its_own_peak():
    optimizer = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in range(2)], lr=1.0)
    set_learning_rate(optimizer, [1e-5, 1e-4], 0.5)
    set_learning_rate(optimizer, [1e-5, 1e-4], 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-6, 1e-5])
