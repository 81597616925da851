"""How long a run will take: estimated before its first step, and corrected as it goes."""

import time
from bisect import bisect_right
from collections.abc import Sequence

import psutil
import torch

from accel_asr.console.printing import counted

CPU = torch.device("cpu")
FORECAST_AFTER = 10  # steps
SETTLING_STEPS = 2  # the first steps also allocate memory and plan kernels
MEMORY_OF_A_STEP = 0.98  # each step counts this much of the step after it
FLOAT32_BYTES = 4
LATE_WARMUP = 0.5  # of all steps


class StepTimes:
    """Seconds of a step: a mean in which the newest steps count most."""

    def __init__(self) -> None:
        self.steps = 0
        self._weight = self._seconds = 0.0

    def add(self, seconds: float) -> None:
        """Add the time of a step. The very first steps are not typical, and go as soon as there are others."""
        self.steps += 1
        if self.steps == SETTLING_STEPS + 1:
            self._weight = self._seconds = 0.0
        self._weight = MEMORY_OF_A_STEP * self._weight + 1.0
        self._seconds = MEMORY_OF_A_STEP * self._seconds + seconds

    @property
    def mean_s(self) -> float:
        """Of the steps so far."""
        return self._seconds / self._weight


class RunForecast:
    """Knows what is to come and how long each part has taken so far.

    Args:
        first_step, last_step: Of this run, from 1; a resumed run begins later.
        evaluation_steps: After which it is evaluated, in order.
        device: The device that trains.
    """

    def __init__(
        self,
        *,
        first_step: int,
        last_step: int,
        evaluation_steps: Sequence[int],
        device: torch.device = CPU,
    ) -> None:
        self.first_step, self.last_step = first_step, last_step
        self.evaluation_steps = evaluation_steps
        self.device = device
        self.step_times = StepTimes()
        self.evaluation_s = 0.0

    def step_took(self, seconds: float) -> None:
        """The wall time of a step, pauses for evaluations and checkpoints not counted."""
        self.step_times.add(seconds)

    def evaluation_took(self, seconds: float) -> None:
        """The wall time of an evaluation; the newest is the best guess at the next: a tuned model loops less."""
        self.evaluation_s = seconds

    def evaluations_after(self, step: int) -> int:
        """How many are still to come."""
        return len(self.evaluation_steps) - bisect_right(self.evaluation_steps, step)

    def seconds_left(self, step: int) -> float | None:
        """After `step`; None before any step was timed."""
        if self.step_times.steps == 0:
            return None
        steps = self.last_step - step
        return steps * self.step_times.mean_s + self.evaluations_after(step) * self.evaluation_s

    def line_after(self, step: int, *, now_s: float | None = None) -> str | None:
        """After the first ten steps: the time of a step, the time left, peak memory."""
        if step != min(self.first_step + FORECAST_AFTER - 1, self.last_step) or self.step_times.steps == 0:
            return None
        step_s = f"a step takes {self.step_times.mean_s:.2f} s"
        peak = f"peak memory {peak_memory(self.device)}"
        if step == self.last_step:
            return f"{step_s}; {peak}"
        left_s = self.seconds_left(step)
        assert left_s is not None
        end = time.strftime("%H:%M", time.localtime((time.time() if now_s is None else now_s) + left_s))
        parts = [f"{self.last_step - step:,} more"]
        evaluations = self.evaluations_after(step)
        if evaluations:
            parts.append(f"{counted(evaluations, 'evaluation')}{'' if self.evaluation_s else ' of unknown length'}")
        return f"{step_s}; {', '.join(parts)}: about {duration(left_s)} left, until {end}; {peak}"

    def line_after_first_evaluation(self, step: int) -> str:
        """How long it took, and how long the rest will take."""
        count = self.evaluations_after(step)
        more = f"; {count:,} more, about {duration(count * self.evaluation_s)} in all" if count else ""
        return f"the evaluation took {duration(self.evaluation_s)}{more}"


def opening_lines(
    forecast: RunForecast,
    *,
    parameters: int,
    trainable: int,
    weight_bytes: int,
    copied: int,
    optimizer_bytes: int,
    has_moving_average: bool = False,
    epochs: float,
    window_sum: str,
    unit: str,
    validation_utterances: int,
    evaluates_first: bool,
    is_main_process: bool,
) -> list[str]:
    """What a run prints before its first step.

    Args:
        copied: Of the parameters, those that a checkpoint holds.
        epochs: After the last step; 0 where it is not known.
        window_sum: How the global batch comes about, such as `2 processes x 1 x 8 = 16`, counted in `unit`.
        evaluates_first: The untouched model is scored too.
        is_main_process: It keeps a copy of weights and optimizer state, from which checkpoints are written.
    """
    steps = forecast.last_step - forecast.first_step + 1
    of_all = f" of {forecast.last_step:,}" if steps < forecast.last_step else ""
    of_epochs = f", {epochs:.3g} epoch{'s' * (epochs != 1)}" if epochs else ""
    evaluations = forecast.evaluations_after(forecast.first_step - 1)
    evaluations += evaluates_first and forecast.first_step == 1
    average = trainable * FLOAT32_BYTES if has_moving_average else 0
    state = trainable * FLOAT32_BYTES + optimizer_bytes + average
    copy = copied * FLOAT32_BYTES + optimizer_bytes + average if is_main_process else 0
    on_cpu = forecast.device.type == "cpu"
    needed = weight_bytes + state + (copy if on_cpu else 0)
    more = ", the moving average" * has_moving_average
    more += ", the copy that checkpoints are written from" if on_cpu and copy else ""
    return [
        f"trains {trainable:,} of {parameters:,} parameters in {steps:,}{of_all} optimizer "
        f"step{'s' * (steps != 1)}{of_epochs}; global "
        f"batch (processes x accumulation x micro-batch): {window_sum} {unit}; "
        f"{counted(evaluations, 'evaluation')} of {validation_utterances:,} utterances",
        f"memory: {memory_now(forecast.device)}; training needs {gigabytes(needed)} for weights, gradients, the "
        f"optimizer's state{more}, and more for the activations of a micro-batch",
    ]


def warmup_note(*, warmup_steps: int, last_step: int, learning_rate: float) -> str | None:
    """A note if the learning rate rises for half of the run or longer."""
    if warmup_steps < LATE_WARMUP * last_step:
        return None
    if warmup_steps > last_step:
        reached = f"the learning rate never reaches its peak of {learning_rate:g}"
    else:
        reached = f"the learning rate reaches its peak of {learning_rate:g} at step {warmup_steps:,} only"
    return (
        f"note: training.warmup_steps: {warmup_steps:,} of the run's {last_step:,} steps are warmup, so {reached}; "
        f"--training.warmup_steps {max(last_step // 10, 1)} would be a tenth"
    )


# -- in words


def duration(seconds: float) -> str:
    """`4.2 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24} d {hours % 24} h"


def gigabytes(size: float) -> str:
    """Bytes as `1.23 GB`, or `12 MB`."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def memory_now(device: torch.device) -> str:
    """Memory used by this process and its device, and how much there is."""
    machine = psutil.virtual_memory()
    resident = psutil.Process().memory_info().rss
    line = f"{gigabytes(resident)} resident now, {gigabytes(machine.available)} free on this machine"
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        line += f"; {gigabytes(total - free)} of the GPU's {gigabytes(total)} in use"
    return line


def peak_memory(device: torch.device) -> str:
    """Peak memory of this process, and of its GPU."""
    try:
        import resource
        import sys

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    except ImportError:  # Windows
        peak = psutil.Process().memory_info().rss
    line = f"{gigabytes(peak)} resident"
    if device.type == "cuda":
        line += f", {gigabytes(torch.cuda.max_memory_allocated(device))} on the GPU"
    return line
