"""Run the real commands, under a deadline that ends every process they started."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from tests.hub_server import LoopbackHub

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = str(REPOSITORY / "accel_asr" / "train.py")
ACCELERATE = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
TWO_PROCESSES = [
    *("--config_file", str(REPOSITORY / "launch_configs" / "cpu_2_processes.yaml")),
    *("--main_process_port", "0"),
]


@dataclass(frozen=True)
class Finished:
    """What a command left: exit code, stdout and stderr."""

    code: int
    out: str
    err: str


def run(command: list[str], *, cwd: Path, env: Mapping[str, str] | None = None, deadline_s: float = 240.0) -> Finished:
    """Run `command` to its end; on the deadline, end all that it started, and fail with where each process was.

    The output goes to files: a launcher's ranks are in sessions of their own and would hold a pipe open for ever.

    `env` is the whole environment; by default this process's, offline, with one thread for each process.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**(env if env is not None else offline_environment()), "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            process.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            end_with_traces(process.pid)
            raise AssertionError(
                f"{command} took more than {deadline_s} s\n{_all_of(out)[-2000:]}\n{_all_of(err)[-12000:]}"
            ) from None
        return Finished(process.returncode, _all_of(out), _all_of(err))


def end_with_traces(pid: int) -> None:
    """Abort a process and all its descendants, which makes each of them print its stacks; then kill what is left."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in reversed(family):  # the ranks first: their launcher would end them without a word
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGABRT)
    _, alive = psutil.wait_procs(family, timeout=5)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _all_of(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def launch_training(settings: list[str], *, cwd: Path, launcher: list[str] | None = None) -> Finished:
    """`accelerate launch [launcher] accel_asr/train.py [settings]`, which must succeed."""
    finished = run([*ACCELERATE, *(launcher or []), TRAIN, *settings], cwd=cwd)
    assert finished.code == 0, finished.err[-4000:]
    return finished


def console(arguments: list[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> Finished:
    """`python -m accel_asr ...`, whatever its exit code."""
    return run([sys.executable, "-m", "accel_asr", *arguments], cwd=cwd, env=env)


def hub_environment(hub: "LoopbackHub", home: Path, *, logged_in: bool = True) -> dict[str, str]:
    """The environment of a command whose Hub is `hub`, with one thread."""
    return {**hub.env(home, logged_in=logged_in), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


def offline_environment() -> dict[str, str]:
    """This environment, without launcher variables, and with the Hub out of reach at once."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE_", "HF_"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
