"""Features made on the training device: the training that the CPU's give, on any topology, after a resume too."""

import signal

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import TonesJob

FEW = ("--training.max_steps", "6", "--evaluation.eval_on_start", "false")
ON_DEVICE = (*FEW, "--data.features_on_device", "true")
CPU, DEVICE, TWO = "features-cpu", "features-device", "features-two"
# in step 5: that of step 2 is complete before the checkpoint of step 4 is begun, which may be in flight
KILL = {"moment": "step", "count": 10, "signal": int(signal.SIGKILL), "rank": -1}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    plan = [
        tones.launch(CPU, (1, 8, 1), *FEW),
        tones.launch(DEVICE, (1, 8, 1), *ON_DEVICE),
        tones.launch(TWO, (2, 2, 2), *ON_DEVICE, ends=KILL),
        tones.launch(TWO, (2, 2, 2), *ON_DEVICE, "--checkpoint.resume", "true"),
    ]
    codes = tones.run_plan(plan)
    assert codes == [[0], [0], [-signal.SIGKILL, -signal.SIGKILL], [0, 0]], tones.logs(plan)
    return tones


def test_the_device_makes_them(job: TonesJob) -> None:
    weights = [load_file(job.run_dir(name) / "last" / "model.safetensors") for name in (CPU, DEVICE)]
    assert any(not torch.equal(weights[1][name], weight) for name, weight in weights[0].items())  # other rounding


@pytest.mark.parametrize("name", [DEVICE, TWO])
def test_losses_and_scores_are_those_of_the_cpus(job: TonesJob, name: str) -> None:
    expected, found = job.metrics(CPU, "train"), job.metrics(name, "train")
    assert len(found) == 6
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], abs=1e-5)
    assert [line["grad_norm"] for line in found] == pytest.approx([line["grad_norm"] for line in expected], rel=1e-4)
    scores = [[(line["step"], line["wer"]) for line in job.metrics(run, "eval")] for run in (CPU, name)]
    assert scores[0] == scores[1]
    losses = [[line["loss"] for line in job.metrics(run, "eval")] for run in (CPU, name)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)


def test_a_killed_run_was_gone_on_with(job: TonesJob) -> None:
    assert "resumed after step" in job.said(TWO)
