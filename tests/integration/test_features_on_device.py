"""Features computed on the training device: the training that the CPU's give, on any topology and after a resume."""

import signal

import pytest
import torch

from tests.integration.tones import RESUME, TonesJob

FEW = ("--training.max_steps", "6", "--evaluation.eval_on_start", "false")
ON_DEVICE = (*FEW, "--data.features_on_device", "true")
CPU, DEVICE, TWO = "features-cpu", "features-device", "features-two"
# in step 5: the checkpoint of step 2 is complete, that of step 4 may still be being written
KILL = {"moment": "step", "count": 10, "signal": int(signal.SIGKILL), "rank": -1}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    plan = [
        tones.launch(CPU, (1, 8, 1), *FEW),
        tones.launch(DEVICE, (1, 8, 1), *ON_DEVICE),
        tones.launch(TWO, (2, 2, 2), *ON_DEVICE, ends=KILL),
        tones.launch(TWO, (2, 2, 2), *ON_DEVICE, *RESUME),
    ]
    codes = tones.run_plan(plan)
    assert codes == [[0], [0], [-signal.SIGKILL, -signal.SIGKILL], [0, 0]], tones.logs(plan)
    return tones


def test_the_device_computes_them(job: TonesJob) -> None:
    weights = job.weights(DEVICE)
    assert any(not torch.equal(weights[name], weight) for name, weight in job.weights(CPU).items())  # other rounding


@pytest.mark.parametrize("name", [DEVICE, TWO])
def test_losses_and_scores_are_those_of_the_cpus(job: TonesJob, name: str) -> None:
    job.assert_close_losses(name, CPU)
    lines, expected = job.metrics(name, "train"), job.metrics(CPU, "train")
    assert len(lines) == 6
    assert [line["grad_norm"] for line in lines] == pytest.approx([line["grad_norm"] for line in expected], rel=1e-4)
    scores, of_cpu = job.metrics(name, "eval"), job.metrics(CPU, "eval")
    assert [(line["step"], line["wer"]) for line in scores] == [(line["step"], line["wer"]) for line in of_cpu]
    assert [line["loss"] for line in scores] == pytest.approx([line["loss"] for line in of_cpu], abs=1e-5)


def test_the_killed_run_was_resumed(job: TonesJob) -> None:
    assert "resumed after step" in job.said(TWO)
