import pytest

from open_dpt.training import Progress, parse_resolution_schedule, size_at


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("open_dpt.training.progress.time.monotonic", lambda: now[0])
    return now


def test_whichever_limit_is_nearer_counts(clock):
    progress = Progress(max_steps=100, max_minutes=10, step=20)
    assert progress.fraction == 0.2
    clock[0] += 5 * 60
    assert progress.fraction == 0.5
    clock[0] += 60 * 60
    assert progress.fraction == 1.0


def test_minutes_go_on_after_a_pause_that_does_not_count(clock):
    progress = Progress(max_minutes=10)
    clock[0] += 120
    state = progress.state_dict()
    clock[0] += 100_000
    resumed = Progress(max_minutes=10)
    clock[0] += 60  # spent on building the model
    resumed.load_state_dict(state)
    clock[0] += 180
    assert resumed.minutes == pytest.approx(5)


@pytest.mark.parametrize("limits", [{}, {"max_steps": 0}, {"max_minutes": -1}])
def test_a_length_is_needed(limits):
    with pytest.raises(ValueError, match="length of training"):
        Progress(**limits)


def test_sizes_follow_each_other_and_the_last_one_stays():
    schedule = parse_resolution_schedule("64:0.5,96:0.25,128:0.25")
    assert [size_at(schedule, fraction) for fraction in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [64, 64, 96, 96, 128, 128]


@pytest.mark.parametrize("text", ["", "128", "128:0.5", "128:0.5,192:0.6", "x:1", "0:1", "128:1:2", "128:2,64:-1"])
def test_unreadable_schedules_are_shown(text):
    with pytest.raises(ValueError, match=f"resolution_schedule: .*got '{text}'"):
        parse_resolution_schedule(text)


def test_a_suspended_process_loses_less_than_a_step(clock):
    progress = Progress(max_minutes=10)
    clock[0] += 60
    progress.tick()
    clock[0] += 30 + 100_000  # half a minute into the next step somebody stops the process
    progress.forget_pause()
    clock[0] += 60
    assert progress.minutes == pytest.approx(2)


def test_everything_but_the_limits_is_remembered():
    progress = Progress(max_steps=10, step=4, best_value=0.5, best_step=2, skipped_steps=3, unreadable=7)
    resumed = Progress(max_steps=20)
    resumed.load_state_dict(progress.state_dict())
    assert (resumed.step, resumed.best_value, resumed.best_step) == (4, 0.5, 2)
    assert (resumed.skipped_steps, resumed.unreadable, resumed.max_steps) == (3, 7, 20)
