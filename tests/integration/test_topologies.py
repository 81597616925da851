"""The same global batch and the same validation clips, dealt out to 1, 2 and 3 processes: one result."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.integration.tones import STEPS_PER_EPOCH, TRAIN_CLIPS, VALIDATION_CLIPS, TonesJob

TOPOLOGIES = {"1x8x1": (1, 8, 1), "1x2x4": (1, 2, 4), "2x2x2": (2, 2, 2), "2x4x1": (2, 4, 1)}  # as in (3, 3, 1): 3x3x1
ALONE, *OTHERS = TOPOLOGIES


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """The four runs, and one of three processes, whose global batch is another one but whose evaluation is not."""
    plan = [tones.launch(name, topology) for name, topology in TOPOLOGIES.items()]
    plan.append(tones.launch("3x3x1", (3, 3, 1)))
    codes = tones.run_plan(plan)
    assert codes == [[0], [0], [0, 0], [0, 0], [0, 0, 0]], tones.logs(plan)
    return tones


@pytest.mark.parametrize("name", OTHERS)
def test_updates_are_those_of_one_process_with_one_batch(job: TonesJob, name: str) -> None:
    """`pytest -rP` shows what it prints."""
    alone, other = job.metrics(ALONE, "train"), job.metrics(name, "train")
    assert len(alone) == len(other) == 3 * STEPS_PER_EPOCH
    residuals = [mine["loss"] - one["loss"] for mine, one in zip(other, alone, strict=True)]
    assert max(map(abs, residuals)) < 1e-5
    assert abs(sum(residuals) / len(residuals)) < 1e-6
    for mine, one in zip(other, alone, strict=True):
        assert mine["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)
        assert mine["learning_rate"] == one["learning_rate"]
        assert mine["target_tokens"] == one["target_tokens"]
    weights, expected = (load_file(job.run_dir(run) / "last" / "model.safetensors") for run in (name, ALONE))
    apart = max(float((weights[key] - weight).abs().max()) for key, weight in expected.items())
    mean = sum(residuals) / len(residuals)
    print(f"{name} against {ALONE}: losses within {max(map(abs, residuals)):.1e}, mean {mean:.0e}; weights {apart:.1e}")
    for key, weight in expected.items():
        torch.testing.assert_close(weights[key], weight, rtol=0, atol=1e-5)


def test_the_windows_are_ragged_and_the_last_one_is_short(job: TonesJob) -> None:
    tokens = [line["target_tokens"] for line in job.metrics(ALONE, "train")]
    assert len(set(tokens[:STEPS_PER_EPOCH])) > 2
    assert tokens[STEPS_PER_EPOCH - 1] < 0.6 * min(tokens[: STEPS_PER_EPOCH - 1])


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_an_epoch_trains_on_every_utterance_once(job: TonesJob, name: str) -> None:
    ledger = job.ledger(name)
    for epoch in range(3):
        steps = range(epoch * STEPS_PER_EPOCH + 1, (epoch + 1) * STEPS_PER_EPOCH + 1)
        ids = [utterance for (step, _), lists in ledger.items() if step in steps for one in lists for utterance in one]
        assert len(ids) == len(set(ids)) == TRAIN_CLIPS


@pytest.mark.parametrize("name", [*OTHERS, "3x3x1"])
def test_the_table_of_transcripts_is_the_same_row_for_row(job: TonesJob, name: str) -> None:
    baseline = "evaluations/step-00000000.jsonl"
    table = (job.run_dir(name) / baseline).read_text()
    assert table == (job.run_dir(ALONE) / baseline).read_text()
    rows = [json.loads(line) for line in table.splitlines()]
    assert len({row["utterance_id"] for row in rows}) == len(rows) == VALIDATION_CLIPS
    assert len({row["hypothesis"] for row in rows}) > 1  # or the rows could not be told apart
    assert job.metrics(name, "eval")[0] == job.metrics(ALONE, "eval")[0]  # WER and loss to the last digit
