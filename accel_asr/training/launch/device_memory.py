"""Memory of a device: how much is left and used, and the peak of a piece of work on a CPU."""

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch
from accelerate.utils.memory import clear_device_cache

_CGROUPS = Path("/sys/fs/cgroup")
_SAMPLE_EVERY_S = 0.001


def available_bytes(device: torch.device) -> int:
    """What this process may still take on `device`; on a CPU its part of what the machine and the container have left.

    On a GPU, what this process holds in PyTorch's cache counts as taken: `free_memory` gives it back.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    left = min([psutil.virtual_memory().available, *_left_in_containers()])
    return left // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def used_bytes(device: torch.device) -> int:
    """What this process uses on `device`: tensors on a GPU, resident memory on a CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch had no memory for a tensor: CUDA and other accelerators, MPS, a CPU's allocator."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "DefaultCPUAllocator: can't allocate memory" in text
    )


def free_memory() -> None:
    """Give back what is not used any more, so that it can be seen when it is taken again."""
    gc.collect()
    clear_device_cache()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # glibc keeps freed memory; other C libraries have no such function
            ctypes.CDLL(None).malloc_trim(0)


class Peak:
    """The largest resident memory of this process while `peak_watched` watched it, in bytes."""

    def __init__(self) -> None:
        self.bytes = psutil.Process().memory_info().rss


@contextmanager
def peak_watched() -> Iterator[Peak]:
    """Look at this process's resident memory every millisecond, in a thread; torch lets it, while it computes."""
    peak, process, ended = Peak(), psutil.Process(), threading.Event()

    def watch() -> None:
        while not ended.wait(_SAMPLE_EVERY_S):
            peak.bytes = max(peak.bytes, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _left_in_containers() -> Iterator[int]:
    """What each control group of this process may still take, where the system has any: version 2, then 1."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        root = _CGROUPS / controllers
        limit, used = (
            ("memory.max", "memory.current")
            if not controllers
            else (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
        )
        # in a container its own group is mounted at the root, whatever its name outside
        folders = {root, *(root / part for part in _with_parents(name))}
        for folder in folders:
            with suppress(OSError, ValueError):  # no such file, or it says "max"
                taken = int((folder / used).read_text()) - _file_cache(folder)
                yield max(int((folder / limit).read_text()) - taken, 0)


def _with_parents(name: str) -> list[str]:
    """`a/b`, `a` of `/a/b`: a group is limited by those above it, too."""
    parts = name.strip("/").split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _file_cache(folder: Path) -> int:
    """Bytes of cached files that the system gives up before it lets a process run out of memory."""
    stats = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return int(stats.get("total_inactive_file", stats.get("inactive_file", 0)))
