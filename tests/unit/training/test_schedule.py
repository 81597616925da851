"""The learning rate, against values worked out by hand."""

from typing import Any

import pytest
import torch
from transformers import get_scheduler

from accel_asr.training.schedule import Schedule, set_learning_rate, whole_warmup_steps
from tests.refusals import refused


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


TYPES: list[tuple[str, dict[str, Any]]] = [
    ("linear", {}),
    ("constant_with_warmup", {}),
    ("constant", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("cosine_with_min_lr", {"min_lr": 1e-6}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 1}),
    ("warmup_stable_decay", {"num_decay_steps": 13}),
    (
        "warmup_stable_decay",
        {"num_decay_steps": 9, "decay_type": "1-sqrt", "warmup_type": "cosine", "min_lr_ratio": 0.1},
    ),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 5}),
    ("polynomial", {}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-6}),
]


@pytest.mark.parametrize(("scheduler_type", "arguments"), TYPES, ids=str)
@pytest.mark.parametrize("warmup_steps", [0, 7])
def test_every_step_has_the_rate_of_transformers_own_schedule_one_step_on(
    scheduler_type: str, arguments: dict[str, Any], warmup_steps: int
) -> None:
    last_step, peak = 40, 3e-4
    ours = Schedule.of_settings(
        learning_rate=peak,
        warmup_steps=warmup_steps,
        last_step=last_step,
        lr_scheduler_type=scheduler_type,
        lr_scheduler_kwargs=arguments,
    )
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    theirs = get_scheduler(scheduler_type, optimizer, warmup_steps, last_step + 1, scheduler_specific_kwargs=arguments)
    expected = []
    for _ in range(last_step):
        optimizer.step()
        theirs.step()  # the rate of its first step is left out: 0 where there is a warmup
        expected.append(optimizer.param_groups[0]["lr"])
    rates = [ours.learning_rate(step) for step in range(1, last_step + 1)]
    if scheduler_type in ("linear", "constant_with_warmup"):
        assert rates == pytest.approx(expected, rel=1e-15)
    else:
        assert rates == expected  # bit for bit
    assert 0 < min(rates) <= max(rates) <= peak
    # a function of the step alone: in any order, from a new object too
    assert [ours.learning_rate(step) for step in (40, 3, 40)] == [rates[39], rates[2], rates[39]]


def test_cosine_halves_the_rate_at_half_of_the_way() -> None:
    # warmup of 10, then 40 steps to step 50, one after the last
    assert rate(30, scheduler_type="cosine", warmup_steps=10, last_step=49) == pytest.approx(5e-6)
    assert rate(10, scheduler_type="cosine", warmup_steps=10, last_step=49) == 1e-5


def test_a_decay_begins_so_many_steps_before_the_end() -> None:
    schedule = Schedule(1.0, 4, 20, "warmup_stable_decay", {"num_decay_steps": 5, "decay_type": "linear"})
    rates = [schedule.learning_rate(step) for step in (2, 4, 16, 17, 20)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.8, 0.2])


def test_constant_has_no_warmup() -> None:
    schedule = Schedule.of_settings(
        learning_rate=0.5, warmup_steps=0.1, last_step=20, lr_scheduler_type="constant", lr_scheduler_kwargs={}
    )
    assert (schedule.warmup_steps, schedule.learning_rate(1)) == (0, 0.5)


@pytest.mark.parametrize(
    ("scheduler_type", "arguments", "value", "remedy"),
    [
        (
            "warmup_stable_decay",
            {"num_decay_steps": 12},
            {"num_decay_steps": 12},
            "at most 11, or fewer --training.warm",
        ),
        ("warmup_stable_decay", {"num_decay_steps": 22}, {"num_decay_steps": 22}, "at most 11, or train for more"),
        ("cosine_with_min_lr", {"min_lr": 1e-3}, {"min_lr": 1e-3}, "less than the peak"),
        ("polynomial", {"lr_end": 2e-3}, {"lr_end": 2e-3}, "less than the peak"),
    ],
)
def test_arguments_that_do_not_fit_the_run_are_refused(
    scheduler_type: str, arguments: dict[str, Any], value: dict[str, Any], remedy: str
) -> None:
    def of_settings(**arguments: Any) -> Schedule:
        return Schedule.of_settings(
            learning_rate=1e-3,
            warmup_steps=10,
            last_step=20,
            lr_scheduler_type=scheduler_type,
            lr_scheduler_kwargs=arguments,
        )

    with refused("--training.lr_scheduler_kwargs", value=value, remedy=remedy):
        of_settings(**arguments)
    fitting = of_settings(**{name: 11 if name == "num_decay_steps" else 1e-4 for name in arguments})
    assert fitting.learning_rate(10) == pytest.approx(1e-3)
    assert 0 < fitting.learning_rate(20) < 2e-4


def test_every_parameter_group_gets_the_rate() -> None:
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [weights[0]], "lr": 1.0}, {"params": [weights[1]], "lr": 2.0}])
    set_learning_rate(optimizer, 0.25)
    for weight in weights:
        weight.grad = torch.ones(1)
    optimizer.step()
    assert [float(weight.detach()) for weight in weights] == [-0.25, -0.25]
