"""What one press of the button does: check the recording, transcribe it with each model, draw it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from accel_asr.audio.decoding import AudioError, decode, probe, to_int16
from accel_asr.audio.pictures import log_mel_picture, waveform_picture
from accel_asr.transcription.segments import TimedText
from accel_asr.transcription.transcriber import Transcriber


class DemoError(Exception):
    """A sentence for the visitor, when there is nothing to show."""


@dataclass(frozen=True)
class Heard:
    """What there is to show: a text from each model, and both pictures (RGB, uint8, shape (height, width, 3))."""

    texts: list[str]
    note: str
    waveform: np.ndarray
    log_mel: np.ndarray


def listen(path: str | None, *, transcribers: Sequence[Transcriber], max_duration_s: float) -> Heard:
    """Transcribe a recording of any length with each model; the pictures show what fits the first model's window.

    Raises:
        DemoError: there is no recording, or none that can be used.
    """
    extractor = transcribers[0].processor.feature_extractor
    rate_hz = extractor.sampling_rate
    samples = _samples(path, rate_hz, max_duration_s)
    shown = to_int16(samples[: extractor.n_samples])
    note = f"{len(samples) / rate_hz:.1f} s of audio"
    if len(shown) < len(samples):
        note += f"; the pictures show the first {len(shown) / rate_hz:.0f} s, as much as the model hears at once"
    if not shown.any():
        note += "; it is silent, and a model may hear words in silence"
    return Heard(
        texts=[_shown(_transcribe(transcriber, samples)) for transcriber in transcribers],
        note=note,
        waveform=waveform_picture(shown, sampling_rate_hz=rate_hz),
        log_mel=log_mel_picture(shown, feature_extractor=extractor),
    )


def _samples(path: str | None, rate_hz: int, max_duration_s: float) -> np.ndarray:
    """float32, mono, shape (samples,)."""
    if path is None:
        raise DemoError("There is no recording yet. Record something, or choose a file; then press the button.")
    try:
        # the header first: a day of audio, well packed, is small enough to upload
        if (duration_s := probe(Path(path)).duration_s) <= max_duration_s:
            samples = decode(Path(path), sampling_rate_hz=rate_hz)
            duration_s = len(samples) / rate_hz
    except AudioError as error:
        raise DemoError(f"This recording can't be used: {error}.") from error
    if duration_s > max_duration_s:
        raise DemoError(
            f"This recording is {duration_s / 60:.1f} minutes long, and this page takes at most "
            f"{max_duration_s / 60:g}. `accel-asr transcribe` takes any length."
        )
    return samples


def _transcribe(transcriber: Transcriber, samples: np.ndarray) -> TimedText:
    if transcriber.is_long(samples):
        return transcriber.transcribe_long(samples)
    return transcriber.transcribe_short([samples], timed=False)[0]


def _shown(transcript: TimedText) -> str:
    if len(transcript.segments) <= 1:
        return transcript.text or "(no words)"
    return "\n".join(
        f"{_clock(segment.start_s)} – {_clock(segment.end_s)}  {segment.text}"  # noqa: RUF001
        for segment in transcript.segments
    )


def _clock(time_s: float) -> str:
    return f"{int(time_s) // 60}:{time_s % 60:04.1f}"
