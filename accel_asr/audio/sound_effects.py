"""Effects on speech: pure functions of float32 samples, shape (samples,), and numbers; all but `speed` keep the length.

soxr, scipy and libsndfile, which are there anyway, do the work, and Signalsmith Stretch (python-stretch) moves pitches.
audiomentations has most of these too, but draws from its process's global generators, has neither a telephone nor the
level of the speech alone, and keeps soxr below 1.
"""

import io
import math
from functools import lru_cache

import numpy as np
import soundfile
import soxr

from accel_asr.audio import INT16_SCALE
from accel_asr.errors import UserError

FRAME_S = 0.02  # levels are measured in frames of this length
ACTIVE_DB = 30.0  # a frame is speech if it is at most so far below the loudest
TELEPHONE_HZ, TELEPHONE_BAND_HZ = 8_000, (300.0, 3_400.0)
TELEPHONE_CODECS = ("ULAW", "ALAW", "GSM610")  # G.711's two, and GSM full rate, as libsndfile calls them
MOST_MP3_KBITS = 160  # of MPEG-2 layer III, which has rates of 16 to 24 kHz
_MP3_DELAY = 1105  # samples, of LAME and the decoder: cut by libsndfile, except where a low rate has no room to say it
_FULL_SCALE = (INT16_SCALE - 1) / INT16_SCALE


def speed(samples: np.ndarray, rate: float, *, rate_hz: int) -> np.ndarray:
    """Played `rate` times as fast, by resampling, as Kaldi and sox do it: pitch and length change."""
    return soxr.resample(samples, rate_hz * rate, rate_hz, quality="HQ")


def pitch(samples: np.ndarray, semitones: float, *, rate_hz: int) -> np.ndarray:
    """The pitch moved up by so many semitones.

    Raises:
        UserError: python-stretch is not installed.
    """
    require_pitch()
    from python_stretch import Signalsmith

    stretch = Signalsmith.Stretch()
    stretch.preset(1, rate_hz)
    stretch.setTransposeSemitones(semitones)
    return np.asarray(stretch.process(samples[np.newaxis]))[0]


def require_pitch() -> None:
    """Check that pitches can be moved.

    Raises:
        UserError: python-stretch is not installed.
    """
    try:
        import python_stretch  # noqa: F401
    except ImportError as error:
        remedy = "pip install 'accel-asr[augment]', or leave it out"
        raise UserError("needs python-stretch", setting="--augment.pitch_prob", remedy=remedy) from error


def room(samples: np.ndarray, *, rt60_s: float, direct_db: float, noise: np.ndarray, rate_hz: int) -> np.ndarray:
    """With the reverberation of a room, as loud as before; its tail is cut off.

    The impulse response is the direct sound, and noise that decays by 60 dB in `rt60_s`: Polack's model of a room.

    Args:
        direct_db: Energy of the direct sound over that of the reverberation.
        noise: White, at least `rt60_s` long.
    """
    from scipy.signal import fftconvolve  # late: it imports torch

    response = noise[: math.ceil(rt60_s * rate_hz)] * 10 ** (
        -3 * np.arange(math.ceil(rt60_s * rate_hz)) / rate_hz / rt60_s
    )
    response *= 10 ** (-direct_db / 20) / math.sqrt(float(np.sum(response**2)))
    response[0] += 1.0
    heard = fftconvolve(samples, response.astype(np.float32))[: len(samples)]
    return _times(heard, _rms(samples) / max(_rms(heard), 1e-9))


def speech_level(samples: np.ndarray, *, rate_hz: int) -> float:
    """RMS of the frames of 20 ms that are at most 30 dB below the loudest; pauses don't count, as in ITU-T P.56."""
    size = round(FRAME_S * rate_hz)
    frames = samples[: len(samples) - len(samples) % size].reshape(-1, size) if len(samples) >= size else samples[None]
    energies = np.mean(frames.astype(np.float64) ** 2, axis=1)
    return math.sqrt(float(energies[energies >= energies.max() * 10 ** (-ACTIVE_DB / 10)].mean()))


def with_noise(samples: np.ndarray, noise: np.ndarray, *, snr_db: float, rate_hz: int) -> np.ndarray:
    """With noise of the same length, `snr_db` below the level of the speech. Unchanged if either is silent."""
    return samples + _times(
        noise, speech_level(samples, rate_hz=rate_hz) / max(_rms(noise), 1e-9) * 10 ** (-snr_db / 20)
    )


def band_limit(samples: np.ndarray, *, rate_hz: int) -> np.ndarray:
    """The band of a telephone, 300 to 3,400 Hz, alone: Butterworth, 6 dB down at its ends, no delay."""
    around = rate_hz // 50  # of silence, which the filter has to ring in: scipy's own padding repeats the clip's ends
    silenced = np.pad(samples, around)
    from scipy.signal import sosfiltfilt

    return sosfiltfilt(_band(rate_hz), silenced, padtype=None)[around:-around].astype(np.float32)


def telephone(samples: np.ndarray, codec: str, *, rate_hz: int) -> np.ndarray:
    """Through a telephone: its band, 8 kHz, and one of TELEPHONE_CODECS."""
    narrow = soxr.resample(band_limit(samples, rate_hz=rate_hz), rate_hz, TELEPHONE_HZ, quality="HQ")
    coded = _coded(narrow, TELEPHONE_HZ, file_format="WAV", subtype=codec)
    return _of_length(soxr.resample(coded, TELEPHONE_HZ, rate_hz, quality="HQ"), len(samples))


def mp3(samples: np.ndarray, kbits: int, *, rate_hz: int) -> np.ndarray:
    """Compressed as MP3 of about `kbits` kbit/s, 8 to 160, and decoded."""
    # libsndfile: 0 is the highest constant bit rate, and all but 1 the lowest
    level = min(max(MOST_MP3_KBITS - kbits, 0) / (MOST_MP3_KBITS - 8), 0.99)
    coded = _coded(
        samples, rate_hz, file_format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=level
    )
    return _of_length(coded[_MP3_DELAY:] if len(coded) > len(samples) else coded, len(samples))


def within_full_scale(samples: np.ndarray) -> tuple[np.ndarray, float]:
    """(the samples, made softer if they would clip; by how many dB)."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak <= _FULL_SCALE:
        return samples, 0.0
    return _times(samples, _FULL_SCALE / peak), 20 * math.log10(peak / _FULL_SCALE)


@lru_cache(maxsize=4)
def _band(rate_hz: int) -> np.ndarray:
    from scipy.signal import butter

    sections: np.ndarray = butter(6, TELEPHONE_BAND_HZ, btype="bandpass", fs=rate_hz, output="sos")
    return sections


def _coded(samples: np.ndarray, rate_hz: int, *, file_format: str, subtype: str, **options: object) -> np.ndarray:
    """Written to a file in memory, and read again. What exceeds full scale is made softer meanwhile."""
    softer, by_db = within_full_scale(samples)
    buffer = io.BytesIO()
    soundfile.write(buffer, softer, rate_hz, format=file_format, subtype=subtype, **options)
    buffer.seek(0)
    return _times(soundfile.read(buffer, dtype="float32")[0], 10 ** (by_db / 20))


def _of_length(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut, or lengthened by silence, by the few samples that codecs and resampling differ by."""
    return samples[:length] if len(samples) >= length else np.pad(samples, (0, length - len(samples)))


def _times(samples: np.ndarray, factor: float) -> np.ndarray:
    return samples * np.float32(factor)


def _rms(samples: np.ndarray) -> float:
    return math.sqrt(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
