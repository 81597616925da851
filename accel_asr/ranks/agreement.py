"""How all ranks stop at the same place, while each of them may be waiting for its data."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from accelerate import Accelerator
from accelerate.utils import gather_object

from accel_asr.errors import UserError
from accel_asr.ranks.host_sums import summed_over_ranks

Ready = TypeVar("Ready")

POLL_S = 0.5  # how long a rank waits for its data before it checks the others
AGREE_EVERY_S = 4.0  # while ranks work on their own


class AgreedStopError(Exception):
    """Some rank was asked to stop: raised on every rank at the same place."""


class AgreedDataError(UserError):
    """A rank can't go on: raised on every rank at the same place."""

    def __init__(self, problem: str, **fields: Any) -> None:
        super().__init__(problem, **{**fields, "same_on_every_rank": True})


class Agreement:
    """Ranks that work or wait on their own check each other now and then.

    So a signal to one rank, or its failure, ends all ranks at the same place within seconds, and no rank waits in a
    collective for ever while another waits for its data.

    Args:
        is_asked_to_stop: Whether this rank was asked to stop; the default never is.
    """

    def __init__(self, accelerator: Accelerator, is_asked_to_stop: Callable[[], bool] = lambda: False) -> None:
        self._accelerator = accelerator
        self._is_asked_to_stop = is_asked_to_stop
        self._last_s = -AGREE_EVERY_S

    def wait(self, ready: Callable[[float], Ready | None]) -> Ready:
        """The result of `ready` on this rank, as soon as every rank has one. A collective.

        Args:
            ready: Called with the seconds to wait, until its result is not None.

        Raises:
            AgreedStopError: some rank was asked to stop, whether or not all are ready.
            AgreedDataError: `ready` raised on some rank.
        """
        value, problem = None, None
        while True:
            if value is None and problem is None:
                try:
                    value = ready(POLL_S)
                except Exception as error:
                    problem = error
            if self.all_done(is_done=value is not None, problem=problem):
                assert value is not None
                return value

    def in_time(self) -> None:
        """Call often while this rank works on its own. A collective, together with `all_done` on other ranks.

        Raises:
            AgreedStopError, AgreedDataError: as `all_done`.
        """
        if time.monotonic() - self._last_s >= AGREE_EVERY_S:
            self.all_done(is_done=False)

    def all_done(self, *, is_done: bool, problem: Exception | None = None) -> bool:
        """Whether every rank is done. A collective.

        Args:
            problem: Why this rank can't go on.

        Raises:
            AgreedStopError: some rank was asked to stop.
            AgreedDataError: the problem of the first rank that has one. That rank raises its own exception if it is
                no `UserError`.
        """
        flags = [not is_done, problem is not None, self._is_asked_to_stop()]
        at_work, problems, stops = summed_over_ranks(flags, self._accelerator)
        self._last_s = time.monotonic()
        if problems:
            self._raise(problem)
        if stops:
            raise AgreedStopError
        return not at_work

    def _raise(self, problem: Exception | None) -> None:
        is_ours = problem is not None and not isinstance(problem, UserError)
        refusal = UserError(f"{type(problem).__name__}: {problem}") if is_ours else problem
        gathered = gather_object([refusal])
        if problem is not None and is_ours:
            raise problem  # its traceback is wanted
        rank, first = next((rank, error) for rank, error in enumerate(gathered) if error is not None)
        at = f"rank {rank}: " if rank else ""
        raise AgreedDataError(
            f"{at}{first.problem}", setting=first.setting, value=first.value, remedy=first.remedy
        ) from problem
