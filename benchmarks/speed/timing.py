"""Time several ways in turns, and compare two of them with a bootstrap interval over the rounds."""

import gc
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

WIDEST_INTERVAL = 0.15  # of the ratio; above it there is no verdict
BOOTSTRAP_SAMPLES = 5_000
Clock = Callable[[Callable[[], object]], float]


def cpu_time(work: Callable[[], object]) -> float:
    """Seconds of CPU that `work` takes, in this process and in those of its children that end within it."""
    before = _cpu_seconds()
    work()
    return _cpu_seconds() - before


def wall_time(work: Callable[[], object]) -> float:
    """Wall time of `work` in seconds."""
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def cuda_time(work: Callable[[], object]) -> float:
    """Seconds between two events around `work` on the current CUDA device: waits of the device for the host count."""
    first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    first.record()
    work()
    last.record()
    torch.cuda.synchronize()
    return float(first.elapsed_time(last)) / 1_000


def clock_of(device: torch.device) -> Clock:
    """CPU time on a CPU, events on a CUDA device."""
    return cuda_time if device.type == "cuda" else cpu_time


@dataclass(frozen=True)
class Times:
    """Seconds of each way: of its first, unmeasured call, and of each round after it."""

    warmup_s: dict[str, float]
    rounds_s: dict[str, list[float]]


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Clock,
    calls: int = 1,
    prepare: Callable[[], object] = gc.collect,
    warm_up: bool = True,
) -> Times:
    """Measure every way once in each round, in one order and, in the next round, in the other: A B, B A, A B, ...

    So a machine that grows slower or faster while it is measured does so for all of them alike.

    Args:
        calls: What is measured is so many calls in a row, and their mean is told.
        prepare: Called before each measurement, not measured.
    """

    def repeated(way: Callable[[], object]) -> Callable[[], None]:
        def work() -> None:
            for _ in range(calls):
                way()

        return work

    warmup_s = {name: clock(way) for name, way in ways.items()} if warm_up else {}
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways) if number % 2 == 0 else list(ways)[::-1]:
            prepare()
            measured[name].append(clock(repeated(ways[name])) / calls)
    return Times(warmup_s, measured)


@dataclass(frozen=True)
class Ratio:
    """The median over rounds of one way's number divided by another's, and its 95% interval."""

    median: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        return self.high - self.low <= WIDEST_INTERVAL * self.median


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """The ratio of two ways that were measured in the same rounds."""
    ratios = np.array(above) / np.array(below)
    drawn = np.random.default_rng(0).choice(ratios, size=(BOOTSTRAP_SAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return Ratio(float(np.median(ratios)), float(low), float(high))


class TensorMemory:
    """A context in which the tensors of this thread are counted; `peak_mb` is their peak.

    Every allocation is counted, nothing is sampled. What was there before does not count.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.peak_mb = 0.0
        self._profiler = torch.autograd.profiler.profile(profile_memory=True)

    def __enter__(self) -> "TensorMemory":
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            self._before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        else:
            self._profiler.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            self.peak_mb = (torch.cuda.max_memory_allocated() - self._before) / 1e6
            return
        self._profiler.__exit__(*problem)
        assert self._profiler.kineto_results is not None
        events: list[Any] = [event for event in self._profiler.kineto_results.events() if event.name() == "[memory]"]
        sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
        self.peak_mb = float(np.cumsum(sizes).max(initial=0)) / 1e6


def peak_mb(work: Callable[[], object], device: torch.device) -> float:
    """The most that tensors made by `work` take at one moment, in MB of 10^6 bytes."""
    with TensorMemory(device) as memory:
        work()
    return memory.peak_mb


def _cpu_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
