"""One press of the button: every recording that can't be used has a sentence, every other a text and pictures."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from accel_asr.config.fallback_settings import Fallback
from accel_asr.demonstration.listening import DemoError, Heard, listen
from accel_asr.transcription.transcriber import Transcriber

RATE_HZ = 16_000


@pytest.fixture
def transcriber(model_and_processor) -> Transcriber:
    greedy = Fallback((0.0,), None, None, None)  # a random model's transcripts are improbable, all of them
    return Transcriber(*model_and_processor, language="en", task="transcribe", fallback=greedy)


def heard(samples: np.ndarray, folder: Path, *transcribers: Transcriber, max_duration_s: float = 60.0) -> Heard:
    soundfile.write(folder / "clip.wav", samples, RATE_HZ, subtype="FLOAT")
    return listen(str(folder / "clip.wav"), transcribers=transcribers, max_duration_s=max_duration_s)


def test_each_model_has_its_text(transcriber: Transcriber, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
    other = Transcriber(transcriber.model, transcriber.processor, language="de", task="translate", num_beams=4)
    expected = [model.transcribe_short([noise], timed=False)[0].text for model in (transcriber, other)]
    answer = heard(noise, tmp_path, transcriber, other)
    assert answer.texts == expected
    assert expected[0] != expected[1]
    assert answer.note == "1.0 s of audio"
    assert answer.waveform.std() > 0
    assert answer.log_mel.std() > 0


def test_a_long_recording_has_times_and_pictures_of_its_beginning(transcriber: Transcriber, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ).astype(np.float32)
    answer = heard(noise, tmp_path, transcriber)
    assert answer.texts[0].startswith("0:00.")
    assert answer.texts[0].count("\n") >= 1
    assert answer.note == "5.0 s of audio; the pictures show the first 2 s, as much as the model hears at once"


def test_silence_is_pointed_out(transcriber: Transcriber, tmp_path: Path) -> None:
    assert "silent" in heard(np.zeros(RATE_HZ, np.float32), tmp_path, transcriber).note


def test_no_recording_is_asked_for(transcriber: Transcriber) -> None:
    with pytest.raises(DemoError, match="There is no recording yet"):
        listen(None, transcribers=[transcriber], max_duration_s=60)


def test_what_is_too_long_is_refused_by_its_header(
    transcriber: Transcriber, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accel_asr.demonstration.listening.decode", lambda *_, **__: pytest.fail("was decoded"))
    with pytest.raises(DemoError, match=r"is 0\.1 minutes long, and this page takes at most 0\.05"):
        heard(np.zeros(4 * RATE_HZ, np.float32), tmp_path, transcriber, max_duration_s=3.0)


@pytest.mark.parametrize("kind", ["text", "torn", "empty", "nothing"])
def test_a_visitor_gets_a_sentence_about_what_is_no_recording(
    transcriber: Transcriber, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(0 if kind == "empty" else RATE_HZ, np.int16), RATE_HZ)
    if kind == "torn":
        path.write_bytes(path.read_bytes()[: RATE_HZ // 2])
    elif kind == "text":
        path.write_text("hello, I am a text\n" * 50)
    elif kind == "nothing":
        path.write_bytes(b"")
    with pytest.raises(DemoError, match=r"^This recording can't be used: .*\.$") as caught:
        listen(str(path), transcribers=[transcriber], max_duration_s=60)
    assert str(tmp_path) not in str(caught.value)
