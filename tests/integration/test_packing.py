"""Utterances that share windows: the same training on any topology, after a resume too, and never a mixture of both."""

import re
import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import TRAIN_CLIPS, TonesJob

PACK = ("--training.pack", "true", "--training.num_train_epochs", "2")
PACK += ("--evaluation.eval_on_start", "false", "--evaluation.eval_steps", "100")  # of the last step only
RESUME = ("--checkpoint.resume", "true")
TOPOLOGIES = {"packed1": (1, 4, 1), "packed2": (2, 1, 2)}  # global batches of 4 packed windows
# in step 5: that of step 2 is complete before the checkpoint of step 4 is begun, which may be in flight
KILL = {"moment": "step", "count": 10, "signal": int(signal.SIGKILL), "rank": -1}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """One run on one process and one on two, which is killed in its tenth micro-batch and goes on."""
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
    one, two = job.metrics("packed1", "train"), job.metrics("packed2", "train")
    assert len(one) == len(two) >= 6
    for mine, other in zip(one, two, strict=True):
        assert other["loss"] == pytest.approx(mine["loss"], abs=1e-5)
        assert other["target_tokens"] == mine["target_tokens"]
    weights, expected = (load_file(job.run_dir(name) / "last" / "model.safetensors") for name in TOPOLOGIES)
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_an_epoch_trains_on_every_utterance_once_in_fewer_windows(job: TonesJob, name: str) -> None:
    ids = [name for lists in job.ledger(name).values() for one in lists for name in one]
    assert len(ids) == 2 * TRAIN_CLIPS
    assert len(set(ids)) == TRAIN_CLIPS
    steps = max(step for step, _ in job.ledger(name))
    assert steps < 2 * TRAIN_CLIPS / 4  # as many as there would be unpacked
    assert f"packed {TRAIN_CLIPS} utterances into " in job.said(name)


def test_a_packed_run_is_not_gone_on_with_unpacked(job: TonesJob) -> None:
    assert "since the run has changed: " in " ".join(job.said("packed2").split())
