"""Settings of the whole process: signals, and environment variables to set before torch is imported."""

import os
import signal

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGUSR1")  # USR1: Slurm's warning
    if hasattr(signal, name)  # Windows has no SIGUSR1
)


def wait_passively() -> None:
    """Let OpenMP's idle threads sleep instead of spin, unless the user has set it.

    On shared cores, spinning threads take the time of those they wait for: a training step of the quickstart took over
    4 s on two busy cores, and 0.5 s with this.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
