"""Run the real commands, under a deadline that ends the whole process group."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = str(REPOSITORY / "accel_asr" / "train.py")
ACCELERATE = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
TWO_PROCESSES = ["--multi_gpu", "--num_processes", "2", "--main_process_port", "0"]


@dataclass(frozen=True)
class Finished:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str


def run(command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None, deadline_s: float = 240.0) -> Finished:
    """Run `command` to its end; on the deadline kill all that it started and fail.

    `env` is the whole environment; by default this process's, offline, with one thread for each process.
    """
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=dict(env) if env is not None else offline_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"{command} took more than {deadline_s} s\n{out[-2000:]}\n{err[-2000:]}") from None
    return Finished(process.returncode, out, err)


def launch_training(settings: list[str], *, cwd: Path, launcher: list[str] | None = None) -> Finished:
    """`accelerate launch [launcher] accel_asr/train.py [settings]`, which must succeed."""
    finished = run([*ACCELERATE, *(launcher or []), TRAIN, *settings], cwd=cwd)
    assert finished.code == 0, finished.err[-4000:]
    return finished


def console(arguments: list[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """`python -m accel_asr ...`, whatever its exit code."""
    return run([sys.executable, "-m", "accel_asr", *arguments], cwd=cwd, env=env)


def offline_environment() -> dict[str, str]:
    """This environment, without launcher variables, and with the Hub out of reach at once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE_", "HF_"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
