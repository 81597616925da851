"""Training on the speech alone: evaluated at both contexts, the same on any topology, and resumed bit for bit."""

import json
import signal

import pytest

from tests.integration.tones import RESUME, TonesJob
from tests.tiny_models import make_tiny_whisper

LAST_STEP = 12  # the last tenth of it: steps 11 and 12
ALONE, TWO, RESUMED = "context-one", "context-two", "context-resumed"
EVALUATED = (0, 3, 6, 9, 12)
KILL = {"moment": "step", "rank": 0, "count": 7, "signal": int(signal.SIGKILL)}


@pytest.fixture(scope="module")
def job(tones: TonesJob) -> TonesJob:
    """A window of 6 s, 300 positions, of which the clips (0.5 to 1.2 s) need 128."""
    model = make_tiny_whisper(tones.folder / "six-seconds", max_source_positions=300)
    settings = ["--model.name_or_path", str(model), "--training.audio_context", "speech"]
    plan = [
        tones.launch(ALONE, (1, 8, 1), *settings),
        tones.launch(TWO, (2, 2, 2), *settings),
        tones.launch(RESUMED, (1, 8, 1), *settings, ends=KILL),
        tones.launch(RESUMED, (1, 8, 1), *settings, *RESUME),
    ]
    assert tones.run_plan(plan) == [[0], [0, 0], [-signal.SIGKILL], [0]], tones.logs(plan)
    return tones


def test_every_evaluation_hears_the_speech_and_the_first_and_last_the_whole_window(job: TonesJob) -> None:
    run = job.run_dir(ALONE)
    assert [line["step"] for line in job.metrics(ALONE, "eval_speech_context")] == [*EVALUATED]
    assert [line["step"] for line in job.metrics(ALONE, "eval")] == [0, LAST_STEP]
    for folder, steps in (("evaluations/speech_context", EVALUATED), ("evaluations", (0, LAST_STEP))):
        assert sorted(path.name for path in (run / folder).glob("*.jsonl")) == [f"step-{n:08d}.jsonl" for n in steps]
    summary = json.loads((run / "summary.json").read_text())
    assert {name: record["step"] for name, record in summary.items()} == {"baseline": 0, "best": 12, "last": 12}
    for record in summary.values():
        speech = record["speech_context"]
        assert speech["step"] == record["step"]
        assert speech["loss"] != record["loss"]  # the model heard another context
    said = job.said(ALONE)
    assert said.count("speech only") > 4
    assert "best so far" in said


def test_two_processes_train_and_score_as_one(job: TonesJob) -> None:
    job.assert_close_losses(TWO, ALONE)
    alone, two = job.metrics(ALONE, "train"), job.metrics(TWO, "train")
    assert len(alone) == LAST_STEP
    assert [line["grad_norm"] for line in two] == pytest.approx([line["grad_norm"] for line in alone], rel=1e-5)
    for kind in ("eval", "eval_speech_context"):
        scores = [[(line["step"], line["wer"]) for line in job.metrics(name, kind)] for name in (ALONE, TWO)]
        assert scores[0] == scores[1]


def test_a_killed_run_resumes_bit_for_bit(job: TonesJob) -> None:
    assert "resumed after step" in job.said(RESUMED)
    job.assert_equal_weights(RESUMED, ALONE)
    assert job.metrics(RESUMED, "eval_speech_context") == job.metrics(ALONE, "eval_speech_context")
