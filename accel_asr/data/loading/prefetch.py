"""Batches prefetched by worker processes, in order, with a wait that can be interrupted.

Why not torch's DataLoader: when a worker can't hand over a batch (`/dev/shm` is full, a socket path is too long), it
waits for ever; its wait can't be interrupted to check for a stop signal; and it raises the death of a worker from a
signal handler, wherever training happens to be.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

from accel_asr.console.printing import say
from accel_asr.data.loading.workers import FailedJob, Worker, end_workers, receive, send
from accel_asr.errors import UserError

Job = TypeVar("Job")
Made = TypeVar("Made")

POLL_S = 0.5  # between two checks for a stop while waiting for a batch
SAID_AFTER_S = 60  # a longer wait is reported
LONGEST_WAIT_S = 1800  # a longer one ends the run
_AHEAD = 2  # jobs per worker: the current one and the next
_SHOWN = 4  # names of a batch in a message
_END = object()


class MadeAhead(Iterator[Made], Generic[Job, Made]):
    """`make(job)` of each of `jobs`, in order. Use it from one thread, and `close` it.

    `make` runs in `num_workers` processes, each two jobs ahead; or with 0 workers in a thread, once the next result is
    waited for. A thread iterates over `jobs`.

    Args:
        names: The names of the recordings of a job, for messages.
        finish: Applied to each result in a thread of this process.

    Raises:
        UserError: the workers can't be started.
    """

    def __init__(
        self,
        make: Callable[[Job], Made],
        jobs: Iterable[Job],
        *,
        num_workers: int,
        names: Callable[[Job], list[str]],
        finish: Callable[[Made], Made] | None = None,
    ) -> None:
        self._names = names
        self._next = 0
        self._asked_s: float | None = None  # when the wait for the next one began
        self._is_reported = False
        self._work = _Work(make, jobs, num_workers=num_workers, finish=finish or (lambda made: made))
        # on garbage collection, or at exit before the interpreter waits for its processes
        self._close = Finalize(self, self._work.close, exitpriority=100)
        self._work.start()

    def __next__(self) -> Made:
        while (made := self.ready(POLL_S)) is None:
            pass
        return made

    def ready(self, wait_s: float) -> Made | None:
        """The next result, or None if it isn't there after `wait_s` seconds: call again.

        Raises:
            StopIteration: there are no more.
            UserError: a worker died, or the wait is too long.
            Exception: raised by `make`.
        """
        if self._asked_s is None:
            self._asked_s = time.monotonic()
            self._work.slots.release()
        outcome = self._work.outcome(self._next, wait_s)
        if outcome is None:
            self._check_wait(time.monotonic() - self._asked_s)
            return None
        if outcome is _END:
            self.close()
            raise StopIteration
        if isinstance(outcome, Worker):
            raise outcome.death(self._shown())
        if isinstance(outcome, FailedJob):
            raise outcome.raised()
        self._work.forget(self._next)
        self._next += 1
        self._asked_s, self._is_reported = None, False
        made: Made = outcome
        return made

    def close(self) -> None:
        """End the workers, even those that hang."""
        self._close()

    def _check_wait(self, waited_s: float) -> None:
        if waited_s >= LONGEST_WAIT_S:
            raise UserError(
                f"no batch came for {waited_s / 60:.0f} minutes: {self._shown()} could not be read",
                remedy="check that the storage is still there",
            )
        if waited_s >= SAID_AFTER_S and not self._is_reported:
            say(f"waiting for data for {waited_s:.0f} s: {self._shown()}", to_stderr=True)
            self._is_reported = True

    def _shown(self) -> str:
        """The recordings of the next result."""
        job = self._work.jobs_at_work.get(self._next)
        if job is None:
            return "the next rows"
        names = self._names(job)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return f"{', '.join(map(repr, names[:_SHOWN]))}{more}"


class _Work(Generic[Job, Made]):
    """The workers and threads behind `MadeAhead`. Threads refer to this only, so `MadeAhead` can be collected."""

    def __init__(
        self, make: Callable[[Job], Made], jobs: Iterable[Job], *, num_workers: int, finish: Callable[[Made], Made]
    ) -> None:
        self._make, self._jobs, self._finish = make, jobs, finish
        self._changed = threading.Condition()
        self._outcomes: dict[int, Any] = {}
        self._is_closed = False
        self.jobs_at_work: dict[int, Job] = {}
        self.slots = threading.Semaphore(max(_AHEAD * num_workers - 1, 0))  # plus one for each wait
        self._workers: list[Worker] = []
        try:
            for _ in range(num_workers):
                self._workers.append(Worker(make, others=self._workers))
        except OSError as error:
            end_workers(self._workers)
            raise UserError(
                f"so many workers can't be started ({error.strerror})",
                setting="--training.dataloader_num_workers",
                value=num_workers,
                remedy="lower it",
            ) from error

    def start(self) -> None:
        """Start the threads; no worker is forked afterwards."""
        for worker in self._workers:
            threading.Thread(target=self._take_in, args=(worker,), name="from a data worker", daemon=True).start()
        # daemons: a thread that hangs in a read must not keep the process alive
        threading.Thread(target=self._hand_out, name="to data workers", daemon=True).start()

    def outcome(self, number: int, wait_s: float) -> Any:
        """The result of a job, a `FailedJob`, `_END`, or the `Worker` that died; None: not there yet."""
        worker = self._workers[number % len(self._workers)] if self._workers else None
        with self._changed:
            self._changed.wait_for(
                lambda: number in self._outcomes or (worker is not None and worker.is_gone), timeout=wait_s
            )
            if number in self._outcomes:
                return self._outcomes[number]
            return worker if worker is not None and worker.is_gone else None

    def forget(self, number: int) -> None:
        """Drop a result."""
        with self._changed:
            del self._outcomes[number]
            self.jobs_at_work.pop(number, None)

    def close(self) -> None:
        """End threads and workers."""
        self._is_closed = True
        self.slots.release()
        end_workers(self._workers)

    def _hand_out(self) -> None:
        jobs = iter(self._jobs)
        for number in itertools.count():
            self.slots.acquire()
            if self._is_closed:
                return
            try:
                job = next(jobs)
            except StopIteration:
                self._put(number, _END)
                return
            except Exception as error:
                self._put(number, FailedJob(error))
                return
            self.jobs_at_work[number] = job
            if not self._workers:
                self._put(number, _tried(lambda job: self._finish(self._make(job)), job))
                continue
            try:
                send(self._workers[number % len(self._workers)].socket, (number, job))
            except OSError:  # the worker is gone, which the thread that listens to it notices
                return
            except Exception as error:
                self._put(number, FailedJob(error))

    def _take_in(self, worker: Worker) -> None:
        try:
            while True:
                number, outcome = receive(worker.socket)
                if not isinstance(outcome, FailedJob):
                    outcome = _tried(self._finish, outcome)
                self._put(number, outcome)
        except Exception:  # either end closed the socket, or the message can't be read
            with self._changed:
                worker.is_gone = True
                self._changed.notify_all()

    def _put(self, number: int, outcome: Any) -> None:
        with self._changed:
            self._outcomes[number] = outcome
            self._changed.notify_all()


def _tried(step: Callable[[Any], Any], value: Any) -> Any:
    try:
        return step(value)
    except Exception as error:
        return FailedJob(error)
