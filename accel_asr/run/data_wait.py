"""The share of time in which training stands still for want of data: measured, and said once where it is large."""

import time
from collections.abc import Callable

import torch

from accel_asr.data.loading.collator import Batch
from accel_asr.data.loading.worker_count import usable_cores
from accel_asr.run.display import Display

STRETCH = 50  # steps that are judged together
MOST_SHARE = 0.2
_LOOK_AGAIN_S = 0.002  # at whether a GPU is still at work


class DataWait:
    """Times the waits of this process for its global batches; what happens between steps (evaluations) doesn't count.

    Nothing stands still while a GPU is at work on earlier steps, so a wait counts from when that is done.

    Args:
        batches: `ready` of the run's global batches.
        is_at_work: Whether the device is; by default it is asked, without waiting for it.
    """

    def __init__(
        self,
        batches: Callable[[float], list[Batch] | None],
        *,
        display: Display,
        device: torch.device,
        num_workers: int,
        now_s: Callable[[], float] = time.perf_counter,
        is_at_work: Callable[[], bool] | None = None,
    ) -> None:
        self._batches, self._display, self._num_workers, self._now_s = batches, display, num_workers, now_s
        self._is_at_work = is_at_work or (lambda: device.type == "cuda" and not torch.cuda.current_stream().query())
        self._is_cpu = device.type == "cpu"
        self._looked_s: float | None = None  # when this step's time was last counted; None between steps
        self._totals = (0.0, 0.0)  # seconds (waited, passed)
        self._at_last_share = self._at_last_verdict = self._totals
        self._steps = 0
        self._is_said = False

    def ready(self, wait_s: float) -> list[Batch] | None:
        """The next global batch, or None if it isn't there after about `wait_s` seconds: call again."""
        if self._looked_s is None:
            self._looked_s = self._now_s()
        until_s = self._now_s() + wait_s
        while self._is_at_work() and (left_s := until_s - self._now_s()) > 0:
            if (window := self._batches(min(_LOOK_AGAIN_S, left_s))) is not None:
                return window
        began_s = self._now_s()
        try:
            return self._batches(max(until_s - began_s, 0.0))
        finally:
            waited_s, passed_s = self._totals
            self._totals = (waited_s + self._now_s() - began_s, passed_s)

    def step_ended(self) -> None:
        """Stop the clock until the next wait; after each STRETCH of steps, say it if too much of it was waiting."""
        self._count_time()
        self._looked_s = None
        self._steps += 1
        if (self._steps - 1) % STRETCH:
            return
        share, self._at_last_verdict = self._share_since(self._at_last_verdict), self._totals
        # a CPU makes its data itself, with the cores that train; the first step waits for workers to start
        if share > MOST_SHARE and self._steps > 1 and not self._is_cpu and not self._is_said:
            self._is_said = True
            self._display.say(
                f"note: training waited for its data {share:.0%} of the time of the last {STRETCH} steps. Use more "
                f"workers (--training.dataloader_num_workers, now {self._num_workers} a process, on {usable_cores()} "
                "cores) or more cores; or store recordings as 16 kHz WAV or FLAC, which decode faster than MP3, Opus "
                "or higher rates"
            )

    def share(self) -> float:
        """Share of the time of steps that was waiting, since the last call."""
        self._count_time()
        share, self._at_last_share = self._share_since(self._at_last_share), self._totals
        return share

    def _count_time(self) -> None:
        if self._looked_s is None:
            return
        now_s = self._now_s()
        waited_s, passed_s = self._totals
        self._totals, self._looked_s = (waited_s, passed_s + now_s - self._looked_s), now_s

    def _share_since(self, before: tuple[float, float]) -> float:
        waited_s, passed_s = (now - then for now, then in zip(self._totals, before, strict=True))
        return waited_s / passed_s if passed_s > 0 else 0.0
