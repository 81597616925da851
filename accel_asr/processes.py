"""Settings of the process that must stand before torch is imported."""

import os


def wait_passively() -> None:
    """Let OpenMP's idle threads sleep instead of spin, unless the user said otherwise.

    On a machine whose cores others use too, spinning threads wait for ones that are not running: a training step of
    the quickstart took 4 s and more on two busy cores, and 0.5 s with this.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
