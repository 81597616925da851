"""`accel-asr transcribe --format manifest`: rows that a run reads as they stand, and what is left out of them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from accel_asr.commands import transcribe
from accel_asr.config.settings import DataConfig
from accel_asr.data.selection.run_sources import open_part, resolved_sources
from accel_asr.model.pretrained import save_model_folder
from accel_asr.transcription.segments import Segment, TimedText
from accel_asr.transcription.transcriber import Transcriber
from tests.refusals import refused
from tests.tiny_models import make_tiny_whisper

RATE_HZ = 16_000
# a random model's transcripts are improbable, all of them
ALL = ["--min_avg_logprob", "none", "--max_compression_ratio", "none", "--max_no_speech_prob", "none"]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture
def model_folder(model_and_processor, tmp_path: Path) -> Path:
    save_model_folder(*model_and_processor, tmp_path / "teacher")
    return tmp_path / "teacher"


@pytest.fixture
def calls(utterances, tmp_path: Path) -> Path:
    """Two short recordings, and one of five seconds."""
    folder = tmp_path / "calls"
    folder.mkdir()
    for name, utterance in zip("ab", utterances, strict=False):
        soundfile.write(folder / f"{name}.wav", utterance.samples(), RATE_HZ)
    samples = np.concatenate([utterance.samples() for utterance in utterances])[: 5 * RATE_HZ]
    soundfile.write(folder / "long.flac", samples, RATE_HZ)
    return folder


@pytest.fixture
def long_ones_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model writes no times; its window has two seconds."""
    segments = (Segment(0.0, 1.2, "one two"), Segment(1.2, 1.9, "three"), Segment(2.5, 4.4, "four five"))
    segments += (Segment(4.4, 4.9, ""),)
    spoken = TimedText("one two three four five", segments, 5.0, "en")
    together = SimpleNamespace(add=lambda index, _: {index: spoken}, is_busy=False)
    monkeypatch.setattr(Transcriber, "together", lambda *_, **__: together)


def run(*arguments: object) -> int:
    return transcribe.main([str(argument) for argument in arguments])


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.usefixtures("long_ones_say")
def test_a_run_reads_the_rows_as_they_stand(model_folder, calls, capsys) -> None:
    assert run(calls, "--model", model_folder, "--format", "manifest", "--output_dir", calls, *ALL) == 0
    rows = lines_of(calls / "manifest.jsonl")
    assert [(row["audio"], row["start"], row["end"]) for row in rows[2:]] == [
        ("long.flac", 0.0, 1.9),
        ("long.flac", 2.5, 4.4),
    ]
    assert [row["audio"] for row in rows[:2]] == ["a.wav", "b.wav"]
    assert rows[2]["text"] == "one two three"
    assert rows[3]["previous_text"] == "one two three"
    assert all(row["avg_logprob"] < 0 <= row["no_speech_prob"] <= 1 for row in rows)
    assert all(row["compression_ratio"] > 0 and row["language"] == "en" for row in rows)
    assert [row["reason"] for row in lines_of(calls / "left_out.jsonl")] == ["no text"]
    assert "kept 4 of 5 rows" in capsys.readouterr().err

    data = DataConfig(name_or_path=str(calls / "manifest.jsonl"))
    part, _ = open_part(data, resolved_sources(data)[0], "train", sampling_rate_hz=RATE_HZ)
    assert part.index.durations_s.tolist() == pytest.approx([row["end"] - row["start"] for row in rows], abs=2e-3)
    assert [text for texts in part.index.texts() for text in texts] == [row["text"] for row in rows]


@pytest.mark.usefixtures("long_ones_say")
def test_rows_on_which_two_models_disagree_are_left_out_and_listed(model_folder, calls, tmp_path, capsys) -> None:
    second = make_tiny_whisper(tmp_path / "second", seed=1, max_source_positions=100)
    out = tmp_path / "labels"
    options = ["--model", model_folder, "--format", "manifest", "--output_dir", out, "--agree_with", second]
    assert run(calls, *options, *ALL) == 0
    assert lines_of(out / "manifest.jsonl") == []
    left_out = lines_of(out / "left_out.jsonl")
    assert [row["reason"] for row in left_out] == [*["the two models disagree"] * 4, "no text"]
    assert all(row["disagreement"] > 0.3 and row["second_text"] for row in left_out[:4])
    assert left_out[0]["audio"] == "../calls/a.wav"
    assert "kept 0 of 5 rows" in capsys.readouterr().err
    assert run(calls, *options, *ALL, "--max_disagreement", "none", "--overwrite") == 0
    assert len(lines_of(out / "manifest.jsonl")) == 4


def test_a_model_agrees_with_a_copy_of_itself(model_folder, model_and_processor, calls, tmp_path) -> None:
    save_model_folder(*model_and_processor, tmp_path / "copy")
    options = ["--format", "manifest", "--output_dir", tmp_path / "labels", "--agree_with", tmp_path / "copy"]
    assert run(calls / "a.wav", calls / "b.wav", "--model", model_folder, *options, *ALL) == 0
    rows = lines_of(tmp_path / "labels" / "manifest.jsonl")
    assert [(row["disagreement"], row["second_text"]) for row in rows] == [(0.0, row["text"]) for row in rows]


@pytest.mark.parametrize("option", ["max_disagreement", "max_no_speech_prob", "max_compression_ratio"])
def test_filters_are_for_manifests(model_folder, calls, option) -> None:
    with refused(f"--{option}", "--format manifest"):
        run(calls, "--model", model_folder, f"--{option}", "0.5")


def test_what_can_not_work_is_refused_at_once(model_folder, calls, tmp_path) -> None:
    manifest = ["--model", model_folder, "--format", "manifest"]
    with refused("--output_dir", remedy="manifest.jsonl"):
        run(calls, *manifest)
    with refused("FILE", "stdin", value="-"):
        run("-", *manifest, "--output_dir", tmp_path / "labels")
    with refused("--agree_with", remedy="second model"):
        run(calls, *manifest, "--output_dir", tmp_path / "labels", "--max_disagreement", "0.2")
    with refused("--agree_with", "itself"):
        run(calls, *manifest, "--output_dir", tmp_path / "labels", "--agree_with", model_folder)
    with refused("--agree_with", "holds recordings and no model"):
        run(calls, *manifest, "--output_dir", tmp_path / "labels", "--agree_with", calls)


def test_a_second_model_with_a_shorter_window_is_refused(model_folder, calls, tmp_path) -> None:
    second = make_tiny_whisper(tmp_path / "second", max_source_positions=50)
    options = ["--format", "manifest", "--output_dir", tmp_path / "labels", "--agree_with", second]
    with refused("--agree_with", "1 s", "2 s", remedy="window"):
        run(calls, "--model", model_folder, *options)


@pytest.mark.usefixtures("long_ones_say")
def test_a_stopped_call_is_gone_on_with(model_folder, calls, tmp_path, capsys, monkeypatch) -> None:
    options = ["--model", model_folder, "--format", "manifest", "--batch_size", "1", *ALL]
    assert run(calls, *options, "--output_dir", tmp_path / "whole") == 0
    out, unfinished = tmp_path / "labels", tmp_path / "labels" / "unfinished.jsonl"
    with monkeypatch.context() as stopping:
        stopping.setattr(Transcriber, "together", lambda *_, **__: SimpleNamespace(add=_stopped))
        with pytest.raises(KeyboardInterrupt):
            run(calls, *options, "--output_dir", out)
    assert not (out / "manifest.jsonl").exists()
    assert len(unfinished.read_text().split("\n\n")) == 3  # what it was made with, and two recordings
    with unfinished.open("a") as file:
        file.write('{"recording": "../calls/long.fl')  # half a line
    with refused("--output_dir", "2 recordings", "--num_beams", value=out, remedy="--overwrite"):
        run(calls, *options, "--output_dir", out, "--num_beams", "2")
    soundfile.write(calls / "b.wav", np.full(RATE_HZ, 0.1), RATE_HZ)  # another recording of that name
    capsys.readouterr()
    assert run(calls, *options, "--output_dir", out) == 0
    assert "1 of 3 recordings done before" in capsys.readouterr().err
    assert not unfinished.exists()
    rows, of_whole = lines_of(out / "manifest.jsonl"), lines_of(tmp_path / "whole" / "manifest.jsonl")
    assert [row["audio"] for row in rows] == [row["audio"] for row in of_whole]
    assert rows[1]["end"] == 1.0 != of_whole[1]["end"]
    assert [rows[0], *rows[2:]] == [of_whole[0], *of_whole[2:]]


def _stopped(*_: object, **__: object) -> TimedText:
    raise KeyboardInterrupt


def test_recordings_that_fail_are_counted(model_folder, calls, tmp_path, capsys) -> None:
    (calls / "long.flac").write_bytes(b"no recording")
    options = ["--model", model_folder, "--format", "manifest", "--output_dir", tmp_path / "labels"]
    assert run(calls, *options, *ALL) == 1
    assert "1 recording failed" in capsys.readouterr().err
