from itertools import islice

import pytest
import torch

from open_dpt.data.batches import AUGMENTATION, ORDER, BatchPlan, augmentation_draws, generator_at


def drawn(plan, batches, first=0):
    return [draw for batch in range(first, first + batches) for draw in plan.draws(batch)]


def test_every_epoch_holds_every_sample_once_in_another_order():
    order = [draw.index for batch in islice(BatchPlan([10], batch_size=4, seed=0), 5) for draw in batch]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_samples_are_numbered_by_their_global_position():
    assert [draw.position for draw in drawn(BatchPlan([10], 4, seed=0), 5)] == list(range(20))


@pytest.mark.parametrize("counts", [[10], [10, 3, 7]])
def test_a_resumed_plan_goes_on_where_the_other_stopped(counts):
    whole = list(islice(BatchPlan(counts, 3, seed=5), 9))
    assert list(islice(BatchPlan(counts, 3, seed=5, first=4), 5)) == whole[4:]


@pytest.mark.parametrize("counts", [[10], [10, 3, 7]])
def test_processes_share_each_batch_of_a_single_one(counts):
    single = list(islice(BatchPlan(counts, 4, seed=1), 6))
    parts = [list(islice(BatchPlan(counts, 2, seed=1, rank=rank, world_size=2), 6)) for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == single


def test_several_data_sets_are_drawn_equally_often_whatever_their_size():
    draws = drawn(BatchPlan([4, 1000, 50], 300, seed=0), 20)
    shares = torch.bincount(torch.tensor([draw.dataset for draw in draws]), minlength=3) / len(draws)
    assert (shares - 1 / 3).abs().max() < 0.03


def test_each_of_several_data_sets_has_whole_epochs_of_its_own():
    draws = drawn(BatchPlan([8, 5], 50, seed=3), 4)
    for dataset, count in enumerate((8, 5)):
        order = [draw.index for draw in draws if draw.dataset == dataset]
        epochs = [order[start : start + count] for start in range(0, len(order) - count, count)]
        assert len(epochs) > 5 and all(sorted(epoch) == list(range(count)) for epoch in epochs)
        assert epochs[0] != epochs[1]


def test_far_positions_of_several_data_sets_can_be_reached_in_any_order():
    walked = BatchPlan([8, 5], 1000, seed=3)
    expected = drawn(walked, 40)  # over several blocks of choices
    jumping = BatchPlan([8, 5], 1000, seed=3)
    for batch in (39, 2, 20):
        assert jumping.draws(batch) == expected[1000 * batch : 1000 * (batch + 1)]


def test_the_seed_changes_order_and_choice():
    assert drawn(BatchPlan([10, 10], 10, seed=0), 1) != drawn(BatchPlan([10, 10], 10, seed=1), 1)


def test_random_numbers_depend_on_seed_use_and_position_only():
    draws = augmentation_draws(1, range(6), 3)
    assert torch.equal(torch.cat([augmentation_draws(1, range(3), 3), augmentation_draws(1, range(3, 6), 3)]), draws)
    assert len(draws.unique()) == draws.numel()
    assert not torch.equal(augmentation_draws(2, range(6), 3), draws)
    first = [torch.rand(1, generator=generator_at(1, use, 7)) for use in (ORDER, AUGMENTATION)]
    assert not torch.equal(*first)
    # Such seeds meet where numbers are added or cut to 32 bits.
    assert generator_at(1, 2).initial_seed() != generator_at(2, 1).initial_seed()
    assert generator_at(2**32 + 1, 0).initial_seed() != generator_at(1, 0).initial_seed()


def test_global_generators_are_left_alone():
    before = torch.get_rng_state()
    drawn(BatchPlan([8, 5], 4, seed=0), 3)
    augmentation_draws(0, range(3), 4)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("counts", "batch_size"), [([0], 4), ([4], 0), ([4, 0], 2)])
def test_nothing_to_draw_is_refused(counts, batch_size):
    with pytest.raises(ValueError, match=f"{', '.join(map(str, counts))} samples and batch size {batch_size}"):
        BatchPlan(counts, batch_size, seed=0)
