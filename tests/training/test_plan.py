from argparse import Namespace

import pytest

from open_dpt.training import Plan, make_plan


def flags(**values):
    defaults = {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "total_train_batch_size": None,
        "num_train_epochs": None,
        "max_train_steps": None,
        "max_train_images": None,
        "max_minutes": None,
    }
    return Namespace(**{**defaults, **values})


def test_epochs_images_and_steps_whichever_ends_first():
    assert make_plan(flags(num_train_epochs=3), 10, 1).max_steps == 8  # 30 images, 4 a step
    assert make_plan(flags(num_train_epochs=2), 8, 1).max_steps == 4
    assert make_plan(flags(num_train_epochs=3, max_train_steps=5), 10, 1).max_steps == 5
    assert make_plan(flags(max_train_images=9, gradient_accumulation_steps=2), 10, 1).max_steps == 2
    plan = make_plan(flags(max_minutes=1.5), 10, 1)
    assert plan.max_steps is None and plan.max_minutes == 1.5


def test_the_total_sets_the_accumulation():
    plan = make_plan(flags(total_train_batch_size=48, max_train_steps=1), 100, 3)
    assert (plan.accumulation, plan.total_batch) == (4, 48)


def test_a_resumed_run_keeps_its_images_in_a_step():
    alone = make_plan(flags(max_train_steps=9), 100, 1, resumed_total=8)
    assert (alone.accumulation, alone.total_batch) == (2, 8)
    with pytest.raises(ValueError, match=r"12 images a step are kept, got 4 x 2 .*Choose one of 1, 2, 3, 6\."):
        make_plan(flags(max_train_steps=9), 100, 2, resumed_total=12)
    with pytest.raises(ValueError, match="another number of processes than 5"):
        make_plan(flags(max_train_steps=9), 100, 5, resumed_total=8)
    with pytest.raises(ValueError, match="has 8 images a step, got 16"):
        make_plan(flags(max_train_steps=9, total_train_batch_size=16), 100, 1, resumed_total=8)


@pytest.mark.parametrize("bad", [{}, {"max_train_steps": 0}, {"num_train_epochs": -1.0}])
def test_a_length_is_needed(bad):
    with pytest.raises(ValueError, match="length of training"):
        make_plan(flags(**bad), 10, 1)


def test_no_samples_are_no_training():
    with pytest.raises(ValueError, match="0 samples"):
        make_plan(flags(max_train_steps=1), 0, 1)


def test_epochs_need_not_end_with_a_step():
    plan = Plan(samples=10, batch_size=4)
    assert [step for step in range(1, 11) if plan.is_due("epoch", step)] == [3, 5, 8, 10]
    assert [step for step in range(1, 11) if plan.is_due(4, step)] == [4, 8]
    assert not any(plan.is_due(every, step) for every in (0, None) for step in range(1, 11))


def test_two_kinds_of_average_are_one_too_many(tmp_path):
    from accelerate import Accelerator

    from open_dpt.training.setting_up import plan_run

    folder = {"output_dir": str(tmp_path), "resume_from_checkpoint": "latest"}
    with pytest.raises(ValueError, match="average_last: not together with ema_decay, got 3"):
        plan_run(flags(max_train_steps=1, ema_decay=0.9, average_last=3, **folder), Accelerator(cpu=True), 10)
