"""Signals to the training process: a checkpoint after the step, a message, a distinct exit code."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from accel_asr.training.stopping import STOPPED_EXIT_CODE
from tests.integration.launching import ACCELERATE, TRAIN, TWO_PROCESSES, offline_environment
from tests.integration.tones import RESUME, TOPOLOGIES, TonesJob

SIGNALS = {"SIGTERM": (1, 0), "SIGINT": (2, 1), "SIGUSR1": (2, 0)}  # (processes, the only rank that gets it)
AT_STEP_5 = {"moment": "step", "count": 10}  # each step has two micro-batches


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    plan = []
    for name, (processes, rank) in SIGNALS.items():
        ends = {**AT_STEP_5, "signal": int(getattr(signal, name)), "rank": rank}
        plan += [
            tones.launch(name, TOPOLOGIES[processes], ends=ends),
            tones.launch(name, TOPOLOGIES[processes], *RESUME),
        ]
    ends = {**AT_STEP_5, "signal": int(signal.SIGTERM), "rank": 0, "twice": True}
    plan.append(tones.launch("twice", TOPOLOGIES[1], ends=ends))
    # the second checkpoint, of step 8, after which nothing else is written before the last step
    ends = {"moment": "checkpoint", "count": 4, "signal": 0, "errno": errno.ENOSPC, "rank": 0}
    rarely = ("--checkpoint.save_steps", "4", "--evaluation.eval_steps", "12")
    plan.append(tones.launch("full disk", TOPOLOGIES[2], *rarely, ends=ends, grace_s=60))
    codes = tones.run_plan(plan)
    expected = []
    for processes, _ in SIGNALS.values():
        expected += [[STOPPED_EXIT_CODE] * processes, [0] * processes]
    assert codes == [*expected, [-signal.SIGTERM], [2, 2]], tones.logs(plan)
    return tones


@pytest.mark.parametrize("name", SIGNALS)
def test_all_ranks_stop_after_the_same_step_with_a_checkpoint(job: TonesJob, name: str) -> None:
    said = job.said(name)
    step = int(said.split("stopped after step ")[1].split()[0])
    assert step in (5, 6)  # a rank that gets it within a step tells the others after the next one
    assert f"resumed after step {step} of 12" in said
    assert f"{name}: saving a checkpoint after this step" in job.said(name, SIGNALS[name][1])


@pytest.mark.parametrize("name", SIGNALS)
def test_the_resumed_run_ends_as_one_never_stopped(job: TonesJob, name: str) -> None:
    whole = job.whole_run(TOPOLOGIES[SIGNALS[name][0]])
    job.assert_equal_weights(name, whole)
    assert job.metrics(name) == job.metrics(whole)  # with the evaluation at step 6, which the stop put off


def test_a_second_signal_ends_at_once(job: TonesJob) -> None:
    assert "stopped after step" not in job.said("twice")


def test_a_checkpoint_that_does_not_fit_on_the_disk_ends_all_ranks_within_a_few_steps(job: TonesJob) -> None:
    message = job.said_in_one_line("full disk")
    assert message.count("no space is left") == message.count("error: ") == 1
    for words in ("--output_dir 'run'", "run/checkpoints/step-00000004", "--checkpoint.resume true"):
        assert words in message
    for rank in (0, 1):
        assert "Traceback" not in job.said("full disk", rank)
    assert "error" not in job.said("full disk", 1)
    assert job.metrics("full disk", "train")[-1]["step"] < 12  # not when the next one is due
    assert [path.name for path in (job.run_dir("full disk") / "checkpoints").iterdir()] == ["step-00000004"]


@pytest.mark.parametrize("launcher", ["none", "two processes"])
def test_by_the_commands_that_a_user_types(job: TonesJob, launcher: str) -> None:
    """SIGTERM to the process itself without a launcher, and to the launcher of two ranks, which passes it on."""
    folder = job.folder / f"typed-{launcher.replace(' ', '-')}"
    folder.mkdir()
    command = [sys.executable, "-m", "accel_asr", "train"]
    if launcher == "two processes":
        command = [*ACCELERATE, *TWO_PROCESSES, TRAIN]
    settings = job.settings(2, 2, "--training.num_train_epochs", "2000", "--evaluation.eval_steps", "5000")
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(
            [*command, *settings], cwd=folder, env=offline_environment(), stdout=out, stderr=out, start_new_session=True
        )
        deadline_s = time.monotonic() + 100
        while not list(folder.glob("run/checkpoints/step-*")):
            assert process.poll() is None, (folder / "out").read_text()[-3000:]
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(timeout=60)
    said = (folder / "out").read_text()
    assert code == (STOPPED_EXIT_CODE if launcher == "none" else 1)
    step = int(said.split("stopped after step ")[1].split()[0])
    assert (folder / "run" / "checkpoints" / f"step-{step:08d}" / "state.json").is_file()
    assert not (folder / "run" / "last").exists()
