import pytest
import torch
from torch import nn

from open_dpt.training import MovingAverage


def model(value):
    net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(net[0].weight, value)
    return net


def test_by_hand():
    net = model(0.0)
    average = MovingAverage(net, 0.25)
    # decays: min(0.25, 2 / 11), then 0.25
    for value in (11.0, 4.0):
        nn.init.constant_(net[0].weight, value)
        average.update(net)
    first = 11.0 * (1 - 2 / 11)
    assert average.shadow["0.weight"].item() == pytest.approx(0.25 * first + 0.75 * 4.0)


def test_batch_norm_statistics_are_averaged_too():
    net = model(1.0)
    average = MovingAverage(net, 0.5)
    net[1].running_mean.fill_(11.0)
    average.update(net)
    assert average.shadow["1.running_mean"].item() == pytest.approx(11 * 9 / 11)


def test_the_own_weights_come_back_bit_for_bit_even_after_an_error():
    net = model(0.1)
    average = MovingAverage(net, 0.5)
    nn.init.constant_(net[0].weight, 1 / 3)
    before = net[0].weight.clone()
    with pytest.raises(ZeroDivisionError), average.applied_to(net):
        assert net[0].weight.item() == pytest.approx(0.1)
        raise ZeroDivisionError
    assert torch.equal(net[0].weight, before)


def test_half_precision_weights_are_averaged_in_float32():
    net = model(1.0).to(torch.bfloat16)
    average = MovingAverage(net, 0.999)
    average.updates = 100_000  # the long run
    nn.init.constant_(net[0].weight, 1.0078125)  # the next bfloat16 after 1
    average.update(net)
    assert average.shadow["0.weight"].item() == pytest.approx(1.0000078125, abs=1e-7)


def test_saved_and_loaded(tmp_path):
    net = model(0.5)
    average = MovingAverage(net, 0.9)
    nn.init.constant_(net[0].weight, 2.0)
    average.update(net)
    average.save(tmp_path)
    loaded = MovingAverage(model(7.0), 0.9)
    loaded.load(tmp_path)
    assert loaded.updates == 1
    assert all(torch.equal(tensor, loaded.shadow[name]) for name, tensor in average.shadow.items())
    with pytest.raises(ValueError, match="without ema_decay"):
        loaded.load(tmp_path / "nothing")


@pytest.mark.parametrize("decay", [0, 1, -0.5, 2.0])
def test_an_impossible_decay_is_shown(decay):
    with pytest.raises(ValueError, match=f"ema_decay: .*got {decay}"):
        MovingAverage(model(0.0), decay)


def test_weights_that_are_not_there_cannot_be_averaged():
    net = model(0.0)
    net[0].weight.data = torch.empty(0)  # as ZeRO stage 3 leaves them
    with pytest.raises(ValueError, match="FSDP2"):
        MovingAverage(net, 0.9)
