"""Stop on request: a signal asks, and every rank stops after the same step, with a checkpoint."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

STOPPED_EXIT_CODE = 75  # "try again later" of sysexits.h: the run is whole, and not finished
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGUSR1")  # USR1: Slurm's warning
    if hasattr(signal, name)  # Windows has no SIGUSR1
)


class StopRequests:
    """While entered, the first of STOP_SIGNALS sets `received`, and the second ends the process at once.

    The loop asks `received` at each step and tells the other ranks (`train_step`), since a signal may reach one alone.
    """

    def __init__(self) -> None:
        self.received: str | None = None

    def __enter__(self) -> "StopRequests":
        self._handlers = {number: signal.signal(number, self._receive) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self.received is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.received = name
        rank = os.environ.get("RANK", "0")
        who = "" if rank == "0" else f"[rank {rank}] "
        told = f"\n{who}{name}: saving a checkpoint after this step, then ending; a second signal ends at once\n"
        with suppress(OSError, ValueError):  # a terminal that has gone, often what the signal is about
            # not print: the signal may have come in the middle of one
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, told.encode())


def leave_signals_to_the_loop(_worker: int) -> None:
    """For DataLoader workers: a signal to the whole process group must not take them away before the last step."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
