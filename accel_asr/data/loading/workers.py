"""Worker processes that make batches, each at the other end of a socket pair.

Unlike the workers of torch's DataLoader, these share nothing else: no `/dev/shm`, no file or socket in `$TMPDIR`, no
semaphore. A full shared memory can't lose a batch, and when a worker dies, its socket closes and the reader sees it.
"""

import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, get_start_method, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from huggingface_hub import close_session

from accel_asr.errors import UserError
from accel_asr.ranks.processes import STOP_SIGNALS

LEAVING_S = 1.0  # a worker that hasn't ended so long after its socket was closed is killed
_WAIT_FOR_ALL = getattr(socket, "MSG_WAITALL", 0)  # not on Windows
_PROTOCOL = 5  # of pickle: the first with out-of-band buffers
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
LESS_MEMORY = (
    "lower --training.dataloader_num_workers, --training.per_device_train_batch_size or "
    "--evaluation.per_device_eval_batch_size, or give the job more memory"
)


@dataclass(frozen=True)
class FailedJob:
    """An exception that a job raised, in this process or in a worker."""

    error: BaseException
    worker_traceback: str = ""

    def raised(self) -> BaseException:
        """The exception to raise: a `UserError` if the machine lacks something, the error itself if it is a bug."""
        if isinstance(self.error, MemoryError):
            return UserError(f"no memory was left to make a batch ({_memory()})", remedy=LESS_MEMORY)
        if isinstance(self.error, OSError):
            return UserError(f"a batch could not be made: {self.error}")
        if self.worker_traceback and not isinstance(self.error, UserError):
            return RuntimeError(f"a data worker failed:\n{self.worker_traceback}")
        return self.error


class Worker:
    """A process that calls `make` for each job it is sent, in order."""

    def __init__(self, make: Callable[[Any], Any], *, others: "list[Worker]") -> None:
        """Start it.

        Args:
            others: Workers started earlier: a forked process inherits their sockets, and must close them.

        Raises:
            OSError: no more processes or sockets can be opened.
        """
        context = get_context()
        self.socket, theirs = socket.socketpair()
        self.is_gone = False
        inherited: list[socket.socket] = []
        if context.get_start_method() == "fork":
            inherited = [self.socket, *(other.socket for other in others)]
            close_session()  # else the worker closes huggingface_hub's, and hangs if a thread here holds their lock
        self.process: BaseProcess = context.Process(
            target=_work, args=(theirs, inherited, make), name="data worker", daemon=True
        )
        try:
            self.process.start()
        except OSError:
            self.socket.close()
            raise
        finally:
            theirs.close()

    def death(self, recordings: str) -> UserError:
        """Why it ended while it was loading `recordings`, and what to do about it."""
        self.process.join(LEAVING_S)
        code = self.process.exitcode
        worker = f"the data worker (process {self.process.pid}) loading {recordings}"
        if code is None or code >= 0:
            return UserError(f"{worker} ended by itself, with exit code {code}")
        if -code == signal.SIGKILL:
            problem = f"{worker} was killed (SIGKILL), as happens when memory runs out ({_memory()})"
            return UserError(problem, remedy=LESS_MEMORY)
        return UserError(f"{worker} crashed ({signal.Signals(-code).name})", remedy="look at these recordings")


def end_workers(workers: list[Worker]) -> None:
    """Close their sockets, which makes them exit; kill those that hang."""
    for worker in workers:
        with suppress(OSError):  # the other end is gone
            worker.socket.shutdown(socket.SHUT_RDWR)  # unlike close, this wakes the thread that reads from it
    for worker in workers:
        worker.process.join(LEAVING_S)
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join(LEAVING_S)
        worker.socket.close()


def _work(connection: socket.socket, inherited: list[socket.socket], make: Callable[[Any], Any]) -> None:
    """The worker's loop, until the other end closes."""
    for other in inherited:
        other.close()
    for number in STOP_SIGNALS:  # a signal to the process group must not end workers before the last step
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux" and get_start_method() == "fork":
        # else a worker that hangs would outlive its parent when that is killed
        torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined]
        starter = parent_process()
        if starter is None or starter.pid != os.getppid():  # it has been killed already
            return
    torch.set_num_threads(1)
    while True:
        try:
            number, job = receive(connection)
        except (EOFError, OSError):
            return
        try:
            _send_made(connection, number, make, job)
        except OSError:
            return


def _send_made(connection: socket.socket, number: int, make: Callable[[Any], Any], job: Any) -> None:
    try:
        content = _parts((number, make(job)))
    except Exception as error:
        content = _parts((number, FailedJob(_sendable(error), traceback.format_exc())))
    _send_parts(connection, content)


def _sendable(error: Exception) -> Exception:
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # some exceptions can't be rebuilt from their arguments
        return RuntimeError(str(error))
    return error


class _Pickler(ForkingPickler):
    """The pickler of multiprocessing, with tensors as arrays, whose memory is sent without a copy."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.from_numpy, (value.detach().numpy(),)
        return NotImplemented


class _Head:
    """A file-like object to pickle into."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        self.parts.append(bytes(part))


def send(connection: socket.socket, value: Any) -> None:
    """Send a value; arrays and CPU tensors are not copied.

    Raises:
        OSError: the other end is closed.
    """
    _send_parts(connection, _parts(value))


def _parts(value: Any) -> list[memoryview]:
    head, buffers = _Head(), list[Any]()
    _Pickler(head, _PROTOCOL, True, buffers.append).dump(value)
    return [memoryview(b"".join(head.parts)), *(buffer.raw() for buffer in buffers)]


def _send_parts(connection: socket.socket, parts: list[memoryview]) -> None:
    sizes = [part.nbytes for part in parts]
    connection.sendall(struct.pack(f"<Q{len(sizes)}Q", len(sizes), *sizes))
    for part in parts:
        connection.sendall(part)


def receive(connection: socket.socket) -> Any:
    """Receive what the other end `send`s.

    Raises:
        EOFError, OSError: the other end was closed.
    """
    [count] = struct.unpack("<Q", _read(connection, 8))
    sizes = struct.unpack(f"<{count}Q", _read(connection, 8 * count))
    head, *buffers = [_read(connection, size) for size in sizes]
    return ForkingPickler.loads(head, buffers=buffers)


def _read(connection: socket.socket, size: int) -> memoryview:
    content = np.empty(size, dtype=np.uint8).data  # not filled with zeros first
    remaining = content
    while remaining:
        read = connection.recv_into(remaining, len(remaining), _WAIT_FOR_ALL)
        if read == 0:
            raise EOFError
        remaining = remaining[read:]
    return content


def _memory() -> str:
    """Memory use, as far as this system reports it."""
    parts = []
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        own, workers = (
            resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        parts.append(f"peak memory: {_gb(own)} in this process, {_gb(workers)} in its largest worker")
    machine = psutil.virtual_memory()
    parts.append(f"{_gb(machine.available)} of the machine's {_gb(machine.total)} are free now")
    with suppress(OSError, ValueError):  # no such file, or it says "max"
        parts.append(f"the container may use {_gb(int(_CONTAINER_LIMIT.read_text()))}")
    return ", ".join(parts)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
