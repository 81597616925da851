"""How long a device was at work, of made-up intervals and of the profiler's."""

from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from benchmarks.speed.busy import intervals_on, measure_busy, union_length


@pytest.mark.parametrize(
    ("intervals", "length"),
    [
        ([], 0),
        ([(1, 3)], 2),
        ([(4, 5), (1, 3)], 3),  # in any order, with a gap
        ([(1, 3), (3, 4)], 3),
        ([(1, 3), (2, 4)], 3),  # they overlap
        ([(1, 9), (2, 3), (4, 5), (8, 10)], 9),  # one lies within another
        ([(1, 3), (1, 3)], 2),
    ],
)
def test_what_overlaps_counts_once(intervals: list[tuple[float, float]], length: float) -> None:
    assert union_length(intervals) == length


def event(start: float, end: float, device_type: DeviceType, *, is_user_annotation: bool = False) -> SimpleNamespace:
    time_range = SimpleNamespace(start=start, end=end)
    return SimpleNamespace(time_range=time_range, device_type=device_type, is_user_annotation=is_user_annotation)


def test_kernels_count_but_neither_the_host_nor_named_ranges() -> None:
    events = [
        event(0, 90, DeviceType.CPU),
        event(10, 80, DeviceType.CUDA, is_user_annotation=True),  # Optimizer.step, as drawn on the device's time line
        event(10, 20, DeviceType.CUDA),
        event(70, 80, DeviceType.CUDA),
    ]
    assert intervals_on(events, DeviceType.CUDA) == [(10, 20), (70, 80)]  # type: ignore[arg-type]


def test_a_real_profile_is_read() -> None:
    left = torch.randn(256, 256)

    def work() -> None:
        with torch.profiler.record_function("a named range around it"):
            for _ in range(5):
                left @ left

    busy = measure_busy(work, torch.device("cpu"))
    assert 0 < busy.busy_s <= busy.wall_s
