"""The clock of a CUDA device, whose calls are recorded by a stand-in: no such device is at hand."""

import pytest
import torch

from benchmarks.speed.timing import clock_of, cpu_time


class StandIn:
    """What `torch.cuda` would do, noted down."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        stand_in = self

        class Event:
            def __init__(self, *, enable_timing: bool) -> None:
                assert enable_timing

            def record(self) -> None:
                stand_in.done.append("record")

            def elapsed_time(self, last: "Event") -> float:
                stand_in.done.append("read")
                return 1_500.0  # milliseconds

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda: self.done.append("wait"))


def test_a_cuda_device_is_timed_by_events_around_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = StandIn(monkeypatch)
    seconds = clock_of(torch.device("cuda"))(lambda: cuda.done.append("work"))
    assert seconds == 1.5
    assert cuda.done == ["wait", "record", "work", "record", "wait", "read"]


def test_a_cpu_is_timed_by_its_own_time() -> None:
    assert clock_of(torch.device("cpu")) is cpu_time
