from itertools import islice

import pytest
import torch

from open_dpt.data.batches import BatchPlan, step_draws


def test_every_epoch_holds_every_sample_once_in_another_order():
    plan = BatchPlan(count=10, batch_size=4, seed=0)
    order = [index for batch in islice(plan, 5) for index in batch]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]


def test_a_resumed_plan_goes_on_where_the_other_stopped():
    whole = list(islice(BatchPlan(10, 3, seed=5), 9))
    assert list(islice(BatchPlan(10, 3, seed=5, first_step=4), 5)) == whole[4:]


def test_processes_share_each_batch_of_a_single_one():
    single = list(islice(BatchPlan(10, 4, seed=1), 6))
    parts = [list(islice(BatchPlan(10, 2, seed=1, rank=rank, world_size=2), 6)) for rank in range(2)]
    assert [first + second for first, second in zip(*parts, strict=True)] == single


def test_randomness_depends_on_seed_step_and_sample_not_on_the_number_of_processes():
    single = step_draws(seed=1, step=7, batch_size=4, width=3)
    parts = [step_draws(seed=1, step=7, batch_size=2, width=3, rank=rank, world_size=2) for rank in range(2)]
    assert torch.equal(torch.cat(parts), single)
    for seed, step in ((1, 8), (2, 7)):
        assert not torch.equal(step_draws(seed, step, 4, 3), single)


@pytest.mark.parametrize(("count", "batch_size"), [(0, 4), (4, 0)])
def test_nothing_to_draw_is_refused(count, batch_size):
    with pytest.raises(ValueError, match=f"{count} samples and batch size {batch_size}"):
        BatchPlan(count, batch_size, seed=0)
