"""`accel-asr transcribe`: recordings of any length and format to text and subtitles; bad ones named, others done."""

import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from accel_asr.audio.decoding import to_float32
from accel_asr.commands import transcribe
from accel_asr.data.loading.clip_items import ClipItems
from accel_asr.errors import UserError
from accel_asr.evaluation.decoding_settings import Decoding
from accel_asr.evaluation.generation import transcribe_utterances
from accel_asr.model.pretrained import save_model_folder
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.transcriber import Transcriber
from tests.refusals import refused

RATE_HZ = 16_000
# a random model's transcripts are improbable, all of them: it would go through every temperature
GREEDY = ["--temperature", "0", "--logprob_threshold", "none", "--compression_ratio_threshold", "none"]


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture
def model_folder(model_and_processor, tmp_path: Path) -> Path:
    """As a run leaves it: told to transcribe English in few tokens."""
    save_model_folder(*model_and_processor, tmp_path / "best")
    return tmp_path / "best"


@pytest.fixture
def calls(utterances, tmp_path: Path) -> Path:
    """A folder with `clip-0.wav`, `clip-1.wav`, and `late/clip-0.wav`."""
    folder = tmp_path / "calls"
    for utterance, name in zip(utterances, ("clip-0", "clip-1", "late/clip-0"), strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.wav", utterance.samples(), RATE_HZ)
    return folder


@pytest.fixture
def recordings(calls: Path) -> list[Path]:
    return [calls / "clip-0.wav", calls / "clip-1.wav", calls / "late" / "clip-0.wav"]


@pytest.fixture
def long_file(utterances, tmp_path: Path) -> Path:
    samples = np.concatenate([utterance.samples() for utterance in utterances])
    soundfile.write(tmp_path / "long.flac", samples, RATE_HZ)
    return tmp_path / "long.flac"


@pytest.fixture
def expected(model_and_processor, utterances, encoder, accelerator, collator) -> list[str]:
    model, processor = model_and_processor
    items = ClipItems(utterances[:3], feature_extractor=processor.feature_extractor, encoder=encoder)
    decoding = Decoding.of_model(model, normalizer=str.strip, batch_size=1)
    table = transcribe_utterances(model, items, decoding, accelerator=accelerator, collator=collator)
    return [row.hypothesis for row in table.transcripts]


def run(*arguments: object) -> int:
    return transcribe.main([str(argument) for argument in arguments])


# -- what it says


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_it_says_what_the_evaluation_of_the_run_said(
    model_folder: Path,
    recordings: list[Path],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    batch_size: int,
) -> None:
    assert run("--model", model_folder, "--batch_size", batch_size, *recordings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{path}: {text}" for path, text in zip(recordings, expected, strict=True)]


@pytest.mark.parametrize("asked", [[], ["--format", "txt"], ["--format", "text"]])
def test_one_file_is_answered_with_its_text_alone(
    model_folder: Path,
    recordings: list[Path],
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
    asked: list[str],
) -> None:
    assert run("--model", model_folder, *asked, recordings[1]) == 0
    assert capsys.readouterr().out == expected[1] + "\n"


def test_json_is_one_object_a_line(
    model_folder: Path, recordings: list[Path], expected: list[str], utterances, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--model", model_folder, "--format", "json", *recordings[:2]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for index, line in enumerate(lines):
        segments = line.pop("segments")
        assert " ".join(segment["text"] for segment in segments).split() == expected[index].split()
        assert line == {
            "file": str(recordings[index]),
            "duration_s": round(utterances[index].duration_s, 3),
            "language": "en",
            "text": expected[index],
        }
    assert len(lines) == 2


def test_long_and_short_and_bad_ones_come_in_the_order_given(
    model_folder: Path,
    recordings: list[Path],
    long_file: Path,
    tmp_path: Path,
    expected: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "text.wav"
    bad.write_text("hello")
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0, np.int16), RATE_HZ)
    given = [recordings[0], bad, long_file, empty, recordings[1], recordings[2]]
    assert run(*GREEDY, "--model", model_folder, *given) == 1
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        str(path) for path in (recordings[0], long_file, recordings[1], recordings[2])
    ]
    assert [lines[0], *lines[2:]] == [f"{path}: {text}" for path, text in zip(recordings, expected, strict=True)]
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert errors[0].startswith(f"error: {bad}: soundfile can't read it")
    assert errors[1].startswith(f"error: {empty}: it holds no samples")


def test_each_is_written_as_soon_as_its_batch_is_done(
    model_folder: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []
    transcribe_short = Transcriber.transcribe_short

    def listen(self: Transcriber, clips, **options):
        seen.append((len(clips), capsys.readouterr().out.count("\n")))
        return transcribe_short(self, clips, **options)

    monkeypatch.setattr(Transcriber, "transcribe_short", listen)
    assert run("--model", model_folder, "--batch_size", 2, *recordings) == 0
    assert [batch for batch in seen if batch[0]] == [(2, 0), (1, 2)]


def test_a_transcript_that_was_cut_off_is_told_of(
    model_folder: Path, recordings: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run("--model", model_folder, recordings[0])
    assert f"note: {recordings[0]}: the model went on until it had no room left" in capsys.readouterr().err


def test_audio_is_read_from_stdin(
    model_folder: Path,
    recordings: list[Path],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(recordings[0].read_bytes())))
    assert run("--model", model_folder, "-") == 0
    assert capsys.readouterr().out == expected[0] + "\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    assert run("--model", model_folder, "-") == 1
    assert capsys.readouterr().err.startswith("error: stdin: ")


def test_language_task_beams_and_revision_reach_the_model(
    model_folder: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = []
    monkeypatch.setattr(
        Transcriber,
        "transcribe_short",
        lambda self, clips, timed: heard.append((self.language, self.task, self.num_beams)) or [],
    )
    asked = ("--language", "FR", "--task", "translate", "--num_beams", 3, "--revision", "main", "--device", "cpu")
    monkeypatch.setattr(transcribe, "_transcribe_all", lambda one, *_, **__: one.transcribe_short([], timed=False) or 0)
    assert run("--model", model_folder, *asked, recordings[0]) == 0
    assert heard == [("fr", "translate", 3)]


def test_a_text_before_reaches_the_decoder_and_what_has_no_room_is_told_of(
    model_folder: Path, recordings: list[Path], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--model", model_folder, "--initial_prompt", "a card", recordings[0]) == 0
    captured = capsys.readouterr()
    assert captured.out != expected[0] + "\n"
    assert "--initial_prompt" not in captured.err
    run("--model", model_folder, "--initial_prompt", "a card " * 500, recordings[0])
    assert "note: --initial_prompt is cut: the model has room for its last " in capsys.readouterr().err
    with refused("--keywords", "tokens, and the model has room for", remedy="give fewer"):
        run("--model", model_folder, "--keywords", ",".join(map(str, range(1000))), recordings[0])


# -- files


def test_one_call_writes_every_format_with_the_same_words(
    model_folder: Path, recordings: list[Path], expected: list[str], tmp_path: Path
) -> None:
    asked = ("--format", "all", "--word_timestamps", "--max_line_width", 20, "--output_dir", tmp_path / "out")
    assert run("--model", model_folder, *asked, recordings[0]) == 0
    texts = {file.suffix: file.read_text(encoding="utf-8") for file in (tmp_path / "out").iterdir()}
    spoken = json.loads(texts[".json"])
    words = [word for segment in spoken["segments"] for word in segment["words"]]
    assert [word["text"] for word in words] == expected[0].split() == texts[".txt"].split()
    assert all(0 <= word["start_s"] <= word["end_s"] <= spoken["duration_s"] for word in words)
    lines = [f"clip-0 1 {word['start_s']:.3f}" for word in words]
    assert [line.rsplit(" ", 3)[0] for line in texts[".ctm"].splitlines()] == lines
    assert len(texts[".tsv"].splitlines()) == 1 + len(spoken["segments"])
    cues = [cue.split("\n")[2:] for cue in texts[".srt"].strip().split("\n\n")]
    assert all(1 <= len(cue) <= 2 and all(len(line) <= 20 for line in cue) for cue in cues)
    assert len(texts[".srt"].split("-->")) == len(texts[".vtt"].split("-->")) == len(cues) + 1


def test_silence_has_no_words_and_no_line_of_a_ctm(
    model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(5 * RATE_HZ), RATE_HZ)
    assert run("--model", model_folder, "--vad", "energy", "--format", "ctm", tmp_path / "silence.wav") == 0
    assert capsys.readouterr().out == ""
    assert run("--model", model_folder, "--vad", "energy", "--format", "vtt", tmp_path / "silence.wav") == 0
    assert capsys.readouterr().out == "WEBVTT\n"


@pytest.mark.parametrize("output_format", ["txt", "json", "srt", "vtt"])
def test_a_folder_becomes_a_file_for_each_recording(
    model_folder: Path,
    calls: Path,
    tmp_path: Path,
    expected: list[str],
    output_format: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    assert run("--model", model_folder, "--format", output_format, "--output_dir", out, calls) == 0
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert written == [f"clip-0.{output_format}", f"clip-1.{output_format}", f"late/clip-0.{output_format}"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"transcribed 3 recordings into {out}" in captured.err
    for name, text in zip(written, expected, strict=True):
        content = (out / name).read_text(encoding="utf-8")
        if output_format == "json":
            assert json.loads(content)["text"] == text
        elif output_format == "txt":
            assert content == text + "\n"
        else:
            first, *_ = content.split("\n")
            assert first == {"srt": "1", "vtt": "WEBVTT"}[output_format]
            spoken = [line for line in content.split("\n")[1:] if line and "-->" not in line and not line.isdigit()]
            assert " ".join(spoken).split() == text.split()


def test_files_that_are_there_are_not_replaced_unasked(
    model_folder: Path, calls: Path, tmp_path: Path, expected: list[str]
) -> None:
    out = tmp_path / "out"
    (out / "late").mkdir(parents=True)
    (out / "late" / "clip-0.txt").write_text("corrected by hand")
    with refused("--output_dir", "already holds clip-0.txt", value=out, remedy="--overwrite"):
        run("--model", model_folder, "--output_dir", out, calls)
    assert sorted(path.name for path in out.rglob("*.txt")) == ["clip-0.txt"]
    assert (out / "late" / "clip-0.txt").read_text() == "corrected by hand"
    assert run("--model", model_folder, "--output_dir", out, "--overwrite", calls) == 0
    assert (out / "late" / "clip-0.txt").read_text() == expected[2] + "\n"


def test_a_bad_recording_leaves_no_file_and_the_others_theirs(
    model_folder: Path, calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (calls / "text.wav").write_text("hello")
    out = tmp_path / "out"
    assert run("--model", model_folder, "--output_dir", out, calls) == 1
    assert sorted(path.name for path in out.rglob("*") if path.is_file()) == ["clip-0.txt", "clip-0.txt", "clip-1.txt"]
    assert f"transcribed 3 of 4 recordings into {out}" in capsys.readouterr().err


# -- refusals, before the model is loaded


def test_what_is_not_there_is_told_before_the_model_is_loaded(recordings: list[Path]) -> None:
    with pytest.raises(UserError) as refusal:
        run("--model", "./missing", "gone.wav", "*.xyz", recordings[0])
    assert [(error.setting, error.value) for error in refusal.value.errors] == [("FILE", "gone.wav"), ("FILE", "*.xyz")]


def test_several_recordings_are_no_subtitles_of_one_stream(recordings: list[Path]) -> None:
    with refused("--format", "3 recordings", value="srt", remedy="--output_dir"):
        run("--model", "./missing", "--format", "srt", *recordings)


def test_an_output_folder_that_is_a_file_is_refused(recordings: list[Path], tmp_path: Path) -> None:
    with refused("--output_dir", "can't be written", value=recordings[0]):
        run("--model", "./missing", "--output_dir", recordings[0], recordings[1])


def test_a_model_that_is_not_there_is_named(recordings: list[Path]) -> None:
    with refused("--model", "not a local folder", value="./missing"):
        run("--model", "./missing", recordings[0])


def test_the_long_recording_of_a_run_has_times_to_its_end(
    model_folder: Path, long_file: Path, utterances, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*GREEDY, "--model", model_folder, "--format", "json", long_file) == 0
    spoken = json.loads(capsys.readouterr().out)
    duration_s = sum(len(to_float32(utterance.samples())) for utterance in utterances) / RATE_HZ
    assert spoken["duration_s"] == round(duration_s, 3)
    assert duration_s - 2.1 < spoken["segments"][-1]["start_s"] < spoken["segments"][-1]["end_s"] <= duration_s + 0.001


# -- stdout


@pytest.fixture
def one_clip(calls: Path) -> Path:
    return calls / "clip-0.wav"


def test_letters_that_stdout_lacks_are_not_lost_in_silence(
    one_clip: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Transcriber, "transcribe_short", lambda self, clips, timed: [TimedText("Łódź", (), 1.0, "pl")])
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    assert run("--model", model_folder, one_clip) == 0
    assert written.getvalue() == b"\\u0141\xf3d\\u017a\n"
    printed = capsys.readouterr().err
    assert "latin-1" in printed
    assert "PYTHONIOENCODING=utf-8, or give --output_dir" in printed
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert run("--model", model_folder, one_clip, "--format", "json") == 0
    assert json.loads(written.getvalue().splitlines()[-1])["text"] == "Łódź"


def test_what_a_model_writes_does_not_act_on_the_screen(
    one_clip: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = TimedText("a\x1b[2J\u202eb", (), 1.0, "en")
    monkeypatch.setattr(Transcriber, "transcribe_short", lambda self, clips, timed: [said] * len(clips))
    hostile = one_clip.rename(one_clip.with_name("c\x1b[2J\nd.wav"))
    assert run("--model", model_folder, hostile, hostile.parent / "clip-1.wav") == 0
    assert r"c\x1b[2J\nd.wav: a\x1b[2J\u202eb" in capsys.readouterr().out.splitlines()[0]
    assert run("--model", model_folder, hostile, "--format", "json") == 0
    printed = capsys.readouterr().out
    assert "\u202e" not in printed
    assert json.loads(printed)["text"] == said.text


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_transcripts_that_can_not_be_printed_are_an_error(
    one_clip: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Full())
    with refused(None, "standard output can't be written (No space left on device)", remedy="--output_dir"):
        run("--model", model_folder, one_clip, *GREEDY)
    monkeypatch.setattr(sys, "stdout", None)
    with refused(None, "standard output", "is closed", remedy="--output_dir"):
        run("--model", "not even loaded", one_clip)


def test_a_file_name_that_is_no_utf_8_can_be_written_as_json(
    one_clip: Path, model_folder: Path, tmp_path: Path
) -> None:
    odd = one_clip.rename(os.fsdecode(os.fsencode(one_clip.parent) + b"/sk\xe5ne.wav"))
    assert run("--model", model_folder, odd, "--format", "json", "--output_dir", tmp_path / "out", *GREEDY) == 0
    [file] = (tmp_path / "out").iterdir()
    assert json.loads(file.read_text(encoding="utf-8"))["file"].endswith(r"sk\udce5ne.wav")


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--batch_size", "0", "less than 1"),
        ("--batch_size", "many", "many"),
        ("--num_beams", "-1", "less than 1"),
        ("--temperature", "0,abc", "abc"),
        ("--temperature", "0,3", "between 0 and 2"),
        ("--no_speech_threshold", "7", "between 0 and 1"),
        ("--logprob_threshold", "nan", "finite"),
        ("--compression_ratio_threshold", "high", "high"),
        ("--keywords", " , ", "no words"),
        ("--initial_prompt", " ", "no words"),
        ("--format", "srt,xml", "'xml' is no format"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    option: str, value: str, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--model", "m", option, value, "clip.wav")
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert option in said
    assert word in said
