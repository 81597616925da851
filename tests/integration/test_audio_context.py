"""Training and evaluating with merged padding: the same on any topology, and resumed bit for bit."""

import signal

import pytest

from tests.integration.tones import RESUME, TonesJob
from tests.tiny_models import make_tiny_whisper

LAST_STEP = 12
ALONE, TWO, RESUMED, WHOLE = "merged-one", "merged-two", "merged-resumed", "merged-not"
SHARDED = "merged-sharded"
KILL = {"moment": "step", "rank": 0, "count": 7, "signal": int(signal.SIGKILL)}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """A window of 8 s, 400 positions, of which the clips (0.5 to 1.2 s) keep 256 or 320."""
    model = make_tiny_whisper(tones.folder / "eight-seconds", max_source_positions=400)
    whole = ["--model.name_or_path", str(model)]
    merged = [*whole, "--training.audio_context", "merged", "--evaluation.audio_context", "merged"]
    plan = [
        tones.launch(ALONE, (1, 8, 1), *merged),
        tones.launch(TWO, (2, 2, 2), *merged),
        tones.launch(SHARDED, (2, 2, 2), *merged, "--training.gradient_checkpointing", "both", fsdp=True),
        tones.launch(RESUMED, (1, 8, 1), *merged, ends=KILL),
        tones.launch(RESUMED, (1, 8, 1), *merged, *RESUME),
        tones.launch(WHOLE, (1, 8, 1), *whole, "--training.max_steps", "1"),
    ]
    assert tones.run_plan(plan) == [[0], [0, 0], [0, 0], [-signal.SIGKILL], [0], [0]], tones.logs(plan)
    return tones


def test_it_is_nearly_the_training_at_the_whole_window_and_not_quite(job: TonesJob) -> None:
    first, of_whole = job.metrics(ALONE, "train")[0], job.metrics(WHOLE, "train")[0]
    assert first["target_tokens"] == of_whole["target_tokens"]
    assert first["loss"] != of_whole["loss"]
    assert first["loss"] == pytest.approx(of_whole["loss"], rel=0.01)
    said = [job.metrics(name, "eval")[0].get("audio_context") for name in (ALONE, WHOLE)]
    assert said == ["merged", None]
    assert job.metrics(ALONE, "eval")[0]["loss"] != job.metrics(WHOLE, "eval")[0]["loss"]


def test_two_processes_train_and_score_as_one(job: TonesJob) -> None:
    job.assert_close_losses(TWO, ALONE)
    alone, two = job.metrics(ALONE, "train"), job.metrics(TWO, "train")
    assert len(alone) == LAST_STEP
    assert [line["grad_norm"] for line in two] == pytest.approx([line["grad_norm"] for line in alone], rel=1e-5)
    scores = [[(line["step"], line["wer"]) for line in job.metrics(name, "eval")] for name in (ALONE, TWO)]
    assert scores[0] == scores[1]
    assert job.metrics(TWO, "eval")[0]["loss"] == job.metrics(ALONE, "eval")[0]["loss"]


def test_sharded_weights_and_checkpointed_layers_train_as_one_process(job: TonesJob) -> None:
    alone, sharded = job.metrics(ALONE, "train"), job.metrics(SHARDED, "train")
    for ours, expected in zip(sharded, alone, strict=True):
        assert ours["loss"] == pytest.approx(expected["loss"], abs=1e-4)
        assert ours["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)


def test_a_killed_run_resumes_bit_for_bit(job: TonesJob) -> None:
    assert "resumed after step" in job.said(RESUMED)
    job.assert_equal_weights(RESUMED, ALONE)
    assert job.metrics(RESUMED, "eval") == job.metrics(ALONE, "eval")
