"""A way of training, probed: some real steps on a run's own data; seconds, memory, and what they taught."""

import math
import statistics
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

from accelerate import Accelerator
from torch import nn

from accel_asr.data.loading.worker_count import num_workers_of_rank
from accel_asr.data.order.epoch_order import WindowPlan
from accel_asr.data.order.plan_protocol import Plan
from accel_asr.data.order.stream_plan import StreamPlan
from accel_asr.evaluation.evaluating import Evaluation
from accel_asr.model.pretrained import parameter_counts
from accel_asr.planning.sample import Sample, loaded_of, score_sample
from accel_asr.planning.ways import ADAPTERS, Way
from accel_asr.run.display import Display
from accel_asr.run.guards import RunGuards
from accel_asr.run.job import Job, load_job
from accel_asr.run.micro_batch import probe_of_run
from accel_asr.run.prepared_model import prepare_model
from accel_asr.run.training_plan import RunPlan, plan_run
from accel_asr.training.launch.device_memory import available_bytes, free_memory, peak_watched, used_bytes
from accel_asr.training.memory_probe import USED_SHARE
from accel_asr.training.optimizers import state_bytes
from accel_asr.training.schedule import set_learning_rate
from accel_asr.training.step import train_step

STEPS = 20
SETTLING_STEPS = 2  # the first steps also allocate memory
WARMUP_STEPS = 3
FLOAT32_BYTES = 4
LARGEST_MICRO_BATCH = 256


@dataclass(frozen=True)
class Probe:
    """What the steps of one way were like.

    Args:
        step_s: A whole step of the run: the median of the steps, times how many utterances it has more.
        steps, utterances_a_step: What was made; steps_took_s: in so many seconds.
        peak_bytes: While they were made: resident memory on a CPU, allocated memory on a GPU.
        disk_bytes: All that the run will keep.
        hours: From the start to the end of the run, with its evaluations.
        audio_hours_per_hour: Of training audio, evaluations not counted.
        after: The sample after these steps.
        guards: Records of the guards after these steps.
    """

    way: Way
    steps: int
    utterances_a_step: int
    steps_took_s: float
    step_s: float
    peak_bytes: int
    disk_bytes: int
    hours: float
    run_steps: int
    trained_parameters: int
    audio_hours_per_hour: float
    largest_micro_batch: int
    after: Evaluation
    guards: dict[str, dict[str, Any]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As `--json` has it; rates are fractions."""
        own = {name: value for name, value in vars(self).items() if name not in ("way", "after", "guards")}
        return {
            "way": self.way.name,
            "meaning": self.way.meaning,
            "settings": self.way.settings,
            **own,
            "after": self.after.record(),
            "guards": self.guards,
        }


def probe_way(
    way: Way,
    sample: Sample,
    *,
    accelerator: Accelerator,
    budget_s: float,
    evaluation_s: float,
    guards_s: float,
    baseline_guards: dict[str, Any],
    like: Probe | None,
) -> Probe:
    """Make up to STEPS steps in `budget_s`, with fewer utterances in each if need be, and score the sample.

    The model is loaded anew and thrown away.

    Args:
        evaluation_s: Seconds that an utterance of the validation data takes.
        guards_s: Seconds that the guards take at an evaluation.
        baseline_guards: Records of the guards before training.
        like: The first way's probe; no more steps or utterances are made than there, so that no way wins by them.

    Raises:
        UserError: the way does not go with the run's model or data.
    """
    quiet = Display(accelerator)
    quiet.is_main = False
    job = load_job(way.config, accelerator.device)
    plan = plan_run(job, way.config, accelerator=accelerator, display=quiet)
    of_run = plan.training.per_device_train_batch_size * plan.training.gradient_accumulation_steps
    largest = _largest_micro_batch(job, way, accelerator=accelerator)
    model, optimizer = prepare_model(
        job, way.config, learning_rate=plan.schedule.peak, accelerator=accelerator, display=quiet
    )
    model.train()
    settling = _steps(job, plan, model, optimizer, accelerator=accelerator, utterances=min(2, of_run), steps=2)
    affordable = int(budget_s / STEPS / max(settling.median_s / min(2, of_run), 1e-6))
    utterances = min(max(affordable, 1), of_run if like is None else like.utterances_a_step)
    steps = STEPS if like is None else like.steps
    with peak_watched() as peak:
        timed = _steps(
            job, plan, model, optimizer, accelerator=accelerator, utterances=utterances, steps=steps, budget_s=budget_s
        )
    peak_bytes = peak.bytes if accelerator.device.type == "cpu" else used_bytes(accelerator.device)
    step_s = timed.median_s * of_run / utterances
    whole = accelerator.unwrap_model(model)
    after = score_sample(whole, sample, loaded_of(job), accelerator=accelerator, name=way.name)
    guards = {}
    if baseline_guards:
        run_guards = RunGuards(replace(job, guards=sample.guards), None, accelerator, None, quiet)
        guards = run_guards.records(run_guards.score(whole), baseline_guards)
    evaluated = plan.cadence.evaluation_steps()
    with_guards = {*evaluated[:: way.config.evaluation.guard_every], *evaluated[-1:]}
    evaluations_s = (len(evaluated) + 1) * evaluation_s * len(job.data.validation) + (len(with_guards) + 1) * guards_s
    run_s = plan.last_step * step_s + evaluations_s
    probe = Probe(
        way,
        steps=timed.count,
        utterances_a_step=utterances,
        steps_took_s=timed.seconds,
        step_s=step_s,
        peak_bytes=peak_bytes,
        disk_bytes=_disk_bytes(way, model, whole),
        hours=run_s / 3600,
        run_steps=plan.last_step,
        trained_parameters=parameter_counts(whole)[1],
        audio_hours_per_hour=timed.audio_s / timed.seconds,
        largest_micro_batch=largest,
        after=after,
        guards=guards,
    )
    del model, optimizer, whole, job
    accelerator.free_memory()
    free_memory()
    return probe


@dataclass(frozen=True)
class _Timed:
    """Steps that were made. `median_s`: of those after the first SETTLING_STEPS, if there are as many."""

    count: int
    seconds: float
    median_s: float
    audio_s: float


def _steps(
    job: Job,
    plan: RunPlan,
    model: nn.Module,
    optimizer: Any,
    *,
    accelerator: Accelerator,
    utterances: int,
    steps: int,
    budget_s: float = float("inf"),
) -> _Timed:
    """Make steps of so many utterances, until `steps` are made or the time is over; at least three, if asked for."""
    sizes: dict[str, Any] = {"micro_batch_size": utterances, "accumulation_steps": 1}
    if isinstance(plan.order, WindowPlan):
        order: Plan = replace(plan.order, **sizes, batch_seconds=None)
    else:
        assert isinstance(plan.order, StreamPlan)
        order = replace(plan.order, **sizes)
    windows = job.windows(
        order,
        rank=0,
        first_step=1,
        last_step=steps,
        place=None,
        num_workers=num_workers_of_rank(plan.training.dataloader_num_workers, device=accelerator.device),
        pin_memory=accelerator.device.type == "cuda",
    )
    of_run = plan.training.per_device_train_batch_size * plan.training.gradient_accumulation_steps
    peak = plan.schedule.peak * math.sqrt(utterances / of_run)  # as Adam's goes with the batch (arXiv 2205.10287)
    times, audio_s = list[float](), 0.0
    began_s = time.perf_counter()
    with closing(windows):
        for step, window in enumerate(windows, start=1):
            started_s = time.perf_counter()
            set_learning_rate(optimizer, peak * min(step / WARMUP_STEPS, 1))
            result = train_step(
                model,
                optimizer,
                window,
                accelerator=accelerator,
                max_grad_norm=plan.training.max_grad_norm,
                label_smoothing=plan.training.label_smoothing_factor,
            )
            times.append(time.perf_counter() - started_s)
            audio_s += result.audio_s
            if len(times) > SETTLING_STEPS and time.perf_counter() - began_s > budget_s:
                break
    settled = times[SETTLING_STEPS:] or times
    return _Timed(len(times), sum(times), statistics.median(settled), audio_s)


def _largest_micro_batch(job: Job, way: Way, *, accelerator: Accelerator) -> int:
    """What fits the device: on a CPU by the line through what one and two rows need, on a GPU by trying."""
    probe = probe_of_run(job, way.config, accelerator=accelerator)
    sizes = [2**power for power in range(9) if 2**power <= LARGEST_MICRO_BATCH]
    if accelerator.device.type != "cpu":
        return probe.largest(sizes).micro_batch
    limit = int(available_bytes(accelerator.device) * USED_SHARE) - probe.reserved_bytes
    one, two = (probe.needed_by(rows) for rows in (1, 2))
    if one is None or one > limit:
        return 0
    if two is None or two > limit:
        return 1
    return min(1 + int((limit - one) / max(two - one, 1)), LARGEST_MICRO_BATCH)


def _disk_bytes(way: Way, model: nn.Module, whole: nn.Module) -> int:
    """Checkpoints with the optimizer's state, `best/` and `last/`, and `best_adapter/` where there is one."""
    parameters, trained = parameter_counts(whole)
    is_adapter = way.name == ADAPTERS
    kept = FLOAT32_BYTES * (trained if is_adapter else parameters)
    checkpoints = way.config.checkpoint.save_total_limit * (kept + state_bytes(model, way.config.training.optim))
    return checkpoints + 2 * FLOAT32_BYTES * parameters + (kept if is_adapter else 0)
