"""The share of time spent waiting for data, by a clock that only moves when something takes time."""

from types import SimpleNamespace

import pytest
import torch

from accel_asr.run import data_wait
from accel_asr.run.data_wait import STRETCH, DataWait

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
POLL_S = 0.5


class Loop:
    """A loop whose batches take `data_s` after they are asked for, and whose steps take the host `step_s`.

    A step keeps the device busy for `device_s` from when it was begun.
    """

    def __init__(self, device: torch.device = GPU) -> None:
        self.now_s = 100.0
        self.busy_until_s = 0.0
        self.there_s: float | None = None
        self.data_s = 0.0
        self.lines: list[str] = []
        self.waits = DataWait(
            self.batches,
            display=SimpleNamespace(say=self.lines.append),
            device=device,
            num_workers=3,
            now_s=lambda: self.now_s,
            is_at_work=lambda: self.now_s < self.busy_until_s,
        )

    def batches(self, wait_s: float) -> list | None:
        if self.there_s is None:
            self.there_s = self.now_s + self.data_s
        is_there = self.there_s <= self.now_s + wait_s
        self.now_s = max(self.now_s, self.there_s) if is_there else self.now_s + wait_s
        if is_there:
            self.there_s = None
        return [] if is_there else None

    def step(self, *, data_s: float, step_s: float, device_s: float = 0.0) -> None:
        self.data_s = data_s
        while self.waits.ready(POLL_S) is None:
            pass
        self.busy_until_s = self.now_s + device_s
        self.now_s += step_s
        self.waits.step_ended()


@pytest.fixture(autouse=True)
def _cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_wait, "usable_cores", lambda: 12)


def test_the_share_is_of_the_steps_since_the_last_one() -> None:
    loop = Loop()
    assert loop.waits.share() == 0
    for data_s, step_s in ((1.0, 3.0), (2.0, 2.0)):  # the second is longer than a poll
        loop.step(data_s=data_s, step_s=step_s)
        loop.now_s += 1000  # an evaluation
    assert loop.waits.share() == pytest.approx(3 / 8)
    loop.step(data_s=0, step_s=5)
    assert loop.waits.share() == 0


def test_a_share_can_be_asked_for_within_a_step() -> None:
    loop = Loop()
    loop.data_s = 0.25
    assert loop.waits.ready(POLL_S) is not None
    loop.now_s += 0.75
    assert loop.waits.share() == pytest.approx(0.25)
    loop.now_s += 3  # of the same step
    loop.waits.step_ended()
    loop.now_s += 1000
    assert loop.waits.share() == 0  # asked for between two steps
    loop.now_s += 1000
    loop.step(data_s=1, step_s=3)
    assert loop.waits.share() == pytest.approx(1 / 4)


def test_nothing_stands_still_while_the_gpu_is_at_work() -> None:
    loop = Loop()
    loop.step(data_s=0, step_s=1, device_s=4)  # the GPU works on for 3 s
    loop.step(data_s=4, step_s=1)
    assert loop.waits.share() == pytest.approx(1 / 6, abs=0.01)  # all but a look


@pytest.mark.parametrize(("share", "is_said"), [(0.19, False), (0.21, True), (0.9, True)])
def test_a_large_share_of_a_stretch_is_said_once_with_numbers_and_remedy(share: float, is_said: bool) -> None:
    loop = Loop()
    loop.step(data_s=1000, step_s=1)  # workers start
    for _ in range(3 * STRETCH):
        loop.step(data_s=share, step_s=1 - share)
    assert len(loop.lines) == is_said
    for words in (
        ("--training.dataloader_num_workers, now 3", "12 cores", "WAV or FLAC", f"{share:.0%}") if is_said else ()
    ):
        assert words in loop.lines[0]


def test_it_is_said_when_data_becomes_slow() -> None:
    loop = Loop()
    for _ in range(2 * STRETCH + 1):
        loop.step(data_s=0, step_s=1)
    assert loop.lines == []
    for _ in range(STRETCH):
        loop.step(data_s=1, step_s=1)
    assert len(loop.lines) == 1


def test_a_few_slow_steps_are_nothing_to_speak_of() -> None:
    loop = Loop()
    for _ in range(STRETCH):
        loop.step(data_s=1, step_s=1)
    assert loop.lines == []


def test_a_cpu_is_given_no_advice() -> None:
    loop = Loop(CPU)
    for _ in range(2 * STRETCH):
        loop.step(data_s=1, step_s=1)
    assert loop.lines == []
    assert loop.waits.share() == pytest.approx(0.5)


def test_a_gpu_is_asked_without_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = iter([False, True])
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(query=lambda: next(queries)))
    waits = DataWait(lambda _: None, display=SimpleNamespace(), device=GPU, num_workers=1)
    assert waits.ready(0.01) is None
    assert next(queries, None) is None
