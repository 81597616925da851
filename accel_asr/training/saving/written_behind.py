"""Files written by a thread of the main process while training continues."""

from collections.abc import Callable
from concurrent import futures
from pathlib import Path

from accelerate import Accelerator

from accel_asr.console.printing import say
from accel_asr.files.run_folder import failed_writes_explained
from accel_asr.ranks.main_process import write_on_main_process


class WrittenBehind:
    """Writes what it is handed, in that order, in one thread; leave its context before the process group goes.

    All of a step is on disk before anything of a later step is accepted, so at most one checkpoint is in flight. After
    a failed write no other begins: a checkpoint that names a score vouches for the files of that score too.

    A write must touch nothing that training changes meanwhile; a `Snapshot` holds what it may use.
    """

    def __init__(self, accelerator: Accelerator, output_dir: Path) -> None:
        self._accelerator = accelerator
        self._output_dir = output_dir
        self._thread = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="written-behind")
        self._in_flight: list[futures.Future[None]] = []
        self._step = -1
        self._is_reported = False

    def __enter__(self) -> "WrittenBehind":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Wait until all is on disk. Left without an error it is a collective, and raises as `hand_over` does.

        With an error it waits for no other rank, and reports a failed write on stderr.
        """
        self._wait()
        self._thread.shutdown()
        if error is None:
            write_on_main_process(self._accelerator, self._output_dir, self._raise_failure)
        elif (failure := self._failure()) is not None and not self._is_reported:
            say(f"error: {failure}", to_stderr=True)

    @property
    def has_failed(self) -> bool:
        """Whether a write has failed here; the next `hand_over` will end every rank with it. Costs nothing."""
        return self._failure() is not None

    def hand_over(self, write: Callable[[], None], *, step: int) -> None:
        """Have `write` called by the thread, on the main process. A collective.

        On return, all that earlier steps handed over is on disk.

        Raises:
            UserError: an earlier write met a full disk or another refusal of the file system; on every rank.
        """

        def start() -> None:
            self.wait_for_those_before(step)
            self._raise_failure()
            self._step = step
            self.start(write)

        write_on_main_process(self._accelerator, self._output_dir, start)

    def start(self, work: Callable[[], None]) -> None:
        """Have `work` done after all that was handed over so far. Main process only, no collective."""
        self._in_flight.append(self._thread.submit(self._do, work))

    def wait_for_those_before(self, step: int) -> None:
        """Wait for what other steps have handed over. No collective, raises nothing."""
        if step != self._step:
            self._wait()

    def _do(self, work: Callable[[], None]) -> None:
        if not self.has_failed:
            with failed_writes_explained(self._output_dir):
                work()

    def _wait(self) -> None:
        futures.wait(self._in_flight)
        self._in_flight = [write for write in self._in_flight if write.exception() is not None]

    def _failure(self) -> BaseException | None:
        """The failure, if there was one: nothing begins after it."""
        return next((write.exception() for write in list(self._in_flight) if write.done() and write.exception()), None)

    def _raise_failure(self) -> None:
        failure = self._failure()
        if failure is not None:
            self._is_reported = True
            # the thread's own error: a bug needs its traceback
            raise failure
