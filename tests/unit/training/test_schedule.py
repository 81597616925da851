"""The learning rate, against values worked out by hand."""

import pytest
import torch

from accel_asr.training.schedule import Schedule, set_learning_rate, whole_warmup_steps


def rate(step: int, *, scheduler_type: str = "constant_with_warmup", warmup_steps: int = 50, last_step: int = 900):
    return Schedule(1e-5, warmup_steps, last_step, scheduler_type).learning_rate(step)


@pytest.mark.parametrize(
    ("step", "expected"), [(1, 2e-7), (2, 4e-7), (25, 5e-6), (49, 9.8e-6), (50, 1e-5), (51, 1e-5), (900, 1e-5)]
)
def test_the_reference_job_warms_up_over_fifty_steps_then_stays(step: int, expected: float) -> None:
    assert rate(step) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scheduler_type", ["constant_with_warmup", "linear"])
def test_the_peak_is_reached_exactly(scheduler_type: str) -> None:
    assert rate(50, scheduler_type=scheduler_type) == 1e-5


@pytest.mark.parametrize(
    ("step", "expected"),
    # ten steps, two of warmup: nine equal parts from the peak at step 2 to zero at step 11, which is never taken
    [(1, 5e-6), (2, 1e-5), (3, 8 / 9 * 1e-5), (6, 5 / 9 * 1e-5), (10, 1 / 9 * 1e-5), (11, 0.0)],
)
def test_linear_falls_to_zero_after_the_last_step(step: int, expected: float) -> None:
    given = rate(step, scheduler_type="linear", warmup_steps=2, last_step=10)
    assert given == pytest.approx(expected, rel=1e-12, abs=1e-18)


def test_without_warmup_it_begins_at_the_peak() -> None:
    assert rate(1, warmup_steps=0) == 1e-5
    # four steps: four fifths, three, two, one
    falling = [rate(step, warmup_steps=0, last_step=4, scheduler_type="linear") for step in (1, 2, 3, 4)]
    assert falling == pytest.approx([8e-6, 6e-6, 4e-6, 2e-6])


def test_a_run_shorter_than_its_warmup_never_reaches_the_peak() -> None:
    rates = [rate(step, warmup_steps=50, last_step=10, scheduler_type="linear") for step in range(1, 11)]
    assert rates == pytest.approx([step * 2e-7 for step in range(1, 11)])


@pytest.mark.parametrize(
    ("setting", "last_step", "steps"),
    [(0.1, 60, 6), (0.1, 61, 7), (0.07, 100, 7), (0, 60, 0), (0.0, 60, 0), (1, 60, 1), (50, 10, 50), (0.1, 1, 1)],
)
def test_below_one_warmup_is_a_share_of_all_steps(setting: float, last_step: int, steps: int) -> None:
    assert whole_warmup_steps(setting, last_step=last_step) == steps


def test_every_parameter_group_gets_the_rate() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weights[0]], "lr": 1.0}, {"params": [weights[1]], "lr": 2.0}])
    set_learning_rate(optimizer, 0.25)
    for weight in weights:
        weight.grad = torch.ones(1)
    optimizer.step()
    assert [float(weight.detach()) for weight in weights] == [-0.25, -0.25]
