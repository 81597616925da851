"""Worker processes that make batches, each at the other end of a socket pair.

Nothing else is shared with a worker: no `/dev/shm`, no file or socket in `$TMPDIR`, no semaphore. A batch that does not
fit into shared memory can't get lost, and a worker that dies closes its end, which its reader sees at once.
"""

import os
import re
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context, get_start_method, parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch

from accel_asr.errors import UserError
from accel_asr.ranks.processes import STOP_SIGNALS

LEAVING_S = 1.0  # a worker that has not ended so long after its socket was closed is killed
_WAIT_FOR_ALL = getattr(socket, "MSG_WAITALL", 0)  # not on Windows
_PROTOCOL = 5  # of pickle: the first that hands out the memory of arrays
_KIB = 1024


@dataclass(frozen=True)
class FailedJob:
    """What a job raised, in this process or, as its text and traceback, in a worker."""

    error: BaseException
    told: str = ""  # the traceback in the worker

    def raised(self) -> BaseException:
        """What to raise for it: a `UserError` for what the machine lacks, the error itself for a mistake of ours."""
        if isinstance(self.error, MemoryError):
            return UserError(f"no memory was left to make a batch; {_memory()}. {LESS_MEMORY}")
        if isinstance(self.error, OSError):
            return UserError(f"a batch could not be made: {self.error}")
        if self.told and not isinstance(self.error, UserError):
            return RuntimeError(f"a data worker failed:\n{self.told}")
        return self.error


LESS_MEMORY = (
    "Lower --training.dataloader_num_workers, --training.per_device_train_batch_size or "
    "--evaluation.per_device_eval_batch_size, or give the job more memory"
)


class Worker:
    """One process that calls `make` for each job it is sent, in that order."""

    def __init__(self, make: Callable[[Any], Any], *, others: "list[Worker]") -> None:
        """Start it.

        Args:
            others: Started before: a forked process inherits their sockets, and would keep them open.

        Raises:
            OSError: no process or no socket more may be opened.
        """
        context = get_context()
        self.socket, theirs = socket.socketpair()
        self.is_gone = False
        inherited = [self.socket, *(other.socket for other in others)] if context.get_start_method() == "fork" else []
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

    def how_it_ended(self, work: str) -> str:
        """Why it is gone, as a message says it: by which signal, what memory was used, and what to lower.

        Args:
            work: What it was working on.
        """
        self.process.join(LEAVING_S)
        code = self.process.exitcode
        said = f"the data worker (process {self.process.pid}) that was to load {work}"
        if code is None or code >= 0:
            return f"{said} ended by itself, with exit code {code}"
        if -code == signal.SIGKILL:
            return f"{said} was killed (SIGKILL), as systems do when memory runs out; {_memory()}. {LESS_MEMORY}"
        return f"{said} crashed ({signal.Signals(-code).name}); look at these recordings"


def end_workers(workers: list[Worker]) -> None:
    """Close their sockets, at which they leave; kill those that hang."""
    for worker in workers:
        try:
            worker.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it, which closing does not
        except OSError:
            continue  # its other end is gone
    for worker in workers:
        worker.process.join(LEAVING_S)
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join(LEAVING_S)
        worker.socket.close()


def _work(connection: socket.socket, inherited: list[socket.socket], make: Callable[[Any], Any]) -> None:
    """What a worker does until the other end closes."""
    for other in inherited:
        other.close()
    for number in STOP_SIGNALS:  # one to the whole process group must not take workers away before the last step
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux" and get_start_method() == "fork":
        # a worker that hangs would outlive a process that was killed
        torch.multiprocessing._prctl_pr_set_pdeathsig(signal.SIGKILL)  # type: ignore[attr-defined]
        starter = parent_process()
        if starter is None or starter.pid != os.getppid():  # which was killed before
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
    except Exception:  # some can be made of nothing but what they were raised with
        return RuntimeError(str(error))
    return error


class _Pickler(ForkingPickler):
    """What multiprocessing sends values by, with tensors as arrays, whose memory is sent as it is."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.from_numpy, (value.detach().numpy(),)
        return NotImplemented


class _Head:
    """A file to pickle into."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, part: bytes) -> None:
        self.parts.append(bytes(part))


def send(connection: socket.socket, value: Any) -> None:
    """Send a value; its arrays and tensors, which are on the CPU, are not copied on the way.

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
    """What `send` sent at the other end.

    Raises:
        EOFError: the other end was closed, before or amid it.
        OSError: likewise.
    """
    [count] = struct.unpack("<Q", _read(connection, 8))
    sizes = struct.unpack(f"<{count}Q", _read(connection, 8 * count))
    head, *buffers = [_read(connection, size) for size in sizes]
    return ForkingPickler.loads(head, buffers=buffers)


def _read(connection: socket.socket, size: int) -> memoryview:
    content = np.empty(size, dtype=np.uint8).data  # not filled with zeros first
    left = content
    while left:
        read = connection.recv_into(left, len(left), _WAIT_FOR_ALL)
        if read == 0:
            raise EOFError
        left = left[read:]
    return content


def _memory() -> str:
    """What memory is and was used, as far as this system tells."""
    parts = []
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else _KIB
        held, by_worker = (
            resource.getrusage(who).ru_maxrss * unit for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        parts.append(
            f"this process held up to {_gb(held)}, its largest worker {_gb(by_worker)}, what they share included"
        )
    known = _numbers_of("/proc/meminfo")
    if "MemTotal" in known:
        free, total = known.get("MemAvailable", 0) * _KIB, known["MemTotal"] * _KIB
        parts.append(f"{_gb(free)} of the machine's {_gb(total)} are free now")
    limit = _numbers_of("/sys/fs/cgroup/memory.max").get("", 0)  # absent where it is "max"
    if limit:
        parts.append(f"the container may use {_gb(limit)}")
    return ", ".join(parts)


def _numbers_of(path: str) -> dict[str, int]:
    """The numbers of a file of the kernel by their names, or the only one by an empty one; none where it is not."""
    try:
        with open(path) as file:
            found = re.findall(r"^(?:(\w+):\s*)?(\d+)", file.read(), flags=re.MULTILINE)
    except OSError:
        return {}
    return {name: int(number) for name, number in found}


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
