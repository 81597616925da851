"""The share of time that a device is busy, from the profiler's record of its kernels."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

Interval = tuple[float, float]  # (start, end), in any one unit


@dataclass(frozen=True)
class Busy:
    """Seconds in which anything ran on the device, and wall time."""

    busy_s: float
    wall_s: float


def union_length(intervals: Iterable[Interval]) -> float:
    """Length of the union of the intervals: overlaps, as of kernels in two streams, count once."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total


def intervals_on(events: Iterable[FunctionEvent], device_type: DeviceType) -> list[Interval]:
    """(start, end) in microseconds of what ran on such a device: on CUDA kernels, copies and fills.

    Named ranges, such as that of an optimizer's step, are drawn on the device's time line from their first kernel to
    their last, gaps included: they are left out.
    """
    return [
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == device_type and not event.is_user_annotation
    ]


def measure_busy(work: Callable[[], object], device: torch.device) -> Busy:
    """Do `work` under the profiler; what the profiler itself costs the host counts as time gone by.

    On a CPU the operators are what runs: of no interest, but the same code.
    """
    is_cuda = device.type == "cuda"
    activity = ProfilerActivity.CUDA if is_cuda else ProfilerActivity.CPU
    with profile(activities=[activity], acc_events=True) as profiler:
        _settle(device)
        started_s = time.perf_counter()
        work()
        _settle(device)
        wall_s = time.perf_counter() - started_s
    intervals = intervals_on(profiler.events(), DeviceType.CUDA if is_cuda else DeviceType.CPU)
    return Busy(busy_s=union_length(intervals) / 1e6, wall_s=wall_s)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
