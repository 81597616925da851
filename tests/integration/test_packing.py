"""Utterances that share windows: the same training on any topology and after a resume, never mixed with unpacked."""

import re
import signal

import pytest

from tests.integration.tones import RESUME, TRAIN_CLIPS, TonesJob

PACK = ("--training.pack", "true", "--training.num_train_epochs", "2")
PACK += ("--evaluation.eval_on_start", "false", "--evaluation.eval_steps", "100")  # only after the last step
TOPOLOGIES = {"packed1": (1, 4, 1), "packed2": (2, 1, 2)}  # global batches of 4 packed windows
# in step 5: the checkpoint of step 2 is complete, that of step 4 may still be being written
KILL = {"moment": "step", "count": 10, "signal": int(signal.SIGKILL), "rank": -1}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """A run on one process, and one on two that is killed in its tenth micro-batch and resumed."""
    plan = [
        tones.launch("packed1", TOPOLOGIES["packed1"], *PACK),
        tones.launch("packed2", TOPOLOGIES["packed2"], *PACK, ends=KILL),
        tones.launch("packed2", TOPOLOGIES["packed2"], *PACK, *RESUME),
        tones.launch("packed2", TOPOLOGIES["packed2"], *PACK, *RESUME, "--training.pack", "false"),
    ]
    codes = tones.run_plan(plan)
    assert codes == [[0], [-signal.SIGKILL, -signal.SIGKILL], [0, 0], [2, 2]], tones.logs(plan)
    return tones


def test_two_processes_and_a_resume_give_the_losses_and_weights_of_one(job: TonesJob) -> None:
    assert re.search("resumed after step [24] of ", job.said("packed2"))
    assert len(job.metrics("packed1", "train")) >= 6
    job.assert_close_losses("packed2", "packed1")
    job.assert_close_weights("packed2", "packed1")


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_an_epoch_trains_on_every_utterance_once_in_fewer_windows(job: TonesJob, name: str) -> None:
    ledger = job.ledger(name)
    ids = [utterance for lists in ledger.values() for ids in lists for utterance in ids]
    assert len(ids) == 2 * TRAIN_CLIPS
    assert len(set(ids)) == TRAIN_CLIPS
    assert max(step for step, _ in ledger) < 2 * TRAIN_CLIPS / 4  # the number of unpacked steps
    assert f"packed {TRAIN_CLIPS} utterances into " in job.said(name)


def test_a_packed_run_is_not_resumed_unpacked(job: TonesJob) -> None:
    assert "was made with other settings or data" in job.said_in_one_line("packed2")
