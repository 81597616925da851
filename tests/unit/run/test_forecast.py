"""What a run says of its time: sums of what is to come, times what each part of it took."""

import re
from types import SimpleNamespace

import pytest

from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.data.order.plan_protocol import Plan
from accel_asr.data.order.stream_plan import StreamPlan
from accel_asr.run import forecast as run_forecast
from accel_asr.run.forecast import (
    RunForecast,
    StepTimes,
    duration,
    opening_lines,
    warmup_note,
)
from accel_asr.run.training_plan import Cadence


def plan(num_rows: int = 100, micro_batch_size: int = 10, **more) -> WindowPlan:
    return WindowPlan(
        num_rows=num_rows,
        micro_batch_size=micro_batch_size,
        accumulation_steps=1,
        num_processes=1,
        seed=1,
        drop_last=True,
        **more,
    )


def evaluation_steps(plan: Plan, *, every: int | None, last_step: int) -> list[int]:
    return Cadence(plan, last_step, every, None).evaluation_steps()


def test_evaluations_come_after_so_many_steps_or_after_each_epoch_and_in_the_end() -> None:
    assert evaluation_steps(plan(), every=None, last_step=30) == [10, 20, 30]
    assert evaluation_steps(plan(), every=None, last_step=25) == [10, 20, 25]
    assert evaluation_steps(plan(), every=7, last_step=15) == [7, 14, 15]
    assert evaluation_steps(plan(), every=5, last_step=15) == [5, 10, 15]
    stream = StreamPlan(micro_batch_size=2, accumulation_steps=1, num_processes=1, seed=1, block_rows=5)
    assert evaluation_steps(stream, every=None, last_step=9) == [9]


def test_they_are_the_steps_at_which_the_run_evaluates() -> None:
    import numpy as np

    uneven = plan(num_rows=60, durations_s=np.linspace(1, 9, 60), batch_seconds=15.0)
    last = uneven.last_step(4)
    assert len({uneven.steps_in(epoch) for epoch in range(4)}) > 1  # or it would show nothing
    cadence = Cadence(uneven, last, None, None)
    expected = [step for step in range(1, last + 1) if cadence.evaluates_after(step)]
    assert evaluation_steps(uneven, every=None, last_step=last) == expected


def test_the_time_left_is_that_of_steps_and_evaluations() -> None:
    forecast = RunForecast(first_step=1, last_step=100, evaluation_steps=[50, 100])
    assert forecast.seconds_left(0) is None
    forecast.evaluation_took(30.0)
    for _ in range(20):
        forecast.step_took(2.0)
    assert forecast.seconds_left(20) == pytest.approx(80 * 2 + 2 * 30)
    assert forecast.seconds_left(50) == pytest.approx(50 * 2 + 30)
    assert forecast.seconds_left(100) == 0


def test_the_first_steps_do_not_count_once_there_are_others() -> None:
    times = StepTimes()
    times.add(60.0)  # plans kernels
    times.add(30.0)
    assert times.mean_s > 30
    for _ in range(10):
        times.add(1.0)
    assert times.mean_s == pytest.approx(1.0)


def test_the_newest_steps_count_most() -> None:
    times = StepTimes()
    for seconds in [1.0] * 300 + [3.0] * 300:  # the machine has got another guest
        times.add(seconds)
    assert times.mean_s == pytest.approx(3.0, abs=0.01)


def test_after_ten_steps_the_end_is_foretold_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    run_forecast.time.tzset()
    forecast = RunForecast(first_step=1, last_step=1_000, evaluation_steps=[500, 1_000])
    forecast.evaluation_took(60.0)
    lines = []
    for step in range(1, 13):
        forecast.step_took(2.0)
        lines.append(forecast.line_after(step, now_s=0.0))
    assert [line is not None for line in lines] == [step == 10 for step in range(1, 13)]
    line = str(lines[9])
    assert "a step takes 2.00 s; 990 more, 2 evaluations: about 35 min left, until 00:35; peak memory" in line
    assert re.search(r"peak memory \d+\.\d\d GB resident", line)


def test_a_run_of_fewer_than_ten_steps_tells_after_its_last() -> None:
    forecast = RunForecast(first_step=1, last_step=3, evaluation_steps=[3])
    for step in range(1, 4):
        forecast.step_took(1.0)
        assert (forecast.line_after(step) is not None) is (step == 3)


def test_the_first_evaluation_says_what_the_others_will_take() -> None:
    forecast = RunForecast(first_step=1, last_step=30, evaluation_steps=[10, 20, 30])
    forecast.evaluation_took(100.0)
    assert forecast.line_after_first_evaluation(0) == "the evaluation took 2 min; 3 more, about 5 min in all"
    assert forecast.line_after_first_evaluation(30) == "the evaluation took 2 min"


@pytest.mark.parametrize("has_moving_average", [False, True])
def test_what_is_coming_is_said_before_it_comes(has_moving_average: bool) -> None:
    forecast = RunForecast(first_step=1, last_step=900, evaluation_steps=list(range(30, 901, 30)))
    lines = opening_lines(
        forecast,
        parameters=1_000_000,
        weight_bytes=4 * 1_000_000,
        trainable=400_000,
        copied=1_000_000,
        optimizer_bytes=8 * 400_000,
        has_moving_average=has_moving_average,
        epochs=30.0,
        window_sum="2 processes x 3 x 5 = 30",
        unit="utterances",
        validation_utterances=113,
        evaluates_first=True,
        is_main_process=True,
    )
    assert lines[0] == (
        "trains 400,000 of 1,000,000 parameters in 900 optimizer steps, 30 epochs; global batch (processes x "
        "accumulation x micro-batch): 2 processes x 3 x 5 = 30 utterances; 31 evaluations of 113 utterances"
    )
    # 4 weights + 0.4 x 4 x (gradient + 2 of AdamW) + a copy of 4 weights and 0.4 x 4 x 2, in MB
    # and 0.4 x 4 for a moving average, twice
    assert f"training needs {19 if has_moving_average else 16} MB" in lines[1]
    assert ("the moving average" in lines[1]) is has_moving_average
    assert "resident now" in lines[1]


@pytest.mark.parametrize(
    ("epochs", "words"), [(1.0, "3 optimizer steps, 1 epoch;"), (0.5, "3 optimizer steps, 0.5 epochs;")]
)
def test_one_epoch_is_no_epochs(epochs: float, words: str) -> None:
    forecast = RunForecast(first_step=1, last_step=3, evaluation_steps=[3])
    line, _ = opening_lines(
        forecast,
        parameters=1,
        weight_bytes=4 * 1,
        trainable=1,
        copied=1,
        optimizer_bytes=8,
        epochs=epochs,
        window_sum="1 process x 1 x 1 = 1",
        unit="utterances",
        validation_utterances=1,
        evaluates_first=False,
        is_main_process=True,
    )
    assert words in line


def test_a_resumed_run_tells_what_is_left() -> None:
    forecast = RunForecast(first_step=61, last_step=90, evaluation_steps=[30, 60, 90])
    line, _ = opening_lines(
        forecast,
        parameters=10,
        weight_bytes=4 * 10,
        copied=10,
        trainable=10,
        optimizer_bytes=80,
        epochs=3.0,
        window_sum="1 process x 1 x 5 = 5",
        unit="utterances",
        validation_utterances=7,
        evaluates_first=True,
        is_main_process=True,
    )
    assert "30 of 90 optimizer steps" in line
    assert "1 evaluation of 7 utterances" in line


@pytest.mark.parametrize(
    ("warmup", "last", "expected"),
    [
        (50, 60, "at step 50 only"),
        (30, 60, "at step 30 only"),
        (29, 60, None),
        (100, 60, "never reaches"),
        (0, 1, None),
    ],
)
def test_a_warmup_of_half_of_the_run_is_noted(warmup: int, last: int, expected: str | None) -> None:
    note = warmup_note(warmup_steps=warmup, last_step=last, learning_rate=1e-5)
    if expected is None:
        assert note is None
    else:
        assert expected in str(note)
        assert f"training.warmup_steps: {warmup} of the run's {last} steps" in str(note)
        assert "--training.warmup_steps 6 " in str(note)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(0.42, "0.4 s"), (42.3, "42 s"), (89, "89 s"), (125, "2 min"), (3_700, "62 min"), (11_100, "3 h 05 min"),
     (200_000, "2 d 7 h")],
)  # fmt: skip
def test_durations_in_words(seconds: float, message: str) -> None:
    assert duration(seconds) == message


def test_memory_of_a_gpu_is_told_beside_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_forecast.torch.cuda, "mem_get_info", lambda device: (139e9, 140e9))
    monkeypatch.setattr(run_forecast.torch.cuda, "max_memory_allocated", lambda device: 7e9)
    gpu = SimpleNamespace(type="cuda")
    assert "1.00 GB of the GPU's 140.00 GB in use" in run_forecast.memory_now(gpu)  # type: ignore[arg-type]
    assert "7.00 GB on the GPU" in run_forecast.peak_memory(gpu)  # type: ignore[arg-type]
