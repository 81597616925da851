"""The command of the README, for a few steps, in one process and in two; and what the run leaves, read by others."""

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
from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

from accel_asr.audio.decoding import decode, to_float32, to_int16
from accel_asr.evaluation import WER_METRIC
from accel_asr.quickstart import CLIPS_PARQUET
from tests.integration.launching import TWO_PROCESSES, Finished, console, launch_training

VALIDATION_CLIPS = 113
STEPS = 4
# the same global batch of 12 in both: 1 process x 2 accumulation steps x 6, and 2 processes x 1 x 6
SHORT = [
    "--training.max_steps",
    str(STEPS),
    "--training.per_device_train_batch_size",
    "6",
    "--training.warmup_steps",
    "2",
]
SHORT += ["--training.lr_scheduler_type", "constant_with_warmup"]
SHORT += ["--evaluation.eval_steps", "2", "--tracking.logging_steps", "1", "--checkpoint.save_total_limit", "2"]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finished]:
    """The run folder of the bare command, shortened, and what it printed."""
    folder = tmp_path_factory.mktemp("one")
    finished = launch_training([*SHORT, "--training.gradient_accumulation_steps", "2"], cwd=folder)
    return folder / "runs" / "quickstart", finished


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    launch_training([*SHORT, "--output_dir", "run"], cwd=folder, launcher=TWO_PROCESSES)
    return folder / "run"


def test_run_folder_holds_what_is_promised(one_process: tuple[Path, Finished]) -> None:
    run, _ = one_process
    assert {path.name for path in run.iterdir()} == {
        ".lock", "best", "checkpoints", "config.yaml", "data_summary.json", "environment.json", "evaluations", "last",
        "metrics.jsonl", "plots", "report.html", "summary.json", "tensorboard",
    }  # fmt: skip
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-00000002", "step-00000004"]
    assert {path.suffix for path in run.glob("checkpoints/*/*")} == {".safetensors", ".json"}
    summary = json.loads((run / "summary.json").read_text())
    assert {name: record["step"] for name, record in summary.items() if name != "best"} == {
        "baseline": 0,
        "last": STEPS,
    }
    assert all(record["utterances"] == VALIDATION_CLIPS for record in summary.values())
    data = json.loads((run / "data_summary.json").read_text())
    assert (data["train"]["utterances"], data["validation"]["utterances"]) == (450, VALIDATION_CLIPS)
    assert json.loads((run / "environment.json").read_text())["world_size"] == 1


def test_every_validation_clip_is_scored_exactly_once(one_process: tuple[Path, Finished], two_processes: Path) -> None:
    texts = pq.read_table(CLIPS_PARQUET).column("english_transcription").to_pylist()[450:]
    for run in (one_process[0], two_processes):
        for step in (0, 2, 4):
            rows = read_lines(run / "evaluations" / f"step-{step:08d}.jsonl")
            assert [row["reference"] for row in rows] == texts
            assert len({row["utterance_id"] for row in rows}) == VALIDATION_CLIPS


def test_learning_rate_rises_by_optimizer_steps(one_process: tuple[Path, Finished], two_processes: Path) -> None:
    peak = yaml.safe_load((one_process[0] / "config.yaml").read_text())["training"]["learning_rate"]
    for run in (one_process[0], two_processes):
        rates = [line["learning_rate"] for line in read_lines(run / "metrics.jsonl") if line["kind"] == "train"]
        assert rates == pytest.approx([peak / 2, peak, peak, peak])


def test_two_processes_train_and_score_as_one(one_process: tuple[Path, Finished], two_processes: Path) -> None:
    one, two = one_process[0], two_processes
    assert json.loads((two / "environment.json").read_text())["world_size"] == 2  # it really were two
    traces = [
        [(line["loss"], line["grad_norm"], line["target_tokens"]) for line in read_lines(run / "metrics.jsonl")
         if line["kind"] == "train"]
        for run in (one, two)
    ]  # fmt: skip
    for alone, together in zip(*traces, strict=True):
        assert together == pytest.approx(alone, rel=1e-5)
    weights_one, weights_two = (load_file(run / "last" / "model.safetensors") for run in (one, two))
    for name, weight in weights_one.items():
        torch.testing.assert_close(weights_two[name], weight, rtol=0, atol=1e-5)
    # the untouched model's table does not depend on the number of processes at all
    baseline = "evaluations/step-00000000.jsonl"
    assert (two / baseline).read_text() == (one / baseline).read_text()


def test_what_it_prints(one_process: tuple[Path, Finished]) -> None:
    _, finished = one_process
    for expected in (
        "kept 563 of 563 utterances; dropped none",
        "baseline",
        "WER ortho",
        "accel-asr transcribe --model",
    ):
        assert expected in finished.out
    assert "Warning" not in finished.err.replace("FutureWarning", ""), finished.err


def validation_audio() -> list[dict[str, Any]]:
    """The clips in 16 bits, as the run hears them: unrounded, one near tie of the 113 came out otherwise."""
    clips = pq.read_table(CLIPS_PARQUET).column("audio").to_pylist()[450:]
    samples = [to_float32(to_int16(decode(clip["bytes"], sampling_rate_hz=16_000))) for clip in clips]
    return [{"raw": clip, "sampling_rate": 16_000} for clip in samples]


def test_best_model_in_a_pipeline_says_what_the_run_recorded(one_process: tuple[Path, Finished]) -> None:
    run, _ = one_process
    best = run / "best"
    WhisperForConditionalGeneration.from_pretrained(best)
    processor = WhisperProcessor.from_pretrained(best)
    assert processor.tokenizer.normalize("Colour!")  # needs normalizer.json, which save_pretrained forgets
    step = json.loads((run / "summary.json").read_text())["best"]["step"]
    recorded = [row["hypothesis"] for row in read_lines(run / "evaluations" / f"step-{step:08d}.jsonl")]
    transcriber = pipeline("automatic-speech-recognition", model=str(best))
    said = [transcriber(dict(clip))["text"].strip() for clip in validation_audio()]
    assert said == recorded


def test_outside_evaluator_finds_the_same_wer(one_process: tuple[Path, Finished]) -> None:
    run, _ = one_process
    references = pq.read_table(CLIPS_PARQUET).column("english_transcription").to_pylist()[450:]
    clips = Dataset.from_dict({"audio": validation_audio(), "text": references}).with_format("numpy")
    evaluator = evaluate.evaluator("automatic-speech-recognition")
    evaluator.PIPELINE_KWARGS = {}  # evaluate 0.4.6 passes truncation=True on to generate, which refuses it
    found = evaluator.compute(
        model_or_pipeline=str(run / "best"),
        data=clips,
        metric=evaluate.load(WER_METRIC),
        input_column="audio",
        label_column="text",
    )
    assert found["wer"] == json.loads((run / "summary.json").read_text())["best"]["wer"]


def test_transcribe_command_names_bad_files_and_goes_on(one_process: tuple[Path, Finished], tmp_path: Path) -> None:
    run, _ = one_process
    clips = pq.read_table(CLIPS_PARQUET).column("audio").to_pylist()
    (tmp_path / "good.ogg").write_bytes(clips[450]["bytes"])
    (tmp_path / "broken.wav").write_bytes(b"RIFF and then nothing")
    step = json.loads((run / "summary.json").read_text())["best"]["step"]
    expected = read_lines(run / "evaluations" / f"step-{step:08d}.jsonl")[0]["hypothesis"]
    finished = console(
        ["transcribe", "--model", str(run / "best"), "--format", "json", "broken.wav", "good.ogg"],
        cwd=tmp_path,
    )
    assert finished.code == 1
    assert [json.loads(line)["text"] for line in finished.out.splitlines()] == [expected]
    (problem,) = finished.err.splitlines()
    assert "broken.wav" in problem


def test_resume_ends_with_the_same_weights_and_metrics(one_process: tuple[Path, Finished], tmp_path: Path) -> None:
    """Stop after step 2, go on to 4: the last model is bit for bit that of the run that never stopped."""
    whole, _ = one_process
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    shutil.rmtree(run / "checkpoints" / f"step-{STEPS:08d}")  # as if killed on the way from step 2 to step 4
    shutil.rmtree(run / "last")
    settings = [*SHORT, "--training.gradient_accumulation_steps", "2", "--output_dir", "run"]
    refused = console(["train", *settings], cwd=tmp_path)
    assert (refused.code, "already holds a run" in refused.err) == (2, True)
    finished = launch_training([*settings, "--checkpoint.resume", "true"], cwd=tmp_path)
    assert "resumed after step 2 of 4" in finished.out
    weights, resumed = (load_file(folder / "last" / "model.safetensors") for folder in (whole, run))
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)
    kept = [{**line, "audio_seconds_per_second": 0} for line in read_lines(run / "metrics.jsonl")]
    assert kept == [{**line, "audio_seconds_per_second": 0} for line in read_lines(whole / "metrics.jsonl")]
