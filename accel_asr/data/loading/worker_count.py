"""How many processes load the audio, where `training.dataloader_num_workers` is unset."""

import os
from pathlib import Path

import torch

MOST_WORKERS = 8  # of a rank: each holds two micro-batches ready
OWN_CORES = 2  # of a rank: for the thread that gives the GPU its work, and for those that take in and pin batches
_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of this container: microseconds in a period, or max; the period


def num_workers_of_rank(wanted: int | None, *, device: torch.device) -> int:
    """As wanted; unset, the cores that this rank of its machine can spare, and none where it trains on the CPU.

    There the training itself keeps all cores at work, and a worker could only take them away.
    """
    if wanted is not None:
        return wanted
    if device.type == "cpu":
        return 0
    cores_of_rank = usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(cores_of_rank - OWN_CORES, 1), MOST_WORKERS)


def usable_cores() -> int:
    """Cores that this process may use: of the machine, of its affinity, and of its container."""
    # macOS has no affinity
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(min(cores, int(quota) // int(period)), 1)
    except (OSError, ValueError):  # no such group, or "max"
        return cores
