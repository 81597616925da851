"""Players and pictures of utterances."""

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from accel_asr.audio.decoding import AudioError
from accel_asr.reporting import media
from accel_asr.reporting.media import Clips, encode_audio, log_mel_webp, make_clip
from tests.unit.reporting.made_up_runs import tone


def test_what_is_played_is_what_was_recorded() -> None:
    content, kind = encode_audio(tone("u0"))
    assert kind == "audio/mpeg"
    samples, rate_hz = soundfile.read(io.BytesIO(content))
    assert rate_hz == 16_000
    spectrum = np.abs(np.fft.rfft(samples[:8_000]))
    assert np.argmax(spectrum) * rate_hz / 8_000 == pytest.approx(440, abs=4)


def test_a_small_one_has_at_most_24_kbit_a_second_and_no_padding() -> None:
    noise = np.random.default_rng(0).integers(-8_000, 8_000, 10 * 16_000, dtype=np.int16)
    content, _ = encode_audio(noise, is_small=True)
    assert len(content) * 8 / 10 < 24_000
    assert soundfile.info(io.BytesIO(content)).frames == len(noise)


def test_without_an_mp3_encoder_it_is_a_wav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundfile, "available_formats", lambda: {"WAV": ""})
    content, kind = encode_audio(tone("u0"))
    assert kind == "audio/wav"
    assert (soundfile.read(io.BytesIO(content), dtype="int16")[0] == tone("u0")).all()


def test_a_tone_is_loud_in_the_mel_band_of_its_pitch() -> None:
    picture = np.asarray(Image.open(io.BytesIO(log_mel_webp(tone("u0")))).convert("L"))
    from_below = picture.shape[0] - 1 - int(np.argmax(picture.mean(axis=1)))
    # a band is a row. Slaney's scale is linear below 1 kHz, 3 mels in 200 Hz; 80 bands end at 8 kHz, which is 45.2 mels
    assert from_below == pytest.approx(440 * 3 / 200 / (45.245 / 81) - 1, abs=1)


@pytest.mark.parametrize("samples", [0, 1, 100, 400, 401])
def test_a_picture_can_be_made_of_any_recording(samples: int) -> None:
    picture = Image.open(io.BytesIO(log_mel_webp(np.zeros(samples, dtype=np.int16))))
    assert picture.size == (media.PICTURE_WIDTH, media.PICTURE_HEIGHT)


def test_a_long_recording_is_cut_and_says_so() -> None:
    clip = make_clip(np.zeros(5 * 16_000, dtype=np.int16), max_played_s=2.0)
    assert (clip.played_s, clip.duration_s, clip.is_cut) == (2.0, 5.0, True)
    audio = base64.b64decode(clip.audio_url.removeprefix("data:audio/mpeg;base64,"))
    assert soundfile.info(io.BytesIO(audio)).duration == pytest.approx(2.0, abs=0.2)


def test_no_more_is_made_than_there_is_room_for() -> None:
    first = make_clip(tone("u0"))
    size = len(first.audio_url) + len(first.picture_url)
    clips = Clips(tone, max_bytes=2 * size)
    clipped = [clips.clip(f"u{number}") for number in range(4)]
    assert [clip is not None for clip in clipped] == [True, True, False, False]
    assert clips.left_out == 2


def test_a_recording_that_can_not_be_had_is_named() -> None:
    def samples_of(utterance_id: str) -> np.ndarray:
        if utterance_id == "gone":
            raise KeyError(utterance_id)
        raise AudioError("it is torn")

    clips = Clips(samples_of)
    assert clips.clip("gone") is clips.clip("u1") is None
    assert clips.failed == ["gone (no longer in the data)", "u1 (it is torn)"]
    assert Clips(None).clip("u1") is None
