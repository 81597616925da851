"""`accel-asr transcribe`: files of any length and format, bad ones named while the others are done."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from accel_asr.commands import transcribe
from accel_asr.data.decoding.audio import to_float32
from accel_asr.data.loading import ClipItems
from accel_asr.errors import UserError
from accel_asr.evaluation.generation import transcribe_utterances
from accel_asr.modeling import save_model_folder

RATE_HZ = 16_000


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.fixture
def model_folder(model_and_processor, tmp_path: Path) -> Path:
    """As a run leaves it: told to transcribe English in few tokens."""
    save_model_folder(*model_and_processor, tmp_path / "best")
    return tmp_path / "best"


@pytest.fixture
def recordings(utterances, tmp_path: Path) -> list[Path]:
    paths = []
    for utterance in utterances[:3]:
        paths.append(tmp_path / f"{utterance.utterance_id}.wav")
        soundfile.write(paths[-1], utterance.samples(), RATE_HZ)
    return paths


@pytest.fixture
def expected(model_and_processor, utterances, encoder, accelerator, collator) -> list[str]:
    model, processor = model_and_processor
    items = ClipItems(utterances[:3], feature_extractor=processor.feature_extractor, encoder=encoder)
    table = transcribe_utterances(model, items, accelerator=accelerator, collator=collator, batch_size=1)
    return [row.hypothesis for row in table.transcripts]


def run(*arguments: object) -> int:
    return transcribe.main([str(argument) for argument in arguments])


def test_it_says_what_the_evaluation_of_the_run_said(
    model_folder: Path, recordings: list[Path], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--model", model_folder, *recordings) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"{path}: {text}" for path, text in zip(recordings, expected, strict=True)]


def test_one_file_is_answered_with_its_text_alone(
    model_folder: Path, recordings: list[Path], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--model", model_folder, recordings[1]) == 0
    assert capsys.readouterr().out == expected[1] + "\n"


def test_json_is_one_object_a_line(
    model_folder: Path,
    recordings: list[Path],
    expected: list[str],
    utterances,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("--model", model_folder, "--format", "json", *recordings[:2]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"file": str(recordings[index]), "duration_s": round(utterances[index].duration_s, 3), "text": expected[index]}
        for index in range(2)
    ]


def test_a_bad_file_is_named_and_the_others_are_done(
    model_folder: Path,
    recordings: list[Path],
    expected: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "text.wav").write_text("hello")
    assert run("--model", model_folder, tmp_path / "gone.wav", tmp_path / "text.wav", recordings[0]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{recordings[0]}: {expected[0]}\n"
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert errors[0] == f"error: {tmp_path / 'gone.wav'}: the file does not exist"
    assert errors[1].startswith(f"error: {tmp_path / 'text.wav'}: soundfile can't read it")


@pytest.mark.parametrize(
    ("asked", "used"), [([], "en"), (["--language", "german"], "de"), (["--language", "FR"], "fr")]
)
def test_a_language_overrides_that_of_the_model(
    model_folder: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch, asked: list[str], used: str
) -> None:
    begins = []
    decode = WhisperProcessor.batch_decode

    def listen(self: WhisperProcessor, ids: torch.Tensor, **options: object) -> list[str]:
        begins.append(self.tokenizer.decode(ids[0][:3]))
        return decode(self, ids, **options)

    generate = WhisperForConditionalGeneration.generate
    monkeypatch.setattr(
        WhisperForConditionalGeneration,
        "generate",
        lambda self, **inputs: (
            generate(self, **inputs, return_dict_in_generate=True, force_unique_generate_call=True).sequences
        ),
    )
    monkeypatch.setattr(WhisperProcessor, "batch_decode", listen)
    assert run("--model", model_folder, *asked, recordings[0]) == 0
    assert begins == [f"<|startoftranscript|><|{used}|><|transcribe|>"]


def test_an_unknown_language_lists_those_there_are(model_folder: Path, recordings: list[Path]) -> None:
    with pytest.raises(UserError, match="does not know 'klingon'; it knows: af, am, ar"):
        run("--model", model_folder, "--language", "klingon", recordings[0])


def test_a_model_that_is_not_there_is_named(recordings: list[Path]) -> None:
    with pytest.raises(UserError, match=r"'\./missing' is not a local folder"):
        run("--model", "./missing", recordings[0])


def test_a_recording_longer_than_the_window_is_heard_to_its_end(model_and_processor, utterances) -> None:
    model, processor = model_and_processor
    samples = np.concatenate([to_float32(utterance.samples()) for utterance in utterances])
    assert len(samples) > 2 * 2 * RATE_HZ  # more than two windows
    heard_frames = []
    model.get_encoder().register_forward_pre_hook(
        lambda _, positional, named: heard_frames.append(named["input_features"].shape[-1]), with_kwargs=True
    )
    text = transcribe.transcribe_samples(samples, model=model, processor=processor)
    assert len(heard_frames) >= 3
    assert set(heard_frames) == {200}
    assert text
    first_window = transcribe.transcribe_samples(samples[: 2 * RATE_HZ], model=model, processor=processor)
    assert len(text) > len(first_window)


def test_help_needs_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("--help")
    assert stopped.value.code == 0
    assert "--language" in capsys.readouterr().out
