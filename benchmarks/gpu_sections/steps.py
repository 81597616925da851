"""One training step of our own, on a batch in memory: its time, its share of the ceiling, its kernels, its memory."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch._dynamo.utils import counters
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from accel_asr.data.loading.collator import Batch
from accel_asr.model.compiled_layers import compile_encoder_layers
from accel_asr.model.gradient_checkpointing import checkpoint_layers
from benchmarks.gpu_sections.trial import Trial, heads, line, speed_rows
from benchmarks.speed.busy import intervals_on
from benchmarks.speed.model_rows import Bench
from benchmarks.speed.own_loop import Own
from benchmarks.speed.timing import Ratio, clock_of, in_turns, peak_mb, ratio, wall_time

SIZES_AND_BATCHES = (("whisper-tiny", 15), ("whisper-base", 32), ("large-v3-turbo", 16))
CLIP_S = 5.0  # where padding is merged
PROFILED_STEPS = 2  # of turbo each is ten thousands of events to read
READS = ("aten::_local_scalar_dense", "aten::is_nonzero")  # the host asks for a number


def ceiling(trial: Trial) -> Iterator[str]:
    """Turbo's step at full windows beside one large product of matrices; the target on an H200 is 0.45."""
    yield from speed_rows(trial.bench("large-v3-turbo", 16, rounds=5), "ceiling", "busy")


def step_times(trial: Trial) -> Iterator[str]:
    """The whole window and the merged one, by turns."""
    yield f"Clips of {CLIP_S:g} s (1 s if quick); {trial.mixed_precision}; milliseconds of a step, median.\n"
    yield heads("size", "batch", "positions", "whole window", "merged positions", "merged", "ratio (95% interval)")
    for size, batch_size in sizes(trial):
        bench = trial.bench(size, batch_size, clip_s=CLIP_S)
        own, whole, merged = own_and_batches(bench)
        ways: dict[str, Callable[[], object]] = {
            "whole": partial(own.next_step, [whole]),
            "merged": partial(own.next_step, [merged]),
        }
        times = in_turns(ways, rounds=bench.rounds, clock=clock_of(bench.device), calls=bench.calls).rounds_s
        faster = ratio(times["whole"], times["merged"])
        medians = {name: float(np.median(seconds)) * 1e3 for name, seconds in times.items()}
        positions = own.unwrapped.config.max_source_positions
        kept = positions if merged.kept is None else merged.kept.positions.shape[1]
        cells = [bench.batch_size, positions, medians["whole"], kept, medians["merged"], interval_of(faster)]
        yield line([bench.material.size.name, *cells])


def kernels_and_waits(trial: Trial) -> Iterator[str]:
    """What a step gives the device to do, and where the host waits for it."""
    waits_of: dict[str, Counter[str]] = {}
    yield heads("size", "window", "kernels of a step", "numbers read by the host", "waits of a step")
    for size, batch_size in sizes(trial):
        bench = trial.bench(size, batch_size, clip_s=CLIP_S)
        own, whole, merged = own_and_batches(bench)
        for window, batch in (("whole", whole), ("merged", merged)):
            steps = partial(several_steps, own, batch)
            steps()
            kernels, reads = kernels_and_reads(steps, bench.device)
            waits = waits_of[f"{bench.material.size.name}, {window} window"] = host_waits(steps, bench.device)
            cells = (kernels / PROFILED_STEPS, reads / PROFILED_STEPS, waits.total() / PROFILED_STEPS)
            yield line([bench.material.size.name, window, *cells])
    for name, waits in waits_of.items():
        for place, count in waits.most_common():
            yield f"\n- {name}: {count / PROFILED_STEPS:g} in a step at {place}"


def compiled_steps(trial: Trial) -> Iterator[str]:
    """`training.compile: encoder_layers`: milliseconds of a step without and with it, and what the compiler took."""
    yield heads("size", "window", "as it is", "compiled", "ratio (95% interval)", "first step compiled, s", "graphs")
    for size, batch_size in sizes(trial)[-2:]:
        bench = trial.bench(size, batch_size, clip_s=CLIP_S)
        own, whole, merged = own_and_batches(bench)
        compiled, *_ = own_and_batches(bench)
        backend = "eager" if trial.is_quick else "inductor"  # traced, not compiled
        compile_encoder_layers(compiled.unwrapped, device=bench.device, backend=backend)
        for window, batch in (("whole", whole), ("merged", merged)):
            counters.clear()
            first_s = wall_time(partial(compiled.next_step, [batch]))
            ways = {"as it is": partial(own.next_step, [batch]), "compiled": partial(compiled.next_step, [batch])}
            times = in_turns(ways, rounds=bench.rounds, clock=clock_of(bench.device), calls=bench.calls).rounds_s
            medians = [float(np.median(seconds)) * 1e3 for seconds in times.values()]
            interval = interval_of(ratio(times["as it is"], times["compiled"]))
            cells = [window, *medians, interval, first_s, counters["stats"]["unique_graphs"]]
            yield line([bench.material.size.name, *cells])


def memory(trial: Trial) -> Iterator[str]:
    """The most that tensors take in a step beyond weights, gradients kept from before, and optimizer state."""
    yield heads("size", "batch", "window", "checkpointed", "peak of a step, MB")
    for size, batch_size in sizes(trial)[-2:]:
        bench = trial.bench(size, batch_size, clip_s=CLIP_S)
        for checkpointed in ("none", "both"):
            own, whole, merged = own_and_batches(bench)
            checkpoint_layers(own.unwrapped, checkpointed)
            for window, batch in (("whole", whole), ("merged", merged)):
                own.next_step([batch])
                peak = peak_mb(partial(own.next_step, [batch]), bench.device)
                yield line([bench.material.size.name, bench.batch_size, window, checkpointed, peak])


def several_steps(own: Own, batch: Batch) -> None:
    """PROFILED_STEPS of them."""
    for _ in range(PROFILED_STEPS):
        own.next_step([batch])


def interval_of(ways: Ratio) -> str:
    """A ratio with its interval."""
    return f"{ways.median:.2f} ({ways.low:.2f} to {ways.high:.2f})"


def sizes(trial: Trial) -> tuple[tuple[str, int], ...]:
    """(size, clips in a batch); of tiny ones a single one."""
    return SIZES_AND_BATCHES[:1] if trial.is_quick else SIZES_AND_BATCHES


def own_and_batches(bench: Bench) -> tuple[Own, Batch, Batch]:
    """A new model with its optimizer, and its batch with the whole window and with the padding merged."""
    own = Own(bench.material, mixed_precision=bench.mixed_precision)
    items, collator = bench.material.items(bench.batch_size), bench.material.collator
    merging = replace(collator, merging=own.silence_merging())
    return own, collator(items).to(bench.device), merging(items).to(bench.device)


def kernels_and_reads(work: Callable[[], object], device: torch.device) -> tuple[int, int]:
    """(kernels, copies and fills on the device, numbers that the host asked for); on a CPU its operators."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities, acc_events=True) as profiler:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
    events = profiler.events()
    kind = DeviceType.CUDA if device.type == "cuda" else DeviceType.CPU
    return len(intervals_on(events, kind)), sum(event.name in READS for event in events)


def host_waits(work: Callable[[], object], device: torch.device) -> Counter[str]:
    """The places at which torch warned that the host waits for the device; none on a CPU."""
    if device.type != "cuda":
        return Counter()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    here = os.getcwd() + os.sep
    return Counter(
        f"{warning.filename.removeprefix(here)}:{warning.lineno}"
        for warning in given
        if "synchronizing" in str(warning.message)
    )
