"""`fit` and its step on a tiny model, in one process."""

import errno
import json
import os
import signal

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from safetensors.torch import load_file
from torch import nn

from open_dpt.training import (
    CheckpointError,
    Plan,
    RunLog,
    Settings,
    TrainingError,
    fit,
    images_with_depth,
    train_step,
)
from open_dpt.training.checkpoints import checkpoints


class Model(nn.Module):
    """Depth from colours, with dropout; its loss is the mean over images that have a valid pixel."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.dpt = nn.Conv2d(3, 4, 1)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Conv2d(4, 1, 1)
        self.poison = None

    def forward(self, pixel_values, labels, valid_mask):
        prediction = self.head(self.drop(self.dpt(pixel_values).relu()))[:, 0]
        cost = torch.where(valid_mask, (prediction - labels).abs(), 0).flatten(1).sum(1)
        pixels, known = valid_mask.flatten(1).sum(1), valid_mask.flatten(1).any(1)
        loss = (cost / pixels.clamp(min=1)).sum() / known.sum().clamp(min=1)
        if self.poison is not None and self.poison():
            loss = loss * torch.nan
        return type("Output", (), {"loss": loss})


class Loader:
    """Sample p is a function of p; every third image has no depth at all."""

    def __init__(self, batch_size):
        self.batch_size = batch_size

    def __len__(self):
        return 8

    def batches(self, first=0):
        while True:
            samples = [self.sample(p) for p in range(first * self.batch_size, (first + 1) * self.batch_size)]
            yield {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
            first += 1

    def sample(self, position):
        generator = torch.Generator().manual_seed(position)
        image, mask = torch.rand(3, 4, 4, generator=generator), torch.rand(4, 4, generator=generator) < 0.5
        known = mask & torch.tensor(position % 3 != 1)
        return {"pixel_values": image, "labels": image.sum(0), "valid_mask": known}


@pytest.fixture(autouse=True)
def fresh_state():
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def start(folder, *, steps=6, batch=4, accumulation=1, model=None, trackers="none", **settings):
    """Everything `fit` needs, by name."""
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
    model = model or Model()
    defaults = {"checkpointing_steps": 2, "eval_steps": 0, "logging_steps": 1, "lr_scheduler_type": "constant"}
    return {
        "accelerator": accelerator,
        "model": model,
        "optimizer": torch.optim.AdamW(model.parameters(), lr=1e-2),
        "loader": Loader(batch),
        "plan": Plan(8, batch, 1, accumulation, steps),
        "settings": Settings(output_dir=folder, **{**defaults, **settings}),
        "count": images_with_depth,
        "run_log": RunLog(accelerator, folder, trackers),
    }


def weights(outcome):
    return {name: tensor.clone() for name, tensor in outcome.model.state_dict().items()}


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def same(first, second):
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_accumulated_steps_are_those_of_the_whole_batch(tmp_path):
    whole = weights(fit(**start(tmp_path / "whole", batch=8)))
    parts = weights(fit(**start(tmp_path / "parts", batch=2, accumulation=4)))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=1e-6, rtol=1e-5)
    losses = [[line["loss"] for line in log(tmp_path / name) if "loss" in line] for name in ("whole", "parts")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_batch_without_any_depth_changes_nothing():
    accelerator, model = Accelerator(cpu=True), Model()
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = next(Loader(2).batches()) | {"valid_mask": torch.zeros(2, 4, 4, dtype=torch.bool)}
    result = train_step(accelerator, model, optimizer, [batch], count=images_with_depth)
    assert result.loss == 0 and result.gradient_norm == 0 and not result.failed
    assert same(before, model.state_dict())


@pytest.mark.parametrize("die_after", [2, 3, 5])
def test_a_run_that_dies_ends_with_the_same_bits(tmp_path, die_after, monkeypatch):
    def run(folder, limit=None):
        options = start(folder, batch=2, accumulation=2, model=Model(dropout=0.5), ema_decay=0.9, eval_steps=1)
        calls = []

        def evaluate(model, step):
            torch.rand(3)  # whatever evaluation draws must not matter
            calls.append(step)
            if step == limit:
                raise ConnectionAbortedError("pulled the plug")
            return {"score": 1.0}

        return fit(**options, evaluate=evaluate), calls

    whole, _ = run(tmp_path / "whole")
    with pytest.raises(ConnectionAbortedError):
        run(tmp_path / "broken", die_after)
    again, calls = run(tmp_path / "broken")
    assert calls[0] == die_after - die_after % 2 + 1 - (die_after % 2 == 0) * 2  # from the checkpoint before
    assert same(weights(whole), weights(again))
    steps = [line["step"] for line in log(tmp_path / "broken") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]
    ema = [load_file(tmp_path / name / "step_6" / "ema.safetensors") for name in ("whole", "broken")]
    assert same(*ema)


def test_dropout_differs_between_steps_and_seeds_but_not_between_runs():
    def loss(seed):
        accelerator, model = Accelerator(cpu=True), Model(dropout=0.5)
        model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.0))
        batch = next(Loader(4).batches())
        return train_step(accelerator, model, optimizer, [batch], count=images_with_depth, seed=seed).loss

    assert loss((0, 3)) == loss((0, 3))
    # A mask of few elements may come again.
    assert len({loss((0, step)) for step in range(6)}) > 1 < len({loss((seed, 3)) for seed in range(6)})


def test_a_bad_step_changes_nothing_and_is_counted(tmp_path):
    calls = []
    model = Model()
    model.poison = lambda: calls.append(1) or len(calls) == 3
    outcome = fit(**start(tmp_path, model=model))
    assert outcome.facts["skipped_steps"] == 1
    assert all(tensor.isfinite().all() for tensor in weights(outcome).values())
    lines = log(tmp_path)
    assert any("step 3: skipped" in line.get("message", "") for line in lines)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 4, 5, 6]


def test_too_many_bad_steps_stop_and_name_the_last_good_checkpoint(tmp_path):
    calls = []
    model = Model()
    model.poison = lambda: calls.append(1) or len(calls) > 3
    with pytest.raises(TrainingError, match=r"3 steps in a row .*step_4.* continues from it") as caught:
        fit(**start(tmp_path, steps=20, model=model, max_skipped_steps=3))
    assert "\n" not in str(caught.value)
    assert len(calls) == 6


def test_one_step_with_a_bad_gradient_but_a_fine_loss_is_skipped_too():
    accelerator, model = Accelerator(cpu=True), Model()
    model.head.weight.register_hook(lambda gradient: gradient * torch.inf)
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    result = train_step(accelerator, model, optimizer, [next(Loader(2).batches())], count=images_with_depth)
    assert result.failed and not result.updated and abs(result.loss) < 10
    assert same(before, model.state_dict())


def test_the_best_is_kept_apart_from_the_last(tmp_path):
    scores = {1: float("nan"), 2: 0.9, 3: 0.7, 4: 0.9, 5: 0.8, 6: 0.1}
    saved = []

    def save(model, folder, step, metrics):
        saved.append((folder.name, step, metrics["score"]))

    options = start(tmp_path, eval_steps=1, metric_for_best="score")
    outcome = fit(**options, evaluate=lambda model, step: {"score": scores[step]}, save_model=save)
    assert saved == [("best", 2, 0.9)]  # nan is no result, and an equal one later is no better
    assert outcome.metrics == {"score": 0.1}
    assert (outcome.facts["best_step"], outcome.facts["best_value"]) == (2, 0.9)
    saved.clear()
    options = start(tmp_path / "lowest", eval_steps=1, metric_for_best="-score")
    fit(**options, evaluate=lambda model, step: {"score": scores[step]}, save_model=save)
    assert [step for _, step, _ in saved] == [2, 3, 6]


def test_the_best_metric_survives_a_resume(tmp_path):
    scores = {2: 0.9, 4: 0.5, 6: 0.6}
    saved = []

    def evaluate(model, step):
        if step == 4 and not saved[1:]:
            saved.append("died")
            raise ConnectionAbortedError
        return {"score": scores[step]}

    def run():
        options = start(tmp_path, eval_steps=2, metric_for_best="score")
        return fit(**options, evaluate=evaluate, save_model=lambda model, folder, step, metrics: saved.append(step))

    with pytest.raises(ConnectionAbortedError):
        run()
    run()
    assert saved == [2, "died"]


def test_an_unknown_best_metric_is_named(tmp_path):
    with pytest.raises(ValueError, match="metric_for_best: must be one of score, got 'miou'"):
        fit(**start(tmp_path, metric_for_best="miou"), evaluate=lambda model, step: {"score": 1.0})


def test_evaluation_sees_the_moving_average_and_training_does_not(tmp_path):
    seen = {}

    def evaluate(model, step):
        seen[step] = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        return {"score": 0.0}

    averaged = fit(**start(tmp_path / "a", ema_decay=0.5, eval_steps=3), evaluate=evaluate)
    plain = fit(**start(tmp_path / "b"))
    stored = load_file(tmp_path / "a" / "step_6" / "model.safetensors")
    assert same(stored, weights(plain)) and not same(stored, weights(averaged))
    assert same(seen[6], weights(averaged)) and not same(seen[3], seen[6])


def test_the_mean_of_the_last_checkpoints_can_be_the_model(tmp_path):
    outcome = fit(**start(tmp_path, average_last=2, checkpoints_total_limit=1))
    folders = checkpoints(tmp_path)
    assert [folder.name for folder in folders] == ["step_4", "step_6"]
    first, second = (load_file(folder / "model.safetensors") for folder in folders)
    for name, tensor in weights(outcome).items():
        torch.testing.assert_close(tensor, (first[name] + second[name]) / 2)


def test_a_signal_leaves_a_checkpoint_to_continue_from(tmp_path):
    model = Model()
    calls = []
    model.poison = lambda: calls.append(1) or (len(calls) == 3 and os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    outcome = fit(**start(tmp_path, model=model))
    assert not outcome.finished and outcome.step == 3
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step_2", "step_3"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert "stopped at step 3" in log(tmp_path)[-1]["message"]


def test_a_full_disk_stops_with_one_line_and_harms_no_checkpoint(tmp_path, monkeypatch):
    save = Accelerator.save_state

    def full(self, folder, **options):
        if "step_4" not in folder:
            return save(self, folder, **options)
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "save_state", full)
        with pytest.raises(CheckpointError, match=r"step_4: not written .*No space.*Last good.*step_2") as caught:
            fit(**start(tmp_path))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".step_*"))
    whole = fit(**start(tmp_path / "whole"))
    assert same(weights(whole), weights(fit(**start(tmp_path))))


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, capsys):
    whole = weights(fit(**start(tmp_path)))
    with open(tmp_path / "step_6" / "optimizer.bin", "r+b") as file:
        file.truncate(100)
    again = fit(**start(tmp_path))
    assert same(whole, weights(again))
    output = capsys.readouterr().out
    assert "step_6: skipped, optimizer.bin has 100 of" in output
    assert any("step_4 at step 4" in line.get("message", "") for line in log(tmp_path))


def test_the_images_in_a_step_are_named_when_they_cannot_be_kept(tmp_path):
    fit(**start(tmp_path))
    manifest = json.loads((tmp_path / "step_6" / "manifest.json").read_text())
    assert manifest["total_batch"] == 4 and manifest["processes"] == 1


def test_the_loss_scaler_finding_its_scale_is_no_failure():
    accelerator, model = Accelerator(cpu=True), Model()
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    limit = 4.0
    model.head.weight.register_hook(
        lambda gradient: gradient * (torch.inf if accelerator.scaler.get_scale() > limit else 1)
    )
    model, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))

    def step():
        result = train_step(accelerator, model, optimizer, [next(Loader(2).batches())], count=images_with_depth)
        return result.failed, result.updated, accelerator.scaler.get_scale()

    assert [step() for _ in range(3)] == [(False, False, 8.0), (False, False, 4.0), (False, True, 4.0)]
    limit = -1.0  # infinite at any scale: down to 1 it may be overflow, then it is not
    assert [step()[:2] for _ in range(3)] == [(False, False), (False, False), (True, False)]
    model.poison = lambda: True
    assert step()[:2] == (True, False)


def test_unreadable_data_stop_a_run_with_the_last_good_checkpoint(tmp_path):
    class Torn(Loader):
        def batches(self, first=0):
            for number, batch in enumerate(super().batches(first), first):
                if number == 3:
                    raise ValueError("a.png: truncated.")
                yield batch | {"unreadable": ["b.png: gone"] if number == 1 else []}

    options = start(tmp_path) | {"loader": Torn(4)}
    with pytest.raises(TrainingError, match=r"^a\.png: truncated\. Last good checkpoint: .*step_2"):
        fit(**options)
    assert any(line.get("message") == "unreadable, replaced: b.png: gone" for line in log(tmp_path))


def test_a_checkpoint_in_another_folder_can_be_the_start(tmp_path):
    first = weights(fit(**start(tmp_path / "first", steps=4)))
    outcome = fit(**start(tmp_path / "second", steps=4, resume_from_checkpoint=str(tmp_path / "first" / "step_4")))
    assert same(first, weights(outcome))
    assert [folder.name for folder in checkpoints(tmp_path / "second")] == ["step_4"]


def test_going_back_to_an_earlier_checkpoint_leaves_the_later_ones_aside(tmp_path):
    fit(**start(tmp_path))
    fit(**start(tmp_path, resume_from_checkpoint=str(tmp_path / "step_4"), steps=5))
    assert [folder.name for folder in checkpoints(tmp_path)] == ["step_4", "step_5"]
    assert (tmp_path / "step_6.set_aside").is_dir()
