"""What holds for the whole process: settings that must stand before torch is imported, and signals."""

import os
import signal

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGUSR1")  # USR1: Slurm's warning
    if hasattr(signal, name)  # Windows has no SIGUSR1
)


def wait_passively() -> None:
    """Let OpenMP's idle threads sleep instead of spin, unless the user said otherwise.

    On a machine whose cores others use too, spinning threads wait for ones that are not running: a training step of
    the quickstart took 4 s and more on two busy cores, and 0.5 s with this.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
