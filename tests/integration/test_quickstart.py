"""The README's command for a few steps, on one process and on two; and what the run leaves, read by others."""

import json
import shutil
from pathlib import Path
from typing import Any

import evaluate
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.audio.decoding import decode, to_float32, to_int16
from accel_asr.evaluation import WER_METRIC
from accel_asr.quickstart import CLIPS_PARQUET
from tests.integration.launching import TWO_PROCESSES, console, launch_training
from tests.test_main_job import RUN_FOLDER, VALIDATION_CLIPS, read_lines

STEPS = 4
# the same global batch of 12 in both: 1 process x 2 accumulation steps x 6, and 2 processes x 1 x 6
SHORT = f"""--training.max_steps {STEPS} --training.per_device_train_batch_size 6 --training.warmup_steps 2
    --training.lr_scheduler_type constant_with_warmup --evaluation.eval_steps 2 --tracking.logging_steps 1
    --checkpoint.save_total_limit 2""".split()
ACCUMULATING = [*SHORT, "--training.gradient_accumulation_steps", "2"]


@pytest.fixture(scope="module")
def validation() -> list[dict[str, Any]]:
    return pq.read_table(CLIPS_PARQUET).to_pylist()[450:]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the bare command, shortened."""
    folder = tmp_path_factory.mktemp("one")
    finished = launch_training(ACCUMULATING, cwd=folder)
    for words in ("kept 563 of 563 utterances; dropped none", "baseline", "WER ortho", "accel-asr transcribe --model"):
        assert words in finished.out
    assert "Warning" not in finished.err.replace("FutureWarning", ""), finished.err
    return folder / "runs" / "quickstart"


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    launch_training([*SHORT, "--output_dir", "run"], cwd=folder, launcher=TWO_PROCESSES)
    return folder / "run"


def best_transcripts(run: Path) -> list[str]:
    """Those that the run recorded for its best model."""
    step = json.loads((run / "summary.json").read_text())["best"]["step"]
    return [row["hypothesis"] for row in read_lines(run / "evaluations" / f"step-{step:08d}.jsonl")]


def test_the_run_folder_holds_what_is_promised(one_process: Path) -> None:
    assert {path.name for path in one_process.iterdir()} == RUN_FOLDER
    checkpoints = one_process / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000002", "step-00000004"]
    assert {path.suffix for path in checkpoints.glob("*/*")} == {".safetensors", ".json"}  # no pickle
    summary = json.loads((one_process / "summary.json").read_text())
    assert (summary["baseline"]["step"], summary["last"]["step"]) == (0, STEPS)
    assert all(record["utterances"] == VALIDATION_CLIPS for record in summary.values())
    data = json.loads((one_process / "data_summary.json").read_text())
    assert (data["train"]["utterances"], data["validation"]["utterances"]) == (450, VALIDATION_CLIPS)


def test_every_validation_clip_is_scored_exactly_once(
    one_process: Path, two_processes: Path, validation: list[dict[str, Any]]
) -> None:
    for run in (one_process, two_processes):
        for step in (0, 2, 4):
            rows = read_lines(run / "evaluations" / f"step-{step:08d}.jsonl")
            assert [row["reference"] for row in rows] == [clip["english_transcription"] for clip in validation]
            assert len({row["utterance_id"] for row in rows}) == VALIDATION_CLIPS


def test_two_processes_train_and_score_as_one(one_process: Path, two_processes: Path) -> None:
    runs = (one_process, two_processes)
    assert [json.loads((run / "environment.json").read_text())["world_size"] for run in runs] == [1, 2]
    peak = yaml.safe_load((one_process / "config.yaml").read_text())["training"]["learning_rate"]
    lines = [[line for line in read_lines(run / "metrics.jsonl") if line["kind"] == "train"] for run in runs]
    for alone, together, rate in zip(*lines, [peak / 2, peak, peak, peak], strict=True):  # by optimizer steps
        for name in ("loss", "grad_norm", "target_tokens"):
            assert together[name] == pytest.approx(alone[name], rel=1e-5)
        assert together["learning_rate"] == alone["learning_rate"] == pytest.approx(rate)
        assert 0 < alone["data_wait_share"] < 1  # this process makes its batches itself
    weights, expected = (load_file(run / "last" / "model.safetensors") for run in (two_processes, one_process))
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=1e-5)
    # the untouched model's table does not depend on the number of processes at all
    baselines = [(run / "evaluations" / "step-00000000.jsonl").read_text() for run in runs]
    assert baselines[0] == baselines[1]


@pytest.fixture(scope="module")
def audio(validation: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The clips in 16 bits, as the run hears them: unrounded, a near tie among the 113 came out otherwise."""
    samples = [to_float32(to_int16(decode(clip["audio"]["bytes"], sampling_rate_hz=16_000))) for clip in validation]
    return [{"raw": clip, "sampling_rate": 16_000} for clip in samples]


def test_the_outside_evaluator_and_its_pipeline_say_what_the_run_recorded(
    one_process: Path, audio: list[dict[str, Any]], validation: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    best = one_process / "best"
    WhisperForConditionalGeneration.from_pretrained(best)
    processor = WhisperProcessor.from_pretrained(best)
    assert processor.tokenizer.normalize("Colour!")  # needs normalizer.json, which save_pretrained forgets
    transcripts: list[str] = []
    evaluator = evaluate.evaluator("automatic-speech-recognition")
    evaluator.PIPELINE_KWARGS = {}  # evaluate 0.4.6 passes truncation=True on to generate, which refuses it
    call_pipeline = evaluator.call_pipeline

    def recorded_call(*arguments: Any, **options: Any) -> Any:
        outputs, times = call_pipeline(*arguments, **options)
        transcripts.extend(output["text"].strip() for output in outputs)
        return outputs, times

    monkeypatch.setattr(evaluator, "call_pipeline", recorded_call)
    references = [clip["english_transcription"] for clip in validation]
    scores = evaluator.compute(
        model_or_pipeline=str(best),
        data=Dataset.from_dict({"audio": audio, "text": references}).with_format("numpy"),
        metric=evaluate.load(WER_METRIC),
        input_column="audio",
        label_column="text",
    )
    assert transcripts == best_transcripts(one_process)
    assert scores["wer"] == json.loads((one_process / "summary.json").read_text())["best"]["wer"]


def test_transcribe_names_bad_files_and_goes_on(
    one_process: Path, validation: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "good.ogg").write_bytes(validation[0]["audio"]["bytes"])
    (tmp_path / "broken.wav").write_bytes(b"RIFF and then nothing")
    command = ["transcribe", "--model", str(one_process / "best"), "--format", "json", "broken.wav", "good.ogg"]
    finished = console(command, cwd=tmp_path)
    assert finished.code == 1
    assert [json.loads(line)["text"] for line in finished.out.splitlines()] == best_transcripts(one_process)[:1]
    (problem,) = finished.err.splitlines()
    assert "broken.wav" in problem


def test_resume_ends_with_the_same_weights_and_metrics(one_process: Path, tmp_path: Path) -> None:
    """Stopped after step 2 and resumed to 4: the last model is bit for bit that of the run that never stopped."""
    run = tmp_path / "run"
    shutil.copytree(one_process, run)
    shutil.rmtree(run / "checkpoints" / f"step-{STEPS:08d}")  # as if killed between steps 2 and 4
    shutil.rmtree(run / "last")
    settings = [*ACCUMULATING, "--output_dir", "run"]
    refused = console(["train", *settings], cwd=tmp_path)
    assert (refused.code, "already holds a run" in refused.err) == (2, True)
    finished = launch_training([*settings, "--checkpoint.resume", "true"], cwd=tmp_path)
    assert "resumed after step 2 of 4" in finished.out
    weights, resumed = (load_file(folder / "last" / "model.safetensors") for folder in (one_process, run))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    lines = [
        [{**line, "audio_seconds_per_second": 0, "data_wait_share": 0} for line in read_lines(folder / "metrics.jsonl")]
        for folder in (one_process, run)
    ]
    assert lines[0] == lines[1]
