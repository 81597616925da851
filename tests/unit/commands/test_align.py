"""`accel-asr align`: talks to a manifest, with a stand-in for the algorithm; restart, failures, refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from accel_asr.alignment import many_recordings
from accel_asr.alignment.aligned import AlignedRecording, AlignedRow, LeftOut
from accel_asr.commands import align
from accel_asr.data.reading.sources import SourceName, read_source
from accel_asr.model.pretrained import save_model_folder
from accel_asr.transcription.transcriber import Transcriber
from tests.conftest import forget_accelerate
from tests.refusals import refused

RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def one_process_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    forget_accelerate()
    yield
    forget_accelerate()


@pytest.fixture
def aligned_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the stand-in was asked to align: a row of 2 s for each sentence, and a second of speech more."""
    asked: list[str] = []

    def stand_in(transcriber: Transcriber, samples: np.ndarray, text: str, **options: Any) -> AlignedRecording:
        asked.append(text)
        options["on_progress"](1.0)
        sentences = [f"{sentence.strip()}." for sentence in text.split(".") if sentence.strip()]
        rows = [
            AlignedRow(2.0 * number, 2.0 * number + 1.5, sentence, sentences[number - 1] if number else None, 0.5)
            for number, sentence in enumerate(sentences)
        ]
        duration_s, words = len(samples) / RATE_HZ, len(text.split())
        left_out = (LeftOut("speech", duration_s - 1, duration_s, "goodbye"),)
        return AlignedRecording(duration_s, transcriber.language, tuple(rows), left_out, words, words + 2)

    monkeypatch.setattr(many_recordings, "align_recording", stand_in)
    return asked


@pytest.fixture
def model_folder(model_and_processor, tmp_path: Path) -> Path:
    save_model_folder(*model_and_processor, tmp_path / "best")
    return tmp_path / "best"


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Two talks of 6 s."""
    folder = tmp_path / "talks"
    folder.mkdir()
    for name, text in (("a", "One two. Three."), ("b", "Four five six.")):
        soundfile.write(folder / f"{name}.wav", np.zeros(6 * RATE_HZ), RATE_HZ)
        (folder / f"{name}.txt").write_text(text)
    return folder


def run(*arguments: object) -> int:
    forget_accelerate()
    return align.main([str(argument) for argument in arguments])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_folder_becomes_rows_to_train_on(
    model_folder: Path, talks: Path, tmp_path: Path, aligned_texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("--model", model_folder, talks, "--output_dir", out) == 0
    assert aligned_texts == ["One two. Three.", "Four five six."]
    rows = lines(out / "metadata.jsonl")
    assert [(row["start"], row["end"], row["text"], row["prompt"], row["score"], row["language"]) for row in rows] == [
        (0.0, 1.5, "One two.", None, 0.5, "en"),
        (2.0, 3.5, "Three.", "One two.", 0.5, "en"),
        (0.0, 1.5, "Four five six.", None, 0.5, "en"),
    ]
    assert [row.text for row in read_source(SourceName(str(out))).rows] == [row["text"] for row in rows]
    assert [line["why"] for line in lines(out / "left_out.jsonl")] == ["not in the text"] * 2
    assert "Four five six." in (out / "worst_rows.html").read_text(encoding="utf-8")
    printed = capsys.readouterr().out
    assert "6 of 10 of the texts are in rows (60.00%)" in printed
    assert "recordings 2 of 12 seconds" in printed
    assert "2 stretches of speech not in the text (2 seconds)" in printed


def test_a_second_call_goes_on(
    model_folder: Path, talks: Path, tmp_path: Path, aligned_texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("--model", model_folder, talks / "a.wav", "--output_dir", out) == 0
    capsys.readouterr()
    assert run("--model", model_folder, talks, "--output_dir", out) == 0
    assert aligned_texts == ["One two. Three.", "Four five six."]
    assert "1 of 2 recordings are finished" in capsys.readouterr().err
    assert len(lines(out / "metadata.jsonl")) == 3
    (talks / "a.txt").write_text("One two.")
    assert run("--model", model_folder, talks, "--output_dir", out) == 0
    assert aligned_texts[2:] == ["One two."]
    assert "changed" in capsys.readouterr().err
    assert [row["text"] for row in lines(out / "metadata.jsonl")] == ["One two.", "Four five six."]
    assert run("--model", model_folder, talks, "--output_dir", out, "--overwrite") == 0
    assert len(aligned_texts) == 5


def test_another_setting_is_refused_before_anything_is_replaced(
    model_folder: Path, talks: Path, tmp_path: Path, aligned_texts: list[str]
) -> None:
    out = tmp_path / "out"
    assert run("--model", model_folder, talks, "--output_dir", out) == 0
    with refused("--output_dir", "longest_s 2.0", value=out, remedy="--overwrite"):
        run("--model", model_folder, talks, "--output_dir", out, "--longest", "1.5")
    assert len(aligned_texts) == 2
    with refused("--longest", "window", value=2.5, remedy="at most 2"):
        run("--model", model_folder, talks, "--output_dir", out, "--longest", "2.5")


def test_a_bad_recording_is_named_and_the_others_go_on(
    model_folder: Path, talks: Path, tmp_path: Path, aligned_texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (talks / "a.wav").write_text("hello")
    out = tmp_path / "out"
    assert run("--model", model_folder, talks, "--output_dir", out) == 1
    assert aligned_texts == ["Four five six."]
    captured = capsys.readouterr()
    assert f"error: {talks / 'a.wav'}: soundfile can't read it" in captured.err
    assert "1 other could not be aligned" in captured.out
    assert [row["text"] for row in lines(out / "metadata.jsonl")] == ["Four five six."]
    [failed] = [line for line in lines(out / "left_out.jsonl") if line["kind"] == "recording"]
    assert failed["audio"] == str(talks / "a.wav")
    assert "can't read it" in failed["reason"]


def test_rows_may_be_written_beside_the_recordings(model_folder: Path, talks: Path, aligned_texts: list[str]) -> None:
    for _ in range(2):
        assert run("--model", model_folder, talks, "--output_dir", talks) == 0
    assert len(aligned_texts) == 2
    assert [row["audio"] for row in lines(talks / "metadata.jsonl")] == ["a.wav", "a.wav", "b.wav"]
    assert len(read_source(SourceName(str(talks))).rows) == 3


def test_a_language_that_the_model_lacks_needs_another_to_stand_in(
    model_folder: Path, talks: Path, tmp_path: Path, aligned_texts: list[str]
) -> None:
    command = ["--model", model_folder, talks, "--output_dir", tmp_path / "out", "--language"]
    with refused("--language", "does not know", value="bci", remedy="--language_stand_in"):
        run(*command, "bci")
    assert run(*command, "bci", "--language_stand_in", "French") == 0
    assert {row["language"] for row in lines(tmp_path / "out" / "metadata.jsonl")} == {"bci"}
    [kept, *_] = (tmp_path / "out" / "recordings").iterdir()
    assert json.loads(kept.read_text())["language"] == "fr"
    for language, stand_in, word in (("German", "French", "itself"), ("bci", "Klingon", "does not know")):
        with refused("--language_stand_in", word, value=stand_in):
            run(*command, language, "--language_stand_in", stand_in)


# -- refusals, before the model is loaded

UNLOADED = ("--model", "not even loaded")


def test_a_folder_with_another_manifest_is_no_place_to_write(talks: Path) -> None:
    for name in ("metadata.csv", "metadata.jsonl"):
        (talks / name).write_text("audio,text\na.wav,hello\n" if name.endswith("csv") else '{"audio": "a.wav"}\n')
        with refused("--output_dir", f"already holds {name}", value=talks, remedy="another folder"):
            run(*UNLOADED, talks / "a.wav", "--output_dir", talks)
        (talks / name).unlink()
    with refused("--output_dir", "can't be written", value=talks / "a.wav"):
        run(*UNLOADED, talks, "--output_dir", talks / "a.wav")


def test_bad_input_is_said_once_by_all_ranks(talks: Path, tmp_path: Path) -> None:
    with refused("FILE", "does not exist", value="gone.mp3") as refusal:
        run(*UNLOADED, talks, "gone.mp3", "--output_dir", tmp_path / "out")
    assert refusal.value.same_on_every_rank
    assert not (tmp_path / "out").exists()


def test_options_that_can_not_work_are_refused(
    talks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*UNLOADED, talks, "--output_dir", tmp_path / "out"]
    with refused("--language", "--language_stand_in needs it", remedy="language spoken"):
        run(*command, "--language_stand_in", "fr")
    for longest in ("0", "inf", "long"):
        with pytest.raises(SystemExit):
            run(*command, "--longest", longest)
        assert "--longest" in capsys.readouterr().err
    with refused("--model", "not a local folder", value="./missing"):
        run("--model", "./missing", talks, "--output_dir", tmp_path / "out")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with refused("--device", "one device for all", value="cpu"):
        run(*command, "--device", "cpu")
