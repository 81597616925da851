"""Where in a recording somebody speaks, or something sounds, so that the rest need not be transcribed.

Whisper writes words for long silences now and then, and each of its windows costs the same.
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np

from accel_asr.errors import UserError

FINDERS = ("none", "energy", "silero")
Speech = list[tuple[float, float]]  # (start, end) of each stretch in seconds, in order, apart from each other
SpeechFinder = Callable[[np.ndarray], Speech]

_SILERO_NEEDS = ("faster_whisper", "onnxruntime")
_SILERO_HZ = 16_000
# silero-vad's defaults in faster-whisper: only long silences are left out, and words keep their beginnings and ends
SHORTEST_SILENCE_S = 2.0
MARGIN_S = 0.4

_FRAME_S = 0.03
_OVER_NOISE_DB = 6.0
_UNDER_SPEECH_DB = 40.0
_LEAST_DYNAMICS_DB = 10.0  # a sound that never changes is no noise floor
_SILENT_DB = -70.0  # of full scale
_NOISE_PERCENTILE, _SPEECH_PERCENTILE = 10, 99.5


def require_voice_activity(name: str) -> None:
    """Check that what finds speech by that name is here.

    Raises:
        UserError: there is none of that name, or what silero needs is not installed.
    """
    if name not in FINDERS:
        raise UserError("finds no speech", setting="--vad", value=name, remedy=f"give one of {', '.join(FINDERS)}")
    missing = [package for package in _SILERO_NEEDS if name == "silero" and find_spec(package) is None]
    if missing:
        raise UserError(
            f"needs {' and '.join(missing).replace('_', '-')}: the package faster-whisper holds silero's weights",
            setting="--vad",
            value=name,
            remedy="pip install 'accel-asr[export]', or give --vad energy",
        )


def speech_finder(name: str, *, sampling_rate_hz: int) -> SpeechFinder | None:
    """The one of that name, one of `FINDERS`; None for `none`.

    Raises:
        UserError: as `require_voice_activity`, or it does not know the sampling rate.
    """
    require_voice_activity(name)
    if name == "none":
        return None
    if name == "energy":
        return partial(loud_stretches, sampling_rate_hz=sampling_rate_hz)
    if sampling_rate_hz != _SILERO_HZ:
        raise UserError(
            f"hears {_SILERO_HZ} Hz, and the model {sampling_rate_hz} Hz",
            setting="--vad",
            value=name,
            remedy="give --vad energy",
        )
    return _silero_stretches


def _silero_stretches(samples: np.ndarray) -> Speech:
    """What silero-vad takes for speech, with faster-whisper's settings."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(min_silence_duration_ms=round(1000 * SHORTEST_SILENCE_S), speech_pad_ms=round(1000 * MARGIN_S))
    stretches = get_speech_timestamps(samples, options, sampling_rate=_SILERO_HZ)
    return [(stretch["start"] / _SILERO_HZ, stretch["end"] / _SILERO_HZ) for stretch in stretches]


def loud_stretches(samples: np.ndarray, *, sampling_rate_hz: int) -> Speech:
    """What is louder than the recording's own noise: 6 dB above its quietest tenth, or 40 dB below its loudest sounds.

    Args:
        samples: float32, mono, shape (samples,).
    """
    size = round(_FRAME_S * sampling_rate_hz)
    frames = len(samples) // size
    if not frames:
        return [(0.0, len(samples) / sampling_rate_hz)] if len(samples) else []
    power = np.square(samples[: frames * size].reshape(frames, size)).mean(axis=1)
    level_db = 10 * np.log10(np.maximum(power, 1e-12))
    noise_db, loud_db = np.percentile(level_db, [_NOISE_PERCENTILE, _SPEECH_PERCENTILE])
    least_db = min(max(noise_db + _OVER_NOISE_DB, loud_db - _UNDER_SPEECH_DB), loud_db - _LEAST_DYNAMICS_DB)
    is_loud = level_db > max(least_db, _SILENT_DB)
    edges = np.flatnonzero(np.diff(is_loud, prepend=False, append=False)) * size / sampling_rate_hz
    return _with_margins(list(zip(edges[::2], edges[1::2], strict=True)), duration_s=len(samples) / sampling_rate_hz)


def _with_margins(stretches: Sequence[tuple[float, float]], *, duration_s: float) -> Speech:
    """Stretches that are no long silence apart become one; each gets a margin on both sides."""
    merged: Speech = []
    for start_s, end_s in stretches:
        if merged and start_s - merged[-1][1] < SHORTEST_SILENCE_S:
            merged[-1] = (merged[-1][0], float(end_s))
        else:
            merged.append((float(start_s), float(end_s)))
    return [(max(0.0, start_s - MARGIN_S), min(duration_s, end_s + MARGIN_S)) for start_s, end_s in merged]
