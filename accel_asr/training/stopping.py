"""Stop on request: a signal asks, and every rank stops between the same two steps, with a checkpoint."""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from accel_asr.ranks.agreement import AgreedDataError, AgreedStopError
from accel_asr.ranks.processes import STOP_SIGNALS

STOPPED_EXIT_CODE = 75  # "try again later" of sysexits.h: the run is whole, and not finished


class StopRequests:
    """While entered, the first of STOP_SIGNALS sets `received`, and the second ends the process at once.

    A signal may reach a single rank; an `Agreement` passes it on.
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
        notice = f"\n{who}{name}: saving a checkpoint after this step, then ending; a second signal ends at once\n"
        with suppress(OSError, ValueError):  # a terminal that has gone, often what the signal is about
            # not print: the signal may have come in the middle of one
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, notice.encode())


class SavedAtTheEnd:
    """A context in which training may end between two steps; `save` is then called, on every rank.

    After an agreed stop `is_stopped` is true. A failure of the data is raised again after saving.
    """

    def __init__(self, save: Callable[[], None]) -> None:
        self._save = save
        self.is_stopped = False

    def __enter__(self) -> "SavedAtTheEnd":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        if isinstance(error, AgreedStopError):
            self._save()
            self.is_stopped = True
        elif isinstance(error, AgreedDataError):
            self._save()
            saved = "what was trained is saved: resume with the same command and --checkpoint.resume true"
            remedy = f"{error.remedy}; {saved}" if error.remedy else saved
            raise AgreedDataError(error.problem, setting=error.setting, value=error.value, remedy=remedy) from error
        return self.is_stopped
