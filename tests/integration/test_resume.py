"""A run that is killed and resumed ends as one that was never stopped: bit for bit on its own topology."""

import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import TonesJob

TOPOLOGIES = {1: (1, 4, 2), 2: (2, 2, 2), 4: (4, 2, 1)}  # global batch 8
RESUME = ("--checkpoint.resume", "true")
KILL = {"count": 5, "signal": int(signal.SIGKILL)}
KILLS = {
    1: {"moment": "checkpoint", "rank": 0, **KILL},  # the second one, with one of its files written
    2: {"moment": "evaluation", "rank": 1, **KILL},
    4: {"moment": "step", "rank": 2, **KILL},
}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """For 1, 2 and 4 processes, with DataLoader workers: a run to the end, and one that is killed, then resumed."""
    plan = []
    for processes, topology in TOPOLOGIES.items():
        plan.append(tones.launch(f"whole{processes}", topology))
        plan.append(tones.launch(f"killed{processes}", topology, ends=KILLS[processes]))
        plan.append(tones.launch(f"killed{processes}", topology, *RESUME))
    codes = tones.run_plan(plan)
    assert codes[0] == codes[2] == [0]
    assert codes[3] == codes[5] == [0, 0]
    assert codes[6] == codes[8] == [0, 0, 0, 0]
    assert codes[1][0] == codes[4][1] == codes[7][2] == -signal.SIGKILL
    return tones


def assert_ends_alike(job: TonesJob, name: str, expected: str) -> None:
    weights, whole = (load_file(job.run_dir(run) / "last" / "model.safetensors") for run in (name, expected))
    assert all(torch.equal(weights[key], weight) for key, weight in whole.items())
    assert job.metrics(name) == job.metrics(expected)
    for evaluation in sorted((job.run_dir(expected) / "evaluations").iterdir()):
        assert (job.run_dir(name) / "evaluations" / evaluation.name).read_text() == evaluation.read_text()


@pytest.mark.parametrize("processes", TOPOLOGIES)
def test_weights_metrics_and_transcripts_are_those_of_a_run_never_stopped(job: TonesJob, processes: int) -> None:
    assert "resumed after step" in job.said(f"killed{processes}")
    assert_ends_alike(job, f"killed{processes}", f"whole{processes}")


@pytest.mark.parametrize("processes", TOPOLOGIES)
def test_a_step_is_trained_on_the_same_utterances_again(job: TonesJob, processes: int) -> None:
    ledger = job.ledger(f"killed{processes}")
    assert ledger == job.ledger(f"whole{processes}")
    assert all(len(lists) == 1 for lists in ledger.values())


def test_another_dealing_of_the_same_global_batch_goes_on_nearly_equal_and_says_so(job: TonesJob) -> None:
    half = job.launch("redealt", TOPOLOGIES[2], ends={"moment": "step", "rank": -1, **KILL, "count": 11})
    codes = job.run_plan([half, job.launch("redealt", (1, 8, 1), *RESUME)])
    assert codes == [[-signal.SIGKILL, -signal.SIGKILL], [0]]
    assert "was 2 processes x 2 x 2 = 8, this run's is 1 process x 1 x 8 = 8" in " ".join(job.said("redealt").split())
    for line, expected in zip(job.metrics("redealt", "train"), job.metrics("whole2", "train"), strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    weights, whole = (load_file(job.run_dir(run) / "last" / "model.safetensors") for run in ("redealt", "whole2"))
    for key, weight in whole.items():
        torch.testing.assert_close(weights[key], weight, rtol=0, atol=1e-5)


def test_another_global_batch_is_refused_with_both_sums(job: TonesJob) -> None:
    assert job.run_plan([job.launch("killed1", (1, 3, 1), *RESUME)]) == [[2]]
    assert "1 process x 2 x 4 = 8 -> 1 process x 1 x 3 = 3" in " ".join(job.said("killed1").split())


def test_a_damaged_checkpoint_is_skipped_for_the_one_before(job: TonesJob) -> None:
    source, run = job.run_dir("whole1"), job.run_dir("damaged")
    launch = job.launch("damaged", TOPOLOGIES[1], *RESUME)
    shutil.copytree(source, run)
    newest = sorted((run / "checkpoints").iterdir())[-1]
    with (newest / "optimizer.safetensors").open("r+b") as file:
        file.truncate(1000)
    shutil.rmtree(run / "last")
    assert job.run_plan([launch]) == [[0]]
    said = job.said("damaged")
    assert f"checkpoint 'run/checkpoints/{newest.name}' is damaged" in said
    assert "resumed after step 10 of 12" in said
    assert_ends_alike(job, "damaged", "whole1")
